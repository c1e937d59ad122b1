"""The only place that reads clocks. Tests and later simulations replace `Clock` to have time of their own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Clock:
    """Real time."""

    def monotonic_seconds(self) -> float:
        """Seconds since an arbitrary moment; never goes back. For durations."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """The moment as file systems stamp it. For comparing with their stamps, never for durations."""
        return time.time_ns()

    def utc(self) -> str:
        """The moment as people and databases read it: `2026-01-31T12:00:00Z`."""
        return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
