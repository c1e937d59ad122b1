"""The only place that reads clocks and lets time pass. Tests and simulations replace `Clock`."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import anyio


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

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        await anyio.sleep(seconds)

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """A block that is cancelled once so much time has passed."""
        return anyio.move_on_after(seconds)
