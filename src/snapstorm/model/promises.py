"""What is promised of a storage whose past is known: which snapshots it holds at which of its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from snapstorm.model.expectations import Expectation


class PromiseSpan(NamedTuple):
    """From when to when a snapshot is promised.

    It begins with the latest event when the snapshot's creation had been acknowledged, or a listing had settled a doubt
    about it. It ends with the latest event before its deletion was asked for.
    """

    expectation: Expectation
    first_event: int
    last_event: int | None
    """None as long as nobody has asked for its deletion."""


def promised(
    spans: Iterable[PromiseSpan], event: int, until_event: int | None = None, *, spoiled_from: int = 0
) -> list[Expectation]:
    """The snapshots that the storage must hold as it was at this event, or at some event up to `until_event` while no
    write was applied.

    Not those that a fault may have spoiled, from the event on at which the first one can have done so, nor those of
    which it is not known what was to be kept.
    """
    last = event if until_event is None else until_event
    found = {
        span.expectation.operation: span.expectation
        for span in spans
        if span.first_event <= last and (span.last_event is None or span.last_event >= event)
        if (span.expectation.tainted_by is None or last < spoiled_from) and not span.expectation.is_promise_in_doubt
    }
    return list(found.values())
