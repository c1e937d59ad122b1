"""Where the time of a run goes, by the clock on the wall.

Many things happen at once. Each moment belongs to one kind of work, the first of `Work` that is being done then: while
the target works, what snapstorm does beside it is not what the run waits for. So the seconds of all kinds add up to
those of the run, and all but the target's are what it could be shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        self._busy = dict.fromkeys(Work, 0)
        self._seconds = dict.fromkeys(Work, 0.0)
        self._since_seconds = now_seconds()

    @contextmanager
    def busy(self, work: Work) -> Iterator[None]:
        """Work of this kind is done in the block, or waited for."""
        self.begin(work)
        try:
            yield
        finally:
            self.end(work)

    def begin(self, work: Work) -> None:
        """Work of this kind begins; another piece of it may be going on."""
        self._account()
        self._busy[work] += 1

    def end(self, work: Work) -> None:
        """A piece of work of this kind has ended."""
        self._account()
        self._busy[work] -= 1

    @property
    def seconds_by_work(self) -> dict[Work, float]:
        """Until now."""
        self._account()
        return dict(self._seconds)

    def _account(self) -> None:
        now_seconds = self._now_seconds()
        current = next((work for work, count in self._busy.items() if count), Work.WAITING)
        self._seconds[current] += now_seconds - self._since_seconds
        self._since_seconds = now_seconds
