"""What the policy keeps must be there, what it does not keep must not; each is one finding of one guarantee."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from snapstorm.guarantees.builtin.kept_as_promised import EVIDENCE
from snapstorm.guarantees.panel import Found, Panel
from snapstorm.model import snapshot_states
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.expectations import Expectation, Listing, State
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.retention import US_PER_DAY, KeepPolicy, Retention
from snapstorm.model.seen import ListingSeen, StoredSeen, StoredSnapshot

ME, BED = "client-1@snapstorm", "bed"
SUNDAY_US = (20_455 + 2) * US_PER_DAY
"""2026-01-04, the last day of week 1."""
WEEKS = Retention(policy=KeepPolicy(weekly=3, monthly=2), ends_at_latest=True)


def taken(number: int, week: float, **changed: object) -> Expectation:
    made = Expectation(f"r1-client-1-{number}", ME, "/data", "m", "{}", State.LIVE, 10 * number, f"k{number}")
    at_us = SUNDAY_US + round(7 * week * US_PER_DAY)
    return replace(made, acknowledged_tick=10 * number + 5, taken_us=at_us, **changed)


FIRST, SECOND, THIRD = (taken(number, number - 1) for number in (1, 2, 3))


def judged(
    shown: Sequence[Expectation], expected: Sequence[Expectation], retention: Retention | None = WEEKS, began: int = 100
) -> list[Found]:
    entries = [ListedSnapshot(one.snapshot or "", ME, one.source, BED, one.operation, None) for one in shown]
    seen = ListingSeen(
        client=ME,
        operation="r1-client-1-9",
        listing=Listing(ME, BED, entries, began, began + 5),
        expected={one.operation: one for one in expected},
        spans={},
        retention=retention,
        creation_ticks={"/data": [one.began_tick for one in expected if one.source == "/data"]},
    )
    return Panel().judge(seen)


def test_a_lost_one_that_the_policy_keeps_is_found_once_with_its_reasons() -> None:
    """It names the policy, the period, and what was compared; the evidence lists all of it."""
    (found,) = judged([SECOND, THIRD], [FIRST, SECOND, THIRD])
    assert found.guarantee is Guarantee.KEPT_AS_PROMISED
    assert (found.finding.snapshot, found.finding.expectation) == ("k1", FIRST.operation)
    assert "the policy (weekly 3, monthly 2) keeps it as weekly 2026-W01, of 3" in found.finding.detail
    assert "k3 (weekly 2026-W03, monthly 2026-01), k2 (weekly 2026-W02)" in found.finding.detail
    lines = found.finding.texts[EVIDENCE].splitlines()
    assert lines[0].startswith("policy: weekly 3, monthly 2; periods are counted back from the latest snapshot")
    assert lines[-1] == "2026-01-04T00:00:00Z  NOT LISTED  k1  r1-client-1-1  weekly 2026-W01"


def test_where_the_policy_can_not_be_the_reason_it_is_a_lost_snapshot() -> None:
    """Nothing was taken after it; or there is no policy."""
    assert [one.guarantee for one in judged([FIRST, SECOND], [FIRST, SECOND, THIRD])] == [
        Guarantee.ACKNOWLEDGED_STAYS_LISTED
    ]
    assert [one.guarantee for one in judged([THIRD], [FIRST, THIRD], None)] == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]


def test_other_sources_are_no_reason() -> None:
    other = replace(THIRD, source="/other")
    assert [one.guarantee for one in judged([other], [FIRST, other])] == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]


def test_one_that_is_listed_after_it_had_to_go_is_found_once() -> None:
    """With the creation that had to end it."""
    expired = snapshot_states.expire(FIRST, THIRD.operation, 40)
    only = Retention(policy=KeepPolicy(latest=2), ends_at_latest=True)
    (found,) = judged([expired, SECOND, THIRD], [expired, SECOND, THIRD], only)
    assert found.guarantee is Guarantee.KEPT_AS_PROMISED
    assert "r1-client-1-3, which was acknowledged, had to end it" in found.finding.detail
    assert "k1  r1-client-1-1  not kept" in found.finding.texts[EVIDENCE]
    assert judged([SECOND, THIRD], [expired, SECOND, THIRD], only) == []


def test_a_listing_that_began_before_the_acknowledgement_may_show_it() -> None:
    expired = snapshot_states.expire(FIRST, THIRD.operation, 40)
    only = Retention(policy=KeepPolicy(latest=2), ends_at_latest=True)
    assert judged([expired, SECOND, THIRD], [expired, SECOND, THIRD], only, began=36) == []


def test_one_that_stays_in_the_stead_of_a_lost_one_is_no_second_finding() -> None:
    """The target has lost `k2`, so it keeps `k1`."""
    expired = snapshot_states.expire(FIRST, THIRD.operation, 40)
    only = Retention(policy=KeepPolicy(latest=2), ends_at_latest=True)
    found = judged([expired, THIRD], [expired, SECOND, THIRD], only)
    assert [(one.guarantee, one.finding.snapshot) for one in found] == [(Guarantee.KEPT_AS_PROMISED, "k2")]


def test_while_a_creation_is_under_way_what_may_go_may_be_missing() -> None:
    """As one whose deletion has begun; everything else must be there."""
    may_go = snapshot_states.begin_expiry(FIRST, "r1-client-1-4", 90)
    assert judged([SECOND, THIRD], [may_go, SECOND, THIRD]) == []
    assert [one.finding.snapshot for one in judged([THIRD], [may_go, SECOND, THIRD])] == ["k2"]


@pytest.mark.parametrize(
    ("is_by_retention", "missing", "deleted"),
    [
        (True, Guarantee.KEPT_AS_PROMISED, Guarantee.KEPT_AS_PROMISED),
        (False, Guarantee.ACKNOWLEDGED_STAYS_LISTED, Guarantee.DELETED_STAYS_GONE),
    ],
)
def test_what_is_stored_is_judged_under_the_same_guarantee(
    is_by_retention: bool, missing: Guarantee, deleted: Guarantee
) -> None:
    """So that what a listing has shown already is not counted again."""
    one = StoredSnapshot("k1", FIRST.operation, ME, is_by_retention)
    for seen, guarantee in (
        (StoredSeen(missing=[one], deleted=[], strangers={}), missing),
        (StoredSeen(missing=[], deleted=[one], strangers={}), deleted),
    ):
        (found,) = Panel().judge(seen)
        assert (found.guarantee, found.finding.expectation, found.client) == (guarantee, FIRST.operation, ME)
