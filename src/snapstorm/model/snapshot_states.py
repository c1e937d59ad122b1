"""The states of a snapshot: what each event makes of what is expected of it.

The one state machine. Each transition takes an expectation and returns the next one. The ledger stores what they
return, and judging a recorded run again goes through the same transitions.
"""

from __future__ import annotations

from msgspec.structs import replace

from snapstorm.model.expectations import Expectation, Settled, State

UNKNOWN = "unknown"
"""The outcome of an operation that was not acknowledged and may have happened."""


def begin_creation(
    operation: str, *, client: str, source: str, manifest: str, capabilities: str, tick: int
) -> Expectation:
    """A snapshot is asked for."""
    return Expectation(operation, client, source, manifest, capabilities, State.CREATING, tick)


def end_creation(
    creating: Expectation, outcome: str, tick: int, snapshot: str | None, taken_us: int | None = None
) -> Expectation:
    """Its creation has ended. `snapshot` and `taken_us`: its id, and when it was taken, as the target says, if the
    outcome is `ok`."""
    if outcome == "ok":
        return replace(creating, state=State.LIVE, snapshot=snapshot, taken_us=taken_us, acknowledged_tick=tick)
    return replace(creating, state=State.ABSENT if _did_nothing(outcome) else State.CREATION_IN_DOUBT)


def begin_deletion(expectation: Expectation, operation: str, tick: int) -> Expectation:
    """This operation asks for its deletion."""
    return replace(
        expectation, state=State.DELETING, deletion_operation=operation, deletion_began_tick=tick, is_expiry=False
    )


def end_deletion(deleting: Expectation, outcome: str, tick: int) -> Expectation:
    """Its deletion has ended."""
    if outcome == "ok":
        return replace(deleting, state=State.DELETED, deletion_ended_tick=tick)
    if _did_nothing(outcome):
        return replace(deleting, state=State.LIVE, deletion_began_tick=None, deletion_ended_tick=None)
    return replace(deleting, state=State.DELETION_IN_DOUBT, deletion_ended_tick=None)


def begin_expiry(live: Expectation, creation: str, tick: int) -> Expectation:
    """This creation begins, after which the target's policy may not keep it."""
    return replace(begin_deletion(live, creation, tick), is_expiry=True)


def expire(there: Expectation, creation: str, tick: int) -> Expectation:
    """This creation was acknowledged, and the policy does not keep it any more."""
    began = tick if there.deletion_began_tick is None else there.deletion_began_tick
    deleting = begin_deletion(there, creation, began)
    return replace(deleting, state=State.DELETED, deletion_ended_tick=tick, is_expiry=True)


def spare(expiring: Expectation) -> Expectation:
    """The creation has ended, and the policy keeps it."""
    return replace(expiring, state=State.LIVE, deletion_operation=None, deletion_began_tick=None, is_expiry=False)


def doubt_expiry(there: Expectation, creation: str, tick: int) -> Expectation:
    """This creation has ended such that the policy may have ended the snapshot, or not."""
    began = tick if there.deletion_began_tick is None else there.deletion_began_tick
    return replace(begin_expiry(there, creation, began), state=State.DELETION_IN_DOUBT)


def lose_track(live: Expectation, operation: str, tick: int) -> Expectation:
    """Operations that nobody has recorded may have deleted it; `operation` stands for them."""
    return end_deletion(begin_deletion(live, operation, tick), UNKNOWN, tick)


def settle(doubted: Expectation, settled: Settled, tick: int) -> Expectation:
    """A listing has settled a doubt about it."""
    if settled.state is not State.LIVE:
        return replace(
            doubted, state=settled.state, deletion_ended_tick=tick if settled.state is State.DELETED else None
        )
    # One that comes back from doubt about its deletion keeps when it was acknowledged, if it ever was.
    is_first = doubted.acknowledged_tick is None
    return replace(
        doubted,
        state=State.LIVE,
        snapshot=settled.snapshot if doubted.snapshot is None else doubted.snapshot,
        taken_us=settled.taken_us if doubted.taken_us is None else doubted.taken_us,
        adopted=doubted.adopted or is_first,
        acknowledged_tick=tick if is_first else doubted.acknowledged_tick,
        failed_entries=settled.failed_entries,
        deletion_operation=None,
        deletion_began_tick=None,
        deletion_ended_tick=None,
        is_expiry=False,
    )


def taint(expectation: Expectation, fault: int) -> Expectation:
    """It was taken while this fault had damaged the storage."""
    return replace(expectation, tainted_by=fault)


def end_taint(expectation: Expectation) -> Expectation:
    """It was read back wholly from the storage, which no fault damages now."""
    return replace(expectation, tainted_by=None)


def doubt_promise(expectation: Expectation) -> Expectation:
    """What was to be kept of its tree is not known."""
    return replace(expectation, is_promise_in_doubt=True)


def as_of(expectation: Expectation, tick: int) -> Expectation | None:
    """What was expected at this moment, between two runs, of a snapshot of which `expectation` is known now.

    None if it had not been asked for then. The ledger does not record when an unacknowledged creation was taken for
    absent; a listing proves the same of one in doubt.
    """
    if expectation.began_tick >= tick:
        return None
    acknowledged, began, ended = (
        moment if moment is not None and moment < tick else None
        for moment in (
            expectation.acknowledged_tick,
            expectation.deletion_began_tick,
            expectation.deletion_ended_tick,
        )
    )
    if acknowledged is None:
        state = State.ABSENT if expectation.state is State.ABSENT else State.CREATION_IN_DOUBT
        return replace(_as_asked_for(expectation), state=state)
    state = State.LIVE if began is None else State.DELETION_IN_DOUBT if ended is None else State.DELETED
    is_expiry = expectation.is_expiry and began is not None
    return replace(expectation, state=state, deletion_began_tick=began, deletion_ended_tick=ended, is_expiry=is_expiry)


def as_it_began(expectation: Expectation) -> Expectation:
    """What was expected of it when its creation had just begun."""
    return replace(_as_asked_for(expectation), tainted_by=None)


def _as_asked_for(expectation: Expectation) -> Expectation:
    """Without anything that became known of it later."""
    return replace(
        expectation,
        state=State.CREATING,
        snapshot=None,
        acknowledged_tick=None,
        adopted=False,
        deletion_operation=None,
        deletion_began_tick=None,
        deletion_ended_tick=None,
        failed_entries=0,
        taken_us=None,
        is_expiry=False,
    )


def _did_nothing(outcome: str) -> bool:
    """Whether the target has said that nothing happened."""
    return outcome in ("failed", "locked", "no_op")
