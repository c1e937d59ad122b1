"""A clock on which hours pass at no cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.lowlevel import checkpoint

from snapstorm.runtime.clock import Clock

TURNS = 20
"""So many turns of the event loop all others have to come to their own waits, before time passes."""


class SteppedClock(Clock):
    """Stands still until somebody sleeps on it, and then goes on to the moment for which somebody waits next.

    Those who sleep wake in the order of their moments, however long they sleep. What waits for something else than time
    (a thread, a process) takes no time on this clock.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._moments: list[float] = []
        self._limits: list[tuple[float, anyio.CancelScope]] = []

    def monotonic_seconds(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        moment = self.seconds + seconds
        self._moments.append(moment)
        try:
            turns = 0
            while turns < TURNS or min(self._moments) < moment:
                await checkpoint()
                turns += 1
            self.go_on_to(moment)
        finally:
            self._moments.remove(moment)

    def go_on_to(self, moment: float) -> None:
        """Have it be this moment, unless it is later already. Blocks whose time is up until then are cancelled."""
        self.seconds = max(self.seconds, moment)
        for ends_seconds, scope in self._limits:
            if ends_seconds <= self.seconds:
                scope.cancel()

    @contextmanager
    def move_on_after(self, seconds: float) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            limit = (self.seconds + seconds, scope)
            self._limits.append(limit)
            try:
                yield scope
            finally:
                self._limits.remove(limit)
