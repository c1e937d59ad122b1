"""The only place that reads clocks. Tests and later simulations replace `Clock`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
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
