"""The virtual time that a run has lived through: from moments of the run's own clock to those that its target was told.

Pure: whoever reads the ledger has the numbers. Moments of a run are seconds since it began; virtual ones nanoseconds
since 1970.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_NS_PER_SECOND = 1_000_000_000
SECONDS_PER_DAY = 86_400.0


class ClockJump(NamedTuple):
    """Virtual time that passed at once."""

    at_seconds: float
    """On the clock of its run."""
    by_ns: int


@dataclass(frozen=True)
class LivedTime:
    """The virtual time of one run."""

    began_ns: int
    jumps: Sequence[ClockJump] = ()
    """In order."""
    ahead_ns_by_client: Mapping[str, int] = field(default_factory=dict)
    """By how much the clock of each client was ahead; negative for behind. Those of others were right."""

    def at_ns(self, seconds: float) -> int:
        """The virtual time at this moment of the run, after the jumps that were recorded until then."""
        return self.began_ns + self._jumped_ns(seconds) + round(seconds * _NS_PER_SECOND)

    def ahead_us(self, client: str) -> int:
        """By how many microseconds this client's clock was ahead."""
        return self.ahead_ns_by_client.get(client, 0) // 1000

    def lived_days(self, until_seconds: float) -> float:
        """How many virtual days had passed in the run at this moment of it."""
        return (self.at_ns(until_seconds) - self.began_ns) / _NS_PER_SECOND / SECONDS_PER_DAY

    def _jumped_ns(self, seconds: float) -> int:
        count = bisect.bisect_right(self._moments, seconds)
        return self._sums[count - 1] if count else 0

    @functools.cached_property
    def _moments(self) -> list[float]:
        return [jump.at_seconds for jump in self.jumps]

    @functools.cached_property
    def _sums(self) -> list[int]:
        return list(itertools.accumulate(jump.by_ns for jump in self.jumps))
