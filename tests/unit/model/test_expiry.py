"""What a creation ends is what the policy does not keep beside all that may be there; what is not known is in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapstorm.model import snapshot_states
from snapstorm.model.expectations import OPEN_STATES, Expectation, State
from snapstorm.model.expiry import TakingSpan, end_expiry, may_expire, may_have_ended, of_source, overstaying
from snapstorm.model.retention import US_PER_DAY, US_PER_HOUR, KeepPolicy, Period, Retention, kept_by

NOON = 20_000 * US_PER_DAY + 12 * US_PER_HOUR
DAILY_2 = Retention(policy=KeepPolicy(daily=2), ends_at_latest=True)
LATEST_2 = Retention(policy=KeepPolicy(latest=2), ends_at_latest=True)


def live(name: str, day: float, **changed: object) -> Expectation:
    made = Expectation(name, "c", "/data", "m", "{}", State.LIVE, int(100 + day), f"k-{name}", int(101 + day))
    return replace(made, taken_us=round(NOON + day * US_PER_DAY), **changed)


def ends(
    retention: Retention,
    there: Iterable[Expectation],
    new: Expectation,
    outcome: str = "ok",
    *,
    knows_all: bool = True,
) -> Mapping[str, State]:
    """The states of all that changes when `new` has ended, which began while all of these were there."""
    mine = [snapshot_states.begin_expiry(one, new.operation, 200) if one.state is State.LIVE else one for one in there]
    ended = new if outcome == "ok" else replace(new, state=State.CREATION_IN_DOUBT, taken_us=None)
    found = end_expiry(retention, [*mine, ended], ended, outcome, 201, knows_all=knows_all)
    return {one.operation: one.state for one in found}


def span(day: float, hours: float = 0.1) -> TakingSpan:
    at_us = round(NOON + day * US_PER_DAY)
    return TakingSpan(at_us, at_us + round(hours * US_PER_HOUR))


def test_only_what_the_policy_may_drop_is_in_doubt_while_a_snapshot_is_taken() -> None:
    days = [live("a", 0), live("b", 1), live("c", 1.1)]
    assert may_expire(DAILY_2, days, span(2), knows_all=True) == ["a", "b"]
    assert may_expire(DAILY_2, days[1:], span(1.2), knows_all=True) == ["b", "c"]


def test_a_boundary_within_the_time_in_which_it_may_be_dated_is_thought_of() -> None:
    """A quarter of an hour before midnight the new one is of the same day as `b`, which goes then. After midnight both
    count, and `a` goes."""
    days = [live("a", -1.507), live("b", 0.3)]
    around = span(0.49, hours=0.6)
    before = TakingSpan(around.earliest_us, around.earliest_us)
    after = TakingSpan(around.latest_us, around.latest_us)
    assert may_expire(DAILY_2, days, before, knows_all=True) == ["b"]
    assert may_expire(DAILY_2, days, after, knows_all=True) == ["a"]
    assert may_expire(DAILY_2, days, around, knows_all=True) == ["a", "b"]


def test_everything_may_go_where_not_all_is_known() -> None:
    """Snapshots of runs that the ledger does not know, or of which it is not known when they were taken."""
    days = [live("a", 0), live("b", 1)]
    assert may_expire(LATEST_2, days, span(2), knows_all=False) == ["a", "b"]
    unknown = replace(live("x", 1), state=State.CREATION_IN_DOUBT, taken_us=None)
    assert may_expire(LATEST_2, [*days, unknown], span(2), knows_all=True) == ["a", "b"]


def test_the_acknowledged_date_decides_what_goes_and_what_stays() -> None:
    days = [live("a", 0), live("b", 1), live("c", 1.1)]
    decided = ends(DAILY_2, days, live("n", 2))
    assert decided == {"a": State.DELETED, "b": State.DELETED, "c": State.LIVE}
    assert ends(DAILY_2, days, live("n", 1.2)) == {"a": State.LIVE, "b": State.DELETED, "c": State.DELETED}


def test_a_new_one_that_is_dated_back_may_go_itself() -> None:
    """As one of a client does whose clock is far behind."""
    assert ends(LATEST_2, [live("a", 0), live("b", 1)], live("n", -700)) == {
        "a": State.LIVE,
        "b": State.LIVE,
        "n": State.DELETED,
    }


def test_an_expired_one_says_which_creation_has_ended_it() -> None:
    mine = [snapshot_states.begin_expiry(live("a", 0), "n", 200), live("b", 1), live("n", 2)]
    (gone,) = end_expiry(LATEST_2, mine, mine[-1], "ok", 201, knows_all=True)
    assert (gone.operation, gone.deletion_operation, gone.is_expiry) == ("a", "n", True)
    assert (gone.deletion_began_tick, gone.deletion_ended_tick) == (200, 201)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("unknown", State.DELETION_IN_DOUBT), ("failed", State.DELETION_IN_DOUBT), ("locked", State.LIVE)],
)
def test_without_an_acknowledgement_there_is_doubt(outcome: str, state: State) -> None:
    """Unless a lock kept it from being begun. Kopia applies the policy also where it fails afterwards."""
    assert ends(LATEST_2, [live("a", 0), live("b", 1)], live("n", 2), outcome) == {"a": state, "b": state}


def test_an_acknowledgement_without_a_date_leaves_doubt() -> None:
    found = ends(LATEST_2, [live("a", 0)], replace(live("n", 2), taken_us=None))
    assert found == {"a": State.DELETION_IN_DOUBT}


def test_beside_one_that_may_be_deleted_both_cases_count() -> None:
    """`b` may be there: with it `a` goes, without it `a` stays. `z` goes in either case."""
    deleting = snapshot_states.begin_deletion(live("b", 1), "d", 150)
    found = ends(LATEST_2, [live("z", -1), live("a", 0), deleting], live("n", 2))
    assert found == {"z": State.DELETED, "a": State.DELETION_IN_DOUBT}


def test_one_that_is_being_deleted_and_would_expire_is_gone_in_either_case() -> None:
    """So that the deletion, which fails because of it, does not bring it back."""
    deleting = snapshot_states.begin_deletion(live("z", -1), "d", 150)
    assert ends(LATEST_2, [deleting, live("a", 0)], live("n", 2)) == {"z": State.DELETED, "a": State.LIVE}


def test_beside_unknown_ones_nothing_is_sure_to_stay() -> None:
    found = ends(LATEST_2, [live("a", 0), live("b", 1)], live("n", 2), knows_all=False)
    assert found == {"a": State.DELETED, "b": State.DELETION_IN_DOUBT, "n": State.DELETION_IN_DOUBT}


def test_sources_are_apart() -> None:
    other = replace(live("o", 0), source="/other")
    gone = replace(live("g", 0), state=State.DELETED)
    assert of_source([live("a", 0), other, gone], live("n", 1)) == [live("a", 0)]


def test_the_policy_is_no_reason_where_nothing_was_taken_later() -> None:
    """Neither by its beginning nor by its date. What was taken later may be deleted by now."""
    first, second = live("a", 0), live("b", 1)
    assert may_have_ended(first, [first, second], [100, 101], 200)
    assert not may_have_ended(second, [first, second], [100, 101], 200)
    assert not may_have_ended(first, [first, replace(second, source="/other")], [100], 200)
    assert may_have_ended(first, [first], [100, 101], 200)
    assert not may_have_ended(first, [first], [100, 101], 101)
    assert may_have_ended(second, [replace(first, taken_us=NOON + 9 * US_PER_DAY), second], [100, 101], 200)


def test_one_that_stays_in_the_stead_of_a_lost_one_does_not_overstay() -> None:
    """Though it was ended: the target never had the one because of which it was to go."""
    expired = snapshot_states.expire(live("a", 0), "n", 201)
    assert overstaying(LATEST_2, [expired, live("b", 1), live("n", 2)]) == [expired]
    assert overstaying(LATEST_2, [expired, live("n", 2)]) == []


days = st.lists(st.integers(0, 40 * 24), max_size=12, unique=True)
counts = st.integers(0, 4)
policies = st.builds(KeepPolicy, **dict.fromkeys([period.value for period in Period], counts))


@given(policies, days, st.integers(0, 41 * 24), st.sets(st.integers(0, 11)), st.booleans())
def test_no_world_that_is_possible_contradicts_what_is_decided(
    policy: KeepPolicy, hours: list[int], new_hour: int, deleting: set[int], is_deleted: bool
) -> None:
    """Whether the deletions under way have happened or not: what the target then does is allowed."""
    retention = Retention(policy=policy, ends_at_latest=True)
    there = [live(f"{n}", hour / 24) for n, hour in enumerate(hours)]
    there = [snapshot_states.begin_deletion(one, "d", 150) if n in deleting else one for n, one in enumerate(there)]
    new = live("new", new_hour / 24 + 0.001)
    taken = {one.operation: one.taken_us or 0 for one in there if not (is_deleted and one.state is State.DELETING)}
    kept = kept_by(retention, {**taken, "new": new.taken_us or 0})
    doomed = may_expire(retention, there, TakingSpan(new.taken_us or 0, new.taken_us or 0), knows_all=True)
    began = [snapshot_states.begin_expiry(one, "new", 200) if one.operation in doomed else one for one in there]
    changed = {one.operation: one for one in end_expiry(retention, [*began, new], new, "ok", 201, knows_all=True)}
    for one in (*began, new):
        now = changed.get(one.operation, one)
        if now.state is State.LIVE:
            assert one.operation in kept
        if now.state is State.DELETED:
            assert one.operation not in kept
        assert now.state in OPEN_STATES or now.is_expiry
