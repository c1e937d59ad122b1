"""When the snapshots of each run can have been taken, from the ledger, as far as this machine's clock can be trusted.

A run counts its time on a clock that nobody can set, from a beginning that was read from the one that people set. Where
the two part, as after a suspension, the run's snapshots are not held against the clock, by no later run either.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from snapstorm.ledger.ledger import Ledger
from snapstorm.model.dating import CLOCK_TOLERANCE_US, TimeSpan

CLOCK_WAS_SET = "clock_was_set_in_run_"
"""The facts that say in which runs the clock was set, by their numbers."""

CLOCK_SET_BY_US = CLOCK_TOLERANCE_US // 2
"""A clock that has moved by more was set; by less, no snapshot is misdated by it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Dating:
    """Dates the snapshots that one run is shown."""

    def __init__(self, ledger: Ledger, run_number: int) -> None:
        self._ledger = ledger
        self._run_number = run_number
        self.spans = _spans_of_earlier_runs(ledger, run_number)
        """When each run can have taken its snapshots, by its number; without those of which it can't be told."""
        row = ledger.record.run(run_number) or {}
        self._began_us = None if _was_clock_set(ledger, run_number) else _microseconds(row.get("began_utc"))

    def span_of(self, operation: str) -> TimeSpan | None:
        """When a recorded operation of this run was done that has ended; None where that can't be told."""
        recorded = self._ledger.record.operation(operation) if self._began_us is not None else None
        if recorded is None or recorded.ended_seconds is None:
            return None
        return self.span(recorded.began_seconds, recorded.ended_seconds)

    def come_to(self, seconds: float, wall_ns: int | None = None) -> bool:
        """The run has come to this moment on its own clock: until then it can have taken snapshots. Returns whether
        the machine's clock, which says `wall_ns`, shows now for the first time that it was set."""
        if self._began_us is None:
            return False
        now_us = self._began_us + int(seconds * 1e6)
        if wall_ns is None or abs(wall_ns // 1000 - now_us) <= CLOCK_SET_BY_US:
            self.spans[self._run_number] = TimeSpan(self._began_us, now_us)
            return False
        self._began_us = None
        self.spans.pop(self._run_number, None)
        self._ledger.set_fact(f"{CLOCK_WAS_SET}{self._run_number}", "1")
        return True

    def span(self, began_seconds: float, ended_seconds: float) -> TimeSpan | None:
        """From one moment of the run's clock to another; None where the machine's clock can't be trusted."""
        if self._began_us is None:
            return None
        return TimeSpan(self._began_us + int(began_seconds * 1e6), self._began_us + int(ended_seconds * 1e6))


def _spans_of_earlier_runs(ledger: Ledger, run_number: int) -> dict[int, TimeSpan]:
    """From the beginning of each run to its end, or, of one that was killed, to the beginning of the next."""
    rows = ledger.runs()
    found: dict[int, TimeSpan] = {}
    for row, following in pairwise(rows):
        number, began_us = row["number"], _microseconds(row["began_utc"])
        ended_us = _microseconds(row["ended_utc"] or following["began_utc"])
        if number >= run_number or began_us is None or ended_us is None or _was_clock_set(ledger, number):
            continue
        found[number] = TimeSpan(began_us, ended_us)
    return found


def _was_clock_set(ledger: Ledger, run_number: int) -> bool:
    return ledger.fact(f"{CLOCK_WAS_SET}{run_number}") is not None


def _microseconds(utc: str | None) -> int | None:
    """Since 1970; None for no time."""
    try:
        return (datetime.fromisoformat(utc or "") - _EPOCH) // timedelta(microseconds=1)
    except (TypeError, ValueError):
        return None
