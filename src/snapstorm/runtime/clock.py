"""The only place that reads clocks and lets time pass. Tests and simulations replace `Clock`.

There are three times. Monotonic time measures durations. Wall time is what the machine's clock says. Virtual time is
what the target under test is told; it is wall time, unless the run has a `VirtualClock`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import MappingProxyType

import anyio

NS_PER_SECOND = 1_000_000_000
_NO_SKEWS: Mapping[str, int] = MappingProxyType({})


class Clock:
    """Real time."""

    def monotonic_seconds(self) -> float:
        """Seconds since an arbitrary time; never decreases. For durations."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """The time as file systems record it. For comparison with their time stamps, never for durations."""
        return time.time_ns()

    def utc(self) -> str:
        """The time as people and databases read it: `2026-01-31T12:00:00Z`."""
        return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def virtual_ns(self, actor: str = "") -> int:
        """The time that the target lives by, in nanoseconds since 1970; as this actor's own clock has it."""
        return self.wall_ns()

    def virtual_utc(self) -> str:
        """The time that the target lives by, as people and databases read it."""
        return utc_of(self.virtual_ns())

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        await anyio.sleep(seconds)

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """A block that is cancelled once so much time has passed."""
        return anyio.move_on_after(seconds)


class VirtualClock(Clock):
    """Virtual time, which can be advanced. All other time is that of the real clock.

    Virtual time goes on as monotonic time does, from its beginning, and never stands still. Each actor's own clock may
    be ahead of it, or behind.
    """

    def __init__(self, real: Clock, began_ns: int, ahead_ns_by_actor: Mapping[str, int] = _NO_SKEWS) -> None:
        """It is `began_ns` now, in nanoseconds since 1970."""
        self._real = real
        self._began_ns = began_ns
        self._began_seconds = real.monotonic_seconds()
        self._ahead_ns_by_actor = ahead_ns_by_actor

    def monotonic_seconds(self) -> float:
        return self._real.monotonic_seconds()

    def wall_ns(self) -> int:
        return self._real.wall_ns()

    def utc(self) -> str:
        return self._real.utc()

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        return self._real.move_on_after(seconds)

    def virtual_ns(self, actor: str = "") -> int:
        elapsed_ns = round((self._real.monotonic_seconds() - self._began_seconds) * NS_PER_SECOND)
        return self._began_ns + elapsed_ns + self._ahead_ns_by_actor.get(actor, 0)

    def advance(self, by_ns: int) -> None:
        """Have this much virtual time pass at once. Raises ValueError for none, or less."""
        if by_ns <= 0:
            raise ValueError(f"time only goes forward, not by {by_ns} ns")
        self._began_ns += by_ns


def utc_of(moment_ns: int) -> str:
    """A moment, in nanoseconds since 1970, as people and databases read it: `2026-01-31T12:00:00Z`."""
    moment = datetime.fromtimestamp(moment_ns // NS_PER_SECOND, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def rfc3339_of(moment_ns: int) -> str:
    """A moment, in nanoseconds since 1970, to the nanosecond: `2026-01-31T12:00:00.000000001Z`."""
    return f"{utc_of(moment_ns)[:-1]}.{moment_ns % NS_PER_SECOND:09d}Z"
