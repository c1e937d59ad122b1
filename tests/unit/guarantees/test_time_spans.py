"""When the snapshots of each run can have been taken, from the ledger and the clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.guarantees.time_spans import CLOCK_SET_BY_US, Dating
from snapstorm.ledger.ledger import Ledger, OperationIntent
from snapstorm.model.action_results import Particulars
from snapstorm.model.dating import SaidSoFar, TimeSpan

SECOND_US = 1_000_000
BEGAN_US = 1_795_953_600 * SECOND_US
"""2026-11-29T12:00:00Z"""


@pytest.fixture
def ledger(scratch: Path) -> Iterator[Ledger]:
    opened = Ledger.open(scratch / "ledger.sqlite3")
    yield opened
    opened.close()


def begin(ledger: Ledger, began_utc: str, ended_utc: str | None = None) -> int:
    number = ledger.begin_run(seed=1, began_utc=began_utc, scenario="{}", target="{}")
    if ended_utc is not None:
        ledger.end_run(number, ended_utc=ended_utc, verdict="pass", summary="{}")
    return number


def dated(dating: Dating, run: int, hour: float) -> str:
    """What is wrong with a snapshot of this run, first listed as taken at this hour of the day."""
    moment_us = BEGAN_US + int((hour - 12) * 3600 * SECOND_US)
    return SaidSoFar().contradiction(f"r{run}-c-{hour}", Particulars(began_us=moment_us), dating.spans)


def test_snapshots_of_earlier_runs_are_dated_into_them(ledger: Ledger) -> None:
    """Of one without a time, nothing is known, nor of one that the ledger does not know."""
    begin(ledger, "2026-11-29T10:00:00Z", "2026-11-29T11:00:00Z")
    begin(ledger, "")
    begin(ledger, "2026-11-29T11:30:00Z", "2026-11-29T11:40:00Z")
    dating = Dating(ledger, begin(ledger, "2026-11-29T12:00:00Z"))
    assert [bool(dated(dating, 1, hour)) for hour in (9.9, 10.5, 11.1)] == [True, False, True]
    assert [bool(dated(dating, 3, hour)) for hour in (11.4, 11.6, 11.8)] == [True, False, True]
    assert [dated(dating, number, 3) for number in (2, 4, 5)] == ["", "", ""]


def test_a_killed_run_goes_on_until_the_next(ledger: Ledger) -> None:
    """When it was killed nobody has written down."""
    begin(ledger, "2026-11-29T10:00:00Z")
    dating = Dating(ledger, begin(ledger, "2026-11-29T12:00:00Z"))
    assert [bool(dated(dating, 1, hour)) for hour in (9.9, 11.9, 12.1)] == [True, False, True]


def test_snapshots_of_this_run_are_dated_from_its_beginning_until_now(ledger: Ledger) -> None:
    """And a receipt into its operation."""
    number = begin(ledger, "2026-11-29T12:00:00Z")
    ledger.begin_operation(OperationIntent("r1-c-1", number, "c", 1, "a", "{}", began_seconds=5.0))
    dating = Dating(ledger, number)
    assert dating.span_of("r1-c-1") is None
    ledger.end_operation("r1-c-1", outcome="ok", reason="", seconds=2.5)
    assert dating.span_of("r1-c-1") == TimeSpan(BEGAN_US + 5 * SECOND_US, BEGAN_US + 7_500_000)
    assert dating.span_of("r1-c-2") is None
    dating.come_to(3600.0)
    assert [bool(dated(dating, number, hour)) for hour in (11.9, 12.5, 13.1)] == [True, False, True]


def test_nothing_is_held_against_a_clock_that_was_set(ledger: Ledger) -> None:
    """Neither by this run, from when it shows, nor by a later one, nor when it is judged again."""
    number = begin(ledger, "2026-11-29T12:00:00Z", "2026-11-29T13:00:00Z")
    dating = Dating(ledger, number)
    right_ns = (BEGAN_US + 100 * SECOND_US) * 1000
    assert not dating.come_to(100.0, right_ns + CLOCK_SET_BY_US * 1000)
    assert not dating.come_to(100.0, right_ns - CLOCK_SET_BY_US * 1000)
    dating.come_to(100.0)
    assert dating.come_to(100.0, right_ns - CLOCK_SET_BY_US * 1000 - 1000)
    assert not dating.come_to(200.0, 0)
    dating.come_to(200.0)
    again, later = Dating(ledger, number), Dating(ledger, begin(ledger, "2026-11-29T14:00:00Z"))
    again.come_to(200.0)
    for one in (dating, again, later):
        assert dated(one, number, 3) == ""
        assert one.span_of("r1-c-1") is None
