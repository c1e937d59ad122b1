"""Where the time of a run goes, by the clock on the wall.

Many things happen at once. Each moment belongs to one kind of work, the first of `Work` that is being done then: while
the target works, what snapstorm does beside it is not what the run waits for. So the seconds of all kinds add up to
those of the run, and all but the target's are what it could be shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Work(StrEnum):
    """Kinds of work, the one first to which a moment belongs in which several are done."""

    TARGET = "target"
    """The target works: its commands run, or its server starts."""
    WRITING = "writing"
    """Clients' files are written, changed and deleted."""
    SCANNING = "scanning"
    """Trees are read, of clients and of restores."""
    REMOVING = "removing"
    """Restored trees are removed."""
    LEDGER = "ledger"
    WAITING = "waiting"
    """None of these: choosing, comparing, starting up, or just waiting."""


class Meter:
    """Adds up the seconds of each kind."""

    def __init__(self, now_seconds: Callable[[], float]) -> None:
        self._now_seconds = now_seconds
        self._kinds = {work: _Kind(self) for work in Work}
        self._in_order = tuple(self._kinds.values())
        self._waiting = self._kinds[Work.WAITING]
        self._since_seconds = now_seconds()

    def busy(self, work: Work) -> _Kind:
        """Work of this kind is done in the block, or waited for; other pieces of it may be going on."""
        return self._kinds[work]

    @property
    def seconds_by_work(self) -> dict[Work, float]:
        """Until now."""
        self.account()
        return {work: kind.seconds for work, kind in self._kinds.items()}

    def account(self) -> None:
        """Give the time since the last call to the kind to which it belongs."""
        now_seconds, current = self._now_seconds(), self._waiting
        for kind in self._in_order:
            if kind.pieces:
                current = kind
                break
        current.seconds += now_seconds - self._since_seconds
        self._since_seconds = now_seconds


class _Kind:
    """One kind of work; as a block, a piece of it. There are several such blocks to each action, so it is plain."""

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
