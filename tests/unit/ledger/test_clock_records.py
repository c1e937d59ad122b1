"""Virtual time in the ledger: what was recorded has happened, whatever became of the run that recorded it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.ledger.findings import Verification
from snapstorm.ledger.history import AgeBucket
from snapstorm.ledger.ledger import AskedSnapshot, IntendedEffect, Ledger, OperationIntent
from snapstorm.model.lived_time import ClockJump
from snapstorm.model.manifest import Manifest
from snapstorm.runtime.clock import utc_of

START_NS = 1_640_995_200 * 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def begin(ledger: Ledger) -> int:
    return ledger.begin_run(seed=1, began_utc="2026-11-29T12:00:00Z", scenario="{}", target="{}")


def test_a_testbed_is_in_real_time_until_virtual_time_begins(ledger: Ledger) -> None:
    number = begin(ledger)
    assert not ledger.is_virtual
    assert ledger.lived_time(number) is None
    assert (ledger.virtual_offset_ns(), ledger.last_virtual_ns()) == (0, 0)
    ledger.begin_virtual_time(-5 * DAY_NS)
    assert ledger.is_virtual
    assert ledger.virtual_offset_ns() == -5 * DAY_NS


def test_all_jumps_of_all_runs_are_in_the_offset(ledger: Ledger) -> None:
    """Each belongs to its run."""
    ledger.begin_virtual_time(0)
    first, second = begin(ledger), begin(ledger)
    ledger.begin_virtual_run(first, START_NS, {"a": 5})
    ledger.begin_virtual_run(second, START_NS + DAY_NS, {})
    for number, seconds in ((first, 1.0), (first, 2.0), (second, 1.0)):
        ledger.jump_clock(number, ClockJump(seconds, DAY_NS))
    assert ledger.virtual_offset_ns() == 3 * DAY_NS
    lived = ledger.lived_times(second)
    assert [len(one.jumps) for one in lived.values()] == [2, 1]
    assert [ledger.count_jumps(number) for number in (first, second)] == [2, 1]
    assert lived[first].ahead_ns_by_client == {"a": 5}
    assert ledger.lived_times(first).keys() == {first}


def test_the_last_virtual_time_is_that_of_the_last_record(ledger: Ledger) -> None:
    """Be it an operation or a jump."""
    number = begin(ledger)
    ledger.begin_virtual_run(number, START_NS, {})
    assert ledger.last_virtual_ns() == START_NS
    ledger.begin_operation(OperationIntent("r1-c-1", number, "c", 1, "a", "{}", began_seconds=5.0))
    assert ledger.last_virtual_ns() == START_NS + 5_000_000_000
    ledger.jump_clock(number, ClockJump(7.0, DAY_NS))
    assert ledger.last_virtual_ns() == START_NS + DAY_NS + 7_000_000_000


def test_ages_are_virtual(ledger: Ledger) -> None:
    """How old a snapshot was when it was restored, and when it was taken, over jumps."""
    number = begin(ledger)
    ledger.begin_virtual_run(number, START_NS, {})
    for nth, seconds in enumerate((1.0, 3.0), start=1):
        operation, asked = f"r1-c-{nth}", AskedSnapshot("/data", "{}", Manifest(()))
        ledger.begin_operation(
            OperationIntent(operation, number, "c", nth, "a", "{}", seconds, IntendedEffect(creates=asked))
        )
        ledger.end_operation(operation, outcome="ok", reason="", seconds=0.5, snapshot=f"s{nth}")
        ledger.jump_clock(number, ClockJump(seconds + 0.7, 20 * DAY_NS))
    now_ns = START_NS + 40 * DAY_NS + 5_000_000_000
    for nth in (1, 2):
        ledger.add_verification(
            Verification(
                expectation=f"r1-c-{nth}",
                run=number,
                operation=None,
                is_whole=True,
                is_equal=True,
                is_narrowed=False,
                bytes=1,
                at_utc=utc_of(now_ns),
                target_versions="t",
                through="",
            )
        )
    survival = ledger.history.survival()
    assert {age: one.snapshots for age, one in survival.by_age.items()} == {AgeBucket.QUARTER: 1, AgeBucket.MONTH: 1}
    ages = [round(live.unproven.age_days) for live in ledger.history.live_snapshots(utc_of(now_ns))]
    assert sorted(ages) == [20, 40]
