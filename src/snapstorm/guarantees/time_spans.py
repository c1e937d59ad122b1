"""When the snapshots of each run can have been taken, from the ledger, as far as this machine's clock can be trusted.

A run counts its time on a clock that nobody can set, from a beginning that was read from the one that people set. Where
the two part, as after a suspension, the run's snapshots are not held against the clock, by no later run either.

A run in virtual time is dated by that, jumps included, and the snapshots of a client whose clock is wrong by its clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from snapstorm.ledger.ledger import Ledger
from snapstorm.model.dating import CLOCK_TOLERANCE_US, TimeSpan
from snapstorm.model.lived_time import LivedTime

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
        lived = ledger.lived_times(run_number)
        self.spans = _spans_of_earlier_runs(ledger, run_number, lived)
        """When each run can have taken its snapshots, by its number; without those of which it can't be told."""
        self.ahead_us = {
            (number, client): ahead_ns // 1000
            for number, one in lived.items()
            for client, ahead_ns in one.ahead_ns_by_client.items()
        }
        """By how much clocks were ahead that were not right, by the number of the run and the client."""
        row = ledger.record.run(run_number) or {}
        self._began_us = None if _was_clock_set(ledger, run_number) else _microseconds(row.get("began_utc"))
        self._lived = lived.get(run_number)

    def span_of(self, operation: str) -> TimeSpan | None:
        """When a recorded operation of this run was done that has ended, by the clock of its client; None where that
        can't be told."""
        recorded = self._ledger.record.operation(operation) if self._began_us is not None else None
        if recorded is None or recorded.ended_seconds is None:
            return None
        return self.span(recorded.client, recorded.began_seconds, recorded.ended_seconds)

    def come_to(self, seconds: float, clock_ns: int | None = None) -> bool:
        """The run has come to this moment on its own clock: until then it can have taken snapshots. Returns whether
        the clock by which snapshots are dated, which says `clock_ns`, shows now for the first time that it was set."""
        if self._began_us is None:
            return False
        began_us, now_us = self._us_at(0.0), self._us_at(seconds)
        if clock_ns is None or abs(clock_ns // 1000 - now_us) <= CLOCK_SET_BY_US:
            self.spans[self._run_number] = TimeSpan(began_us, now_us)
            return False
        self._began_us = None
        self.spans.pop(self._run_number, None)
        self._ledger.set_fact(f"{CLOCK_WAS_SET}{self._run_number}", "1")
        return True

    def span(self, client: str, began_seconds: float, ended_seconds: float) -> TimeSpan | None:
        """From one moment of the run's clock to another, by the clock of this client; None where the machine's clock
        can't be trusted."""
        if self._began_us is None:
            return None
        ahead_us = self.ahead_us.get((self._run_number, client), 0)
        return TimeSpan(self._us_at(began_seconds), self._us_at(ended_seconds)).seen_from(ahead_us)

    def _us_at(self, seconds: float) -> int:
        """A moment of the run's clock, in microseconds since 1970."""
        assert self._began_us is not None
        if self._lived is None:
            return self._began_us + int(seconds * 1e6)
        if self._ledger.count_jumps(self._run_number) > len(self._lived.jumps):
            self._lived = self._ledger.lived_time(self._run_number) or self._lived
        return self._lived.at_ns(seconds) // 1000


def _spans_of_earlier_runs(ledger: Ledger, run_number: int, lived: Mapping[int, LivedTime]) -> dict[int, TimeSpan]:
    """From the beginning of each run to its end, or, of one that was killed, to the beginning of the next."""
    rows = ledger.runs()
    found: dict[int, TimeSpan] = {}
    for row, following in pairwise(rows):
        number, began_us = row["number"], _microseconds(row["began_utc"])
        ended_us = _microseconds(row["ended_utc"] or following["began_utc"])
        if number >= run_number or began_us is None or ended_us is None or _was_clock_set(ledger, number):
            continue
        found[number] = TimeSpan(began_us, ended_us)
    # When a run in virtual time ended is known in real time only.
    for number, following_number in pairwise(sorted(lived)):
        found[number] = TimeSpan(lived[number].began_ns // 1000, lived[following_number].began_ns // 1000)
    return found


def _was_clock_set(ledger: Ledger, run_number: int) -> bool:
    return ledger.fact(f"{CLOCK_WAS_SET}{run_number}") is not None


def _microseconds(utc: str | None) -> int | None:
    """Since 1970; None for no time."""
    try:
        return (datetime.fromisoformat(utc or "") - _EPOCH) // timedelta(microseconds=1)
    except (TypeError, ValueError):
        return None
