"""What is tried of a storage's past: after which of its writes, and what is promised there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snapstorm.gateway.kept_history import StorageHistory
from snapstorm.model.expectations import Expectation
from snapstorm.model.promises import PromiseSpan, promised

POINTS_BY_DEFAULT = 1000
"""About so many points are tried of a run, unless it is said how far apart they are."""
_STRIDES = (16, 4, 1)
"""A bounded exploration first tries each so many-th of its points, so that it has seen something of everything."""


@dataclass(frozen=True)
class Point:
    """A cut between two writes: the storage as it was after so many of them."""

    count: int
    event: int
    """The first event at which the storage was like that."""
    until_event: int
    """The last one, right before the next write was applied."""
    promised: Sequence[Expectation]
    """What must be there at any of these events."""
    promised_last: Sequence[Expectation]
    """What must be there at the last of them."""


@dataclass(frozen=True)
class Plan:
    """The points to be tried, in that order, and those that can't be."""

    points: Sequence[Point]
    every: int
    """One of so many writes is a point."""
    without_promise: int
    """Points before anything was acknowledged, or after all was deleted: there is nothing to lose."""
    dropped: int
    """Points of which the bytes were dropped to make room."""
    after_lies: int
    """Points after the storage had lied on purpose."""


@dataclass(frozen=True)
class RunEvents:
    """The events of one run."""

    began: int
    """The latest one before it."""
    next_began: int | None
    """The latest one before the next run; None if there is none."""


def make_plan(history: StorageHistory, spans: Sequence[PromiseSpan], run: RunEvents, every: int | None) -> Plan:
    """Choose the points of a run: after each `every`-th of its writes, and always after its last one."""
    counts = [
        number
        for number, write in enumerate(history.past.writes, start=1)
        if write.applied > run.began and (run.next_began is None or write.applied <= run.next_began)
    ]
    step = every or max(1, -(-len(counts) // POINTS_BY_DEFAULT))
    chosen = counts[::-1][::step][::-1]
    points, dropped, after_lies = list[Point](), 0, 0
    for count in chosen:
        point = point_at(history, spans, count)
        if point.event < history.size.whole_from:
            dropped += 1
        elif history.lied_from is not None and point.until_event >= history.lied_from:
            after_lies += 1
        else:
            points.append(point)
    worthwhile = [point for point in points if point.promised]
    return Plan(tuple(_spread(worthwhile)), step, len(points) - len(worthwhile), dropped, after_lies)


def point_at(history: StorageHistory, spans: Sequence[PromiseSpan], count: int) -> Point:
    """The point after so many writes."""
    first, last = history.past.events_after(count)
    spoiled_from = history.misled_from or 0
    return Point(
        count,
        first,
        last,
        promised(spans, first, last, spoiled_from=spoiled_from),
        promised(spans, last, spoiled_from=spoiled_from),
    )


def _spread(points: Sequence[Point]) -> Iterator[Point]:
    """First each so many-th point, then those in between."""
    done: set[int] = set()
    for stride in _STRIDES:
        for number in range(len(points) - 1, -1, -stride)[::-1]:
            if number not in done:
                done.add(number)
                yield points[number]
