"""Measures where the wall-clock time of a run goes.

Many things happen at the same time. Each moment is counted for one kind of work: the first in `Work` that is being done
then. While the target works, the run does not wait for what snapstorm does at the same time. So the seconds of all
kinds add up to those of the run, and only the seconds outside the target's could be saved.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Work(StrEnum):
    """Kinds of work. If several are being done, the moment counts for the first one."""

    TARGET = "target"
    """The target works: its commands run, or its server starts."""
    WRITING = "writing"
    """Files of clients are written, changed or deleted."""
    SCANNING = "scanning"
    """Trees of clients or of restores are read."""
    REMOVING = "removing"
    """Restored trees are removed."""
    LEDGER = "ledger"
    WAITING = "waiting"
    """None of these: choosing, comparing, starting up, or waiting."""


class Meter:
    """Adds up the seconds of each kind of work."""

    def __init__(self, now_seconds: Callable[[], float]) -> None:
        self._now_seconds = now_seconds
        self.busy = {work: _Kind(self) for work in Work}
        """By kind: the block in which work of this kind is done or waited for. Several such blocks may overlap."""
        self._in_order = tuple(self.busy.values())
        self._waiting = self.busy[Work.WAITING]
        self._since_seconds = now_seconds()

    @property
    def seconds_by_work(self) -> dict[Work, float]:
        """The seconds of each kind until now."""
        self.account()
        return {work: kind.seconds for work, kind in self.busy.items()}

    def account(self) -> None:
        """Count the time since the last call for the kind of work to which it belongs."""
        now_seconds, current = self._now_seconds(), self._waiting
        for kind in self._in_order:
            if kind.pieces:
                current = kind
                break
        current.seconds += now_seconds - self._since_seconds
        self._since_seconds = now_seconds


class _Kind:
    """One kind of work; as a block, one piece of it. Plain, because each action has several such blocks."""

    __slots__ = ("_meter", "pieces", "seconds")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.pieces = 0
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._meter.account()
        self.pieces += 1

    def __exit__(self, *_: object) -> None:
        self._meter.account()
        self.pieces -= 1
