"""Tells whether the other side is still heard."""

from __future__ import annotations

from snapstorm.runtime.clock import Clock

LOST_AFTER_SECONDS = 15.0
_BEATS_MIN = 6
"""So many signs of life fit into the time after which a side counts as lost."""
_INTERVAL_SECONDS_MAX = 2.0


class Liveness:
    """Whether the other side has been silent for too long.

    Time in which this process itself stood still (stopped, suspended, busy) does not count: what the other side sent
    meanwhile has not been read yet.
    """

    def __init__(self, lost_after_seconds: float, clock: Clock) -> None:
        self.lost_after_seconds = lost_after_seconds
        self.interval_seconds = min(_INTERVAL_SECONDS_MAX, lost_after_seconds / _BEATS_MIN)
        """How often to send a sign of life, and to ask."""
        self._clock = clock
        self._heard = self._asked = clock.monotonic_seconds()

    def hear(self) -> None:
        """Something has come."""
        self._heard = self._clock.monotonic_seconds()

    def is_lost(self) -> bool:
        """To be asked once in each interval."""
        now = self._clock.monotonic_seconds()
        stood_still = max(0.0, now - self._asked - 2 * self.interval_seconds)
        self._asked = now
        self._heard = min(now, self._heard + stood_still)
        return now - self._heard > self.lost_after_seconds
