"""What Kopia's retention keeps, counted as it counts, and which findings that explains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.guarantees.panel import Found, Panel
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.dating import Particulars
from snapstorm.model.expectations import Expectation, Listing, State
from snapstorm.model.guarantees import Finding, Guarantee, Violation
from snapstorm.model.predicted_bugs import PredictedBug, bug_behind
from snapstorm.model.retention import KeepPolicy, Period, Retention, kept_by
from snapstorm.model.seen import ListingSeen
from snapstorm.targets.kopia.known_bugs.shared_period_names import (
    is_by_shared_names,
    kept_sharing_names,
    left_after_each,
    wrongly_let_go,
)

DAY = timedelta(days=1)
USUAL = KeepPolicy(latest=10, hourly=48, daily=7, weekly=4, monthly=24, annual=3)
BUG = PredictedBug("weeks-expire", "a week is taken for a month", is_by_shared_names)


def every(step: timedelta, count: int, start: datetime = datetime(2025, 1, 5, 12, tzinfo=UTC)) -> dict[str, int]:
    """Snapshots named after their days, with the times at which they were taken."""
    times = [start + step * number for number in range(count)]
    return {f"{time:%F}": round(time.timestamp()) * 10**6 for time in times}


def right(policy: KeepPolicy, taken_us: dict[str, int]) -> list[str]:
    return list(kept_by(Retention(policy=policy, ends_at_latest=True), taken_us))


def test_a_year_of_weeks_loses_ten() -> None:
    """What all three versions were seen to do (measured)."""
    weeks, policy = every(7 * DAY, 52), KeepPolicy(weekly=52, monthly=12)
    lost = wrongly_let_go(policy, weeks)
    assert len(right(policy, weeks)) == 52
    assert sorted(lost) == [
        f"2025-{month:02}-{day:02}"
        for month, days in ((1, (5, 12, 19)), (2, (2, 9, 16)), (3, (2, 9, 16, 23)))
        for day in days
    ]
    assert left_after_each(policy, list(weeks.items())) == [week for week in weeks if week not in lost]


@pytest.mark.parametrize(
    "policy", [KeepPolicy(weekly=52), KeepPolicy(monthly=12), KeepPolicy(weekly=52, annual=3), KeepPolicy(latest=99)]
)
def test_without_weeks_beside_months_nothing_is_lost(policy: KeepPolicy) -> None:
    """The names of all other kinds differ."""
    weeks = every(7 * DAY, 52)
    assert kept_sharing_names(policy, weeks).keys() == set(right(policy, weeks))
    assert wrongly_let_go(policy, weeks) == frozenset()


def test_the_usual_policy_loses_two_weeks_of_a_year() -> None:
    """Weeks 1 and 2, once no day keeps them any more."""
    lost: dict[str, str] = {}
    left: dict[str, int] = {}
    for day, at_us in every(DAY, 400, datetime(2025, 3, 1, 12, tzinfo=UTC)).items():
        left[day] = at_us
        lost |= dict.fromkeys(wrongly_let_go(USUAL, left), day)
        left = {one: left[one] for one in kept_sharing_names(USUAL, left)}
    assert lost == {"2026-01-04": "2026-01-14", "2026-01-11": "2026-02-01"}


def test_no_counts_keep_everything() -> None:
    assert len(kept_sharing_names(KeepPolicy(), every(DAY, 9))) == 9
    assert kept_sharing_names(KeepPolicy(daily=1), {}) == {}


counts = st.integers(0, 6)
policies = st.builds(
    KeepPolicy, latest=counts, hourly=counts, daily=counts, weekly=counts, monthly=counts, annual=counts
)
hours = st.integers(0, 4 * 365 * 24).map(lambda hour: hour * 3600 * 10**6)
snapshots = st.dictionaries(st.uuids().map(str), hours)


@given(policies, snapshots)
def test_it_counts_right_where_no_names_are_shared(policy: KeepPolicy, taken_us: dict[str, int]) -> None:
    """Without months, weeks have their names for themselves; few snapshots have no numbers like years."""
    policy = policy.model_copy(update={"monthly": 0})
    assert kept_sharing_names(policy, taken_us).keys() == set(right(policy, taken_us))


@given(policies, snapshots)
def test_no_kind_keeps_more_than_its_count(policy: KeepPolicy, taken_us: dict[str, int]) -> None:
    reasons = kept_sharing_names(policy, taken_us)
    for period in Period:
        if not policy.keeps_all:
            assert sum(found.period is period for of in reasons.values() for found in of) <= policy.count(period)


def listing_of(weeks: dict[str, int], missing: Sequence[str], policy: KeepPolicy) -> ListingSeen:
    """A listing of live snapshots, without those that are missing."""
    expected = {
        day: Expectation(
            operation=day,
            client=CLIENT,
            source="/data",
            manifest="m",
            capabilities="{}",
            state=State.LIVE,
            began_tick=2 * number,
            acknowledged_tick=2 * number + 1,
            snapshot=f"id-{day}",
            taken_us=at_us,
        )
        for number, (day, at_us) in enumerate(weeks.items())
    }
    entries = [
        ListedSnapshot(
            f"id-{day}", CLIENT, "/data", testbed="bed", operation=day, incomplete=None, particulars=Particulars(at_us)
        )
        for day, at_us in weeks.items()
        if day not in missing
    ]
    listing = Listing(CLIENT, "bed", entries, began_tick=1000, ended_tick=1001)
    retention = Retention(policy=policy, ends_at_latest=True)
    return ListingSeen(client=CLIENT, operation="o", listing=listing, expected=expected, spans={}, retention=retention)


def with_ended(seen: ListingSeen, day: str, *, by: str, tick: int) -> ListingSeen:
    """The same listing, of which retention had to end one snapshot when another one was taken."""
    ended = replace(
        seen.expected[day],
        state=State.DELETED,
        deletion_operation=by,
        deletion_began_tick=tick,
        deletion_ended_tick=tick + 1,
        is_expiry=True,
    )
    return dataclasses.replace(seen, expected={**seen.expected, day: ended})


def found_in(seen: ListingSeen) -> dict[str | None, Found]:
    found = [one for one in Panel().judge(seen) if one.guarantee is Guarantee.KEPT_AS_PROMISED]
    return {one.finding.expectation: one for one in found}


def is_known(found: Found) -> bool:
    return bug_behind([BUG], found.guarantee, found.finding, found.seen) is BUG


SUNDAYS = every(7 * DAY, 8, datetime(2025, 12, 21, 12, tzinfo=UTC))
"""Of the weeks 51 of 2025 to 6 of 2026."""
POLICY = KeepPolicy(weekly=10, monthly=12)


def test_what_shared_names_explain_is_known_and_nothing_else() -> None:
    """Weeks 1 and 2 go by the bug. That week 4 is missing as well is something else, and still counts."""
    assert wrongly_let_go(POLICY, SUNDAYS) == {"2026-01-04", "2026-01-11"}
    found = found_in(listing_of(SUNDAYS, ["2026-01-04", "2026-01-11", "2026-01-25"], POLICY))
    assert {day: is_known(one) for day, one in found.items()} == {
        "2026-01-04": True,
        "2026-01-11": True,
        "2026-01-25": False,
    }


def test_where_names_are_not_shared_nothing_is_known() -> None:
    """Without months the same loss is another bug's."""
    found = found_in(listing_of(SUNDAYS, ["2026-01-04"], KeepPolicy(weekly=10)))
    assert [is_known(one) for one in found.values()] == [False]


