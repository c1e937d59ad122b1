"""When the snapshots of each run can have been taken, from the ledger and the clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.guarantees.time_spans import CLOCK_SET_BY_US, CLOCK_WAS_SET, Dating
from snapstorm.ledger.ledger import Ledger, OperationIntent
from snapstorm.model.action_results import Particulars
from snapstorm.model.dating import SaidSoFar, TimeSpan
from snapstorm.model.lived_time import ClockJump

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


START_NS = 1_640_995_200 * 1_000_000_000
"""2022-01-01T00:00:00Z"""
DAY_NS = 86_400 * 1_000_000_000


def moved(dating: Dating, run: int, days: float, client: str = "c") -> str:
    """What is wrong with a snapshot of this run, first listed as taken so many days after virtual time began."""
    said = Particulars(began_us=START_NS // 1000 + int(days * DAY_NS / 1000))
    ahead_us = dating.ahead_us.get((run, client), 0)
    return SaidSoFar().contradiction(f"r{run}-{client}-{days}", said, dating.spans, ahead_us)


def test_a_run_in_virtual_time_is_dated_by_that(ledger: Ledger) -> None:
    """A jump is no setting of the clock, what the machine's clock says is of no matter, and a later run goes on."""
    number = begin(ledger, "2026-11-29T12:00:00Z")
    ledger.begin_virtual_run(number, START_NS, {})
    dating = Dating(ledger, number)
    assert not dating.come_to(1.0, START_NS + 1_000_000_000)
    assert [bool(moved(dating, number, days)) for days in (-0.1, 0, 0.1)] == [True, False, True]
    ledger.jump_clock(number, ClockJump(2.0, 10 * DAY_NS))
    assert not dating.come_to(3.0, START_NS + 10 * DAY_NS + 3_000_000_000)
    assert [bool(moved(dating, number, days)) for days in (-0.1, 0, 5, 10, 10.1)] == [True, False, False, False, True]
    receipt = dating.span("c", 2.5, 3.0)
    jumped_us = (START_NS + 10 * DAY_NS) // 1000
    assert receipt == TimeSpan(jumped_us + 2_500_000, jumped_us + 3_000_000)
    later = begin(ledger, "2026-11-29T12:10:00Z")
    ledger.begin_virtual_run(later, START_NS + 11 * DAY_NS, {})
    again = Dating(ledger, later)
    assert [bool(moved(again, number, days)) for days in (-0.1, 0, 10, 11, 11.1)] == [True, False, False, False, True]
    assert ledger.fact(f"{CLOCK_WAS_SET}{number}") is None


def test_a_client_whose_clock_is_wrong_is_dated_by_that(ledger: Ledger) -> None:
    """In its own run, and in later ones; others are not."""
    number = begin(ledger, "2026-11-29T12:00:00Z")
    ledger.begin_virtual_run(number, START_NS, {"skewed": 2 * DAY_NS})
    dating = Dating(ledger, number)
    dating.come_to(5.0, START_NS + 5_000_000_000)
    later = begin(ledger, "2026-11-29T12:10:00Z")
    ledger.begin_virtual_run(later, START_NS + 600_000_000_000, {})
    for one in (dating, Dating(ledger, later)):
        assert [bool(moved(one, number, days, "skewed")) for days in (0, 2, 2.1)] == [True, False, True]
        assert [bool(moved(one, number, days)) for days in (0, 2)] == [False, True]
    assert dating.span("skewed", 0.0, 1.0) == TimeSpan(START_NS // 1000, START_NS // 1000 + SECOND_US).seen_from(
        2 * DAY_NS // 1000
    )
