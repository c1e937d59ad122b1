"""Expiry: which snapshots a creation may end because the target's policy does not keep them, and which it has ended.

Pure. A creation asks for the deletion of what the policy drops once the new snapshot is there. Before it begins, nobody
knows when exactly it will be dated, so some snapshots only may go: they are as those whose deletion has begun. What the
target acknowledges tells which of them go and which stay. Where others of the same source are in doubt, it is judged
both with and without them: what is kept beside all of them stays, what is not kept without any of them goes, and the
rest is in doubt until a listing shows it (see the two properties of `kept_by`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from snapstorm.model import snapshot_states
from snapstorm.model.expectations import OPEN_STATES, Expectation, State
from snapstorm.model.retention import US_PER_HOUR, Retention, kept_by

LOCKED = "locked"
"""The outcome of an operation that was refused before it did anything."""
_NEW = ""
"""Stands for the snapshot that is to be taken."""


class TakingSpan(NamedTuple):
    """The time within which a snapshot will be dated, in microseconds since 1970."""

    earliest_us: int
    latest_us: int


class _Fates(NamedTuple):
    """What an acknowledged creation makes of the snapshots of its source, by operation. The others are in doubt."""

    going: frozenset[str]
    staying: frozenset[str]


def may_expire(retention: Retention, mine: Iterable[Expectation], span: TakingSpan, *, knows_all: bool) -> list[str]:
    """Which live snapshots a creation within this span may end, by operation.

    `mine` are those of its client and source in open states. Unless one `knows_all`, there may be others.
    """
    there = list(mine)
    live = [found.operation for found in there if found.state is State.LIVE]
    taken_us = {found.operation: found.taken_us for found in there if found.taken_us is not None}
    if not knows_all or len(taken_us) < len(there):
        return live
    doomed = set[str]()
    for moment_us in _moments(span):
        doomed |= taken_us.keys() - kept_by(retention, {**taken_us, _NEW: moment_us}).keys()
    return [operation for operation in live if operation in doomed]


def _moments(span: TakingSpan) -> Iterator[int]:
    """The last moment of each hour of a span, and its end: what may expire at any of its moments does so at one of
    these. Within an hour no period begins, and the later it is, the less is young enough."""
    moment_us = span.earliest_us // US_PER_HOUR * US_PER_HOUR + US_PER_HOUR - 1
    while moment_us < span.latest_us:
        yield moment_us
        moment_us += US_PER_HOUR
    yield span.latest_us


def end_expiry(
    retention: Retention,
    mine: Iterable[Expectation],
    creation: Expectation,
    outcome: str,
    tick: int,
    *,
    knows_all: bool,
) -> Iterator[Expectation]:
    """What becomes of the snapshots of a source, whose `creation` has ended with this outcome: those that change.

    `mine` are those of its client and source in open states, the new one included.
    """
    by, there = creation.operation, list(mine)
    waiting = {found.operation for found in there if _is_waiting(found, by)}
    if outcome != "ok" or creation.taken_us is None:
        for found in there:
            if found.operation in waiting:
                is_spared = outcome == LOCKED
                yield snapshot_states.spare(found) if is_spared else snapshot_states.doubt_expiry(found, by, tick)
        return
    fates = _fates(retention, there, by, knows_all=knows_all)
    for found in there:
        if found.operation in fates.going:
            yield snapshot_states.expire(found, by, tick)
        elif found.operation in fates.staying:
            if found.operation in waiting:
                yield snapshot_states.spare(found)
        elif found.operation in waiting or found.state is State.LIVE:
            yield snapshot_states.doubt_expiry(found, by, tick)


def _is_waiting(found: Expectation, creation: str) -> bool:
    """Whether it was live when this creation began, which may end it."""
    return found.state is State.DELETING and found.is_expiry and found.deletion_operation == creation


def _fates(retention: Retention, there: Sequence[Expectation], creation: str, *, knows_all: bool) -> _Fates:
    taken_us = {found.operation: found.taken_us for found in there if found.taken_us is not None}
    sure = {
        found.operation: found.taken_us
        for found in there
        if found.taken_us is not None and (found.state is State.LIVE or _is_waiting(found, creation))
    }
    going = sure.keys() - kept_by(retention, sure).keys()
    for operation in taken_us.keys() - sure.keys():
        # In doubt: if it is there, it is one more.
        if operation not in kept_by(retention, {**sure, operation: taken_us[operation]}):
            going |= {operation}
    is_complete = knows_all and len(taken_us) == len(there)
    staying = kept_by(retention, taken_us).keys() & sure.keys() if is_complete else set[str]()
    return _Fates(frozenset(going), frozenset(staying))


def may_have_ended(
    lost: Expectation, of_source: Iterable[Expectation], creation_ticks: Iterable[int], before_tick: int
) -> bool:
    """Whether the policy may be why this live snapshot is not there: retention acts when another snapshot of the source
    is taken, and by their dates.

    `creation_ticks`: when creations of its source began, also those of snapshots that are deleted by now; of these only
    count those `before_tick`.
    """
    if any(lost.began_tick < tick < before_tick for tick in creation_ticks):
        return True
    return any((other.taken_us or 0) > (lost.taken_us or 0) for other in of_source if _is_same_source(other, lost))


def overstaying(retention: Retention, there: Iterable[Expectation]) -> list[Expectation]:
    """Those of the snapshots that are there which the policy has ended, and does not keep now either.

    Where the target has lost one that it had to keep, another stays in its stead, which is no second fault.
    """
    sources: dict[tuple[str, str], list[Expectation]] = {}
    for found in there:
        sources.setdefault((found.client, found.source), []).append(found)
    unkept: list[Expectation] = []
    for of_source in sources.values():
        expired = [found for found in of_source if found.is_expiry and found.state is State.DELETED]
        if expired:
            taken_us = {found.operation: found.taken_us for found in of_source if found.taken_us is not None}
            kept = kept_by(retention, taken_us)
            unkept += [found for found in expired if found.operation not in kept]
    return unkept


def of_source(found: Iterable[Expectation], like: Expectation) -> list[Expectation]:
    """Those in open states that are of the same client and source."""
    return [one for one in found if one.state in OPEN_STATES and _is_same_source(one, like)]


def _is_same_source(one: Expectation, other: Expectation) -> bool:
    return one.client == other.client and one.source == other.source