def test_a_week_is_not_lost_before_a_month_of_its_number_is_there() -> None:
    """On the day after, week 2 is still counted: February comes later."""
    until_january = {day: at_us for day, at_us in SUNDAYS.items() if day < "2026-02"}
    found = found_in(listing_of(until_january, ["2026-01-04", "2026-01-11"], POLICY))
    assert {day: is_known(one) for day, one in found.items()} == {"2026-01-04": True, "2026-01-11": False}


def test_a_week_is_known_as_lost_to_a_snapshot_whose_creation_is_in_doubt() -> None:
    """The first one of February was cut off after it had let week 2 go: the listing that shows the loss is also the
    first one that shows what made it."""
    february = "2026-02-01"
    seen = listing_of({day: SUNDAYS[day] for day in SUNDAYS if day <= february}, ["2026-01-11"], POLICY)
    in_doubt = replace(
        seen.expected[february],
        state=State.CREATION_IN_DOUBT,
        acknowledged_tick=None,
        snapshot=None,
        taken_us=None,
    )
    expected = {**seen.expected, february: in_doubt}
    seen = dataclasses.replace(seen, expected=expected, creation_ticks={"/data": [in_doubt.began_tick]})
    assert {day: is_known(one) for day, one in found_in(seen).items()} == {"2026-01-11": True}
    before = [replace(one, particulars=None) for one in seen.listing.entries]
    undated = dataclasses.replace(seen, listing=replace(seen.listing, entries=before))
    assert {day: is_known(one) for day, one in found_in(undated).items()} == {"2026-01-11": False}


