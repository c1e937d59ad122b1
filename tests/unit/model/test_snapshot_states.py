"""The state machine of a snapshot: what each event makes of it, and what was expected at an earlier moment."""

from __future__ import annotations

import pytest

from snapstorm.model.expectations import Expectation, Settled, State
from snapstorm.model.snapshot_states import (
    as_it_began,
    as_of,
    begin_creation,
    begin_deletion,
    doubt_promise,
    end_creation,
    end_deletion,
    lose_track,
    settle,
    taint,
)

CREATING = begin_creation("a", client="c", source="/data", manifest="m", capabilities="{}", tick=1)
LIVE = end_creation(CREATING, "ok", 2, "k1")
DELETING = begin_deletion(LIVE, "b", 10)


@pytest.mark.parametrize(
    ("outcome", "created", "deleted"),
    [
        ("ok", State.LIVE, State.DELETED),
        ("failed", State.ABSENT, State.LIVE),
        ("no_op", State.ABSENT, State.LIVE),
        ("unknown", State.CREATION_IN_DOUBT, State.DELETION_IN_DOUBT),
    ],
)
def test_what_an_outcome_makes_of_a_snapshot(outcome: str, created: State, deleted: State) -> None:
    """Only what is acknowledged has happened, only what is denied has not; all else is in doubt."""
    assert CREATING.state is State.CREATING
    ended = end_creation(CREATING, outcome, 2, "k1")
    assert (ended.state, ended.snapshot, ended.acknowledged_tick) == (
        (created, "k1", 2) if outcome == "ok" else (created, None, None)
    )
    assert (DELETING.state, DELETING.deletion_operation, DELETING.deletion_began_tick) == (State.DELETING, "b", 10)
    gone = end_deletion(DELETING, outcome, 11)
    assert gone.state is deleted
    assert gone.deletion_ended_tick == (11 if deleted is State.DELETED else None)
    assert gone.deletion_began_tick == (None if deleted is State.LIVE else 10)


def test_a_creation_in_doubt_that_is_listed_is_adopted() -> None:
    """Under the id that the listing shows, from that moment on, with what the target says it left out."""
    doubted = end_creation(CREATING, "unknown", 2, None)
    adopted = settle(doubted, Settled("a", State.LIVE, "k7", failed_entries=3), 5)
    assert (adopted.state, adopted.adopted, adopted.snapshot) == (State.LIVE, True, "k7")
    assert (adopted.acknowledged_tick, adopted.failed_entries) == (5, 3)
    assert settle(doubted, Settled("a", State.ABSENT), 5).state is State.ABSENT


def test_a_deletion_in_doubt_is_settled_either_way() -> None:
    """What is still there is as it was, and not adopted; what is gone is deleted from that moment on."""
    doubted = end_deletion(DELETING, "unknown", 11)
    assert settle(doubted, Settled("a", State.LIVE, "k1"), 12) == LIVE
    gone = settle(doubted, Settled("a", State.DELETED, "k1"), 12)
    assert (gone.state, gone.deletion_ended_tick) == (State.DELETED, 12)


def test_what_nobody_has_recorded_leaves_a_doubt() -> None:
    """As if somebody had asked for its deletion and got no answer."""
    lost = lose_track(LIVE, "gap", 20)
    assert (lost.state, lost.deletion_operation, lost.deletion_began_tick) == (State.DELETION_IN_DOUBT, "gap", 20)


def test_marks_change_no_state() -> None:
    """A fault that may have damaged it, and a promise that is not known."""
    marked = doubt_promise(taint(LIVE, 7))
    assert (marked.state, marked.tainted_by, marked.is_promise_in_doubt) == (State.LIVE, 7, True)


@pytest.mark.parametrize(
    ("known_now", "tick", "then"),
    [
        (LIVE, 1, None),
        (LIVE, 3, LIVE),
        (DELETING, 5, LIVE),
        (end_deletion(DELETING, "ok", 11), 10, LIVE),
        (end_deletion(DELETING, "ok", 11), 12, end_deletion(DELETING, "ok", 11)),
        (end_deletion(DELETING, "unknown", 11), 12, end_deletion(DELETING, "unknown", 11)),
        (end_creation(CREATING, "failed", 2, None), 3, end_creation(CREATING, "failed", 2, None)),
        (settle(end_creation(CREATING, "unknown", 2, None), Settled("a", State.LIVE, "k1"), 8), 4, "in doubt"),
    ],
)
def test_what_was_expected_at_an_earlier_moment(
    known_now: Expectation, tick: int, then: Expectation | str | None
) -> None:
    """It follows from what is known now."""
    found = as_of(known_now, tick)
    if then == "in doubt":
        assert found == end_creation(CREATING, "unknown", 2, None)
    elif not isinstance(then, Expectation):
        assert found is None
    else:
        assert found is not None
        assert (found.state, found.snapshot, found.acknowledged_tick) == (
            then.state, then.snapshot, then.acknowledged_tick
        )  # fmt: skip
        assert (found.deletion_began_tick, found.deletion_ended_tick) == (
            then.deletion_began_tick, then.deletion_ended_tick
        )  # fmt: skip


def test_a_snapshot_begins_without_anything_that_became_known_later() -> None:
    """Going through a record again begins where the run began."""
    assert as_it_began(taint(end_deletion(DELETING, "ok", 11), 3)) == CREATING