@pytest.mark.parametrize(("monthly", "is_by_names"), [(1, True), (0, False)])
def test_an_older_week_that_stays_in_place_of_one_that_does_not_count_is_known(monthly: int, is_by_names: bool) -> None:
    """Week 1 of 2026 is not among the latest four, because January has its name. It stays for another reason, and so
    does week 52, which the policy does not keep any more. Without months that is another bug's."""
    policy = KeepPolicy(latest=4, weekly=4, monthly=monthly)
    weeks = every(7 * DAY, 5, datetime(2025, 12, 28, 12, tzinfo=UTC))
    seen = listing_of(weeks, [], policy)
    oldest, *_, newest = weeks
    seen = with_ended(seen, oldest, by=newest, tick=8)
    assert {day: is_known(one) for day, one in found_in(seen).items()} == {oldest: is_by_names}


@pytest.mark.parametrize("guarantee", [one for one in Guarantee if one is not Guarantee.KEPT_AS_PROMISED])
def test_other_guarantees_are_none_of_its_business(guarantee: Guarantee) -> None:
    seen = listing_of(SUNDAYS, ["2026-01-04"], POLICY)
    assert not is_by_shared_names(guarantee, Finding("x", expectation="2026-01-04"), seen)


def test_what_is_known_is_recorded_as_accepted_and_not_counted(scratch: Path) -> None:
    """Anything else still is."""
    one_run = OneRun(scratch, known_bugs=[BUG])
    checker = one_run.checker()
    found = found_in(listing_of(SUNDAYS, ["2026-01-04", "2026-01-25"], POLICY))
    assert checker.report(found["2026-01-04"]) is None
    assert checker.report(found["2026-01-25"]) is not None
    assert [violation.snapshot for violation in one_run.tally.known_violations] == ["id-2026-01-04"]
    assert [violation.snapshot for violation in one_run.tally.violations] == ["id-2026-01-25"]
    assert one_run.tally.known_bugs == {"weeks-expire": 1}
    reasons = {row.violation.snapshot: row.accepted_reason for row in one_run.ledger.recorded_violations(1)}
    assert reasons == {"id-2026-01-04": BUG.reason, "id-2026-01-25": None}


def test_a_kill_before_a_known_loss_was_accepted_changes_nothing(scratch: Path) -> None:
    """The run that was killed has recorded it only. The next one sees it again, and accepts it."""
    one_run, week = OneRun(scratch, known_bugs=[BUG]), "2026-01-04"
    found = found_in(listing_of(SUNDAYS, [week], POLICY))[week]
    recorded = Violation(found.guarantee, found.finding.detail, CLIENT, found.finding.snapshot)
    one_run.ledger.add_violation(1, recorded, week, found.finding.fingerprint)
    assert one_run.ledger.accepted_losses() == frozenset()
    assert one_run.checker().report(found) is None
    assert (one_run.tally.violations, one_run.tally.known_bugs) == ([], {"weeks-expire": 1})
    assert one_run.ledger.accepted_losses() == {week}


def test_who_knows_of_a_loss_does_not_know_that_it_has_come_back(scratch: Path) -> None:
    """Week 1 went by the bug. Later the policy ends it, and then it is listed: what brings it back is another bug."""
    week, newest = "2026-01-04", "2026-02-08"
    (scratch / "same").mkdir()
    one_run = OneRun(scratch, known_bugs=[BUG])
    assert one_run.checker().report(found_in(listing_of(SUNDAYS, [week], POLICY))[week]) is None
    seen = listing_of(SUNDAYS, [], KeepPolicy(weekly=4, monthly=12))
    back = found_in(with_ended(seen, week, by=newest, tick=14))[week]
    assert one_run.checker().report(back) is not None
    same_run = OneRun(scratch / "same", known_bugs=[BUG])
    checker = same_run.checker()
    assert checker.report(found_in(listing_of(SUNDAYS, [week], POLICY))[week]) is None
    assert checker.report(back) is not None
    assert one_run.ledger.accepted_losses() == {week}
