"""When it is judged whether storage levels off: in virtual time, and where all that may be held is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from snapstorm.model.observations import ObservationKind, decode_held
from snapstorm.model.stored_size import COLLECTIONS_MAX
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.scenario.scenarios import Scenario
from snapstorm.testbed.testbed import LEDGER_NAME, read_testbed

pytestmark = pytest.mark.anyio

START = "2022-01-01T00:00:00Z"
SIZE_BYTES = 10_000

Tamper: TypeAlias = "Callable[[sqlite3.Connection], object]"


async def live(testbed: Path, rounds: int, *, hours: int = 48, start: str | None = START, **more: Any) -> list[Any]:
    """Live so many times two days, each time with a new file instead of the last one, a snapshot and a full collection.
    Returns what was judged of the storage."""
    steps = [
        {"action": "delete-files", "percent": 100},
        {"action": "write-random-files", "count": 1, "size_bytes": SIZE_BYTES},
        {"action": "snapshot-root"},
        {"action": "restore-random-snapshot", "every": 2},
        {"action": "run-gc", "alone": True},
        *([{"action": "advance-time", "hours": hours, "alone": True}] if start else []),
    ]
    scenario = Scenario.model_validate(
        {"name": "days", "clients": 1, "steps": steps, "rounds": rounds, "virtual_start": start, **more}
    )
    options = HarnessOptions(
        testbed=testbed,
        target="memory",
        seed=1,
        virtual_start=start,
        retention=scenario.retention,
        clock_skews_seconds=scenario.clock_skews_seconds,
    )
    async with open_harness(options) as harness:
        await harness.run_scenario(scenario)
        await harness.finish()
    assert harness.result.verdict is Verdict.PASS, harness.result.reason
    with read_testbed(testbed) as ledger:
        observations = ledger.observations(harness.result.run)
        return [decode_held(one.encoded) for one in observations if one.kind == ObservationKind.SIZE]


def tamper(testbed: Path, change: Tamper) -> None:
    with sqlite3.connect(testbed / LEDGER_NAME) as connection:
        change(connection)
    connection.close()


async def test_it_is_judged_after_enough_collections(scratch: Path) -> None:
    """What expired before the first of them is not needed any more, what expired since then is."""
    (seen,) = await live(scratch / "bed", COLLECTIONS_MAX + 7, retention={"latest": 2})
    assert seen.collections == COLLECTIONS_MAX
    # Of each of these rounds one, and the one before them, which the retention still kept then.
    assert seen.needed_bytes == (COLLECTIONS_MAX + 1) * SIZE_BYTES
    assert seen.held_bytes >= 2 * SIZE_BYTES


async def test_it_is_not_judged_before(scratch: Path) -> None:
    assert await live(scratch / "bed", COLLECTIONS_MAX - 1) == []


async def test_collections_of_two_days_count_as_one(scratch: Path) -> None:
    assert await live(scratch / "bed", COLLECTIONS_MAX + 2, hours=24) == []


async def test_a_wrong_clock_takes_more_time(scratch: Path) -> None:
    """Here four days for each collection: what was dated by it is spared for longer."""
    assert await live(scratch / "skewed", COLLECTIONS_MAX + 2, clock_skews=("1d",)) == []
    assert len(await live(scratch / "right", COLLECTIONS_MAX + 2)) == 1


async def test_it_is_not_judged_in_real_time(scratch: Path) -> None:
    assert await live(scratch / "bed", COLLECTIONS_MAX + 2, start=None) == []


def without_trees(connection: sqlite3.Connection) -> object:
    """As after `snapstorm compact`."""
    digests = "SELECT manifest FROM expectations WHERE state = 'deleted'"
    assert connection.execute(digests).fetchall()
    return connection.execute(f"DELETE FROM manifests WHERE digest IN ({digests})")


def with_a_failed_collection(connection: sqlite3.Connection) -> object:
    last = "SELECT id FROM operations WHERE action = 'run-gc' ORDER BY began_tick DESC LIMIT 1"
    return connection.execute(f"UPDATE operations SET outcome = 'failed' WHERE id = ({last})")


def with_fault(key: str, outcome: str | None = "healed") -> Tamper:
    def change(connection: sqlite3.Connection) -> object:
        return connection.execute(
            "INSERT INTO faults (run, key, began_tick, began_seconds, outcome) VALUES (1, ?, 1, 0, ?)", (key, outcome)
        )

    return change


@pytest.mark.parametrize(
    ("change", "is_judged"),
    [
        pytest.param(lambda _: None, True, id="nothing"),
        pytest.param(with_fault("kill-client"), True, id="a fault beside the storage"),
        pytest.param(with_fault("flip-byte", "nothing: nothing is stored yet"), True, id="a fault that found nothing"),
        pytest.param(with_fault("flip-byte"), False, id="damage"),
        pytest.param(with_fault("storage-stale-read"), False, id="a veil"),
        pytest.param(with_fault("no-such-fault"), False, id="a fault of a later version"),
        pytest.param(without_trees, False, id="trees that are gone"),
        pytest.param(with_a_failed_collection, False, id="a failed collection"),
    ],
)
async def test_it_is_judged_only_where_all_is_known(scratch: Path, change: Tamper, *, is_judged: bool) -> None:
    """A testbed with this past, in its next run."""
    await live(scratch / "bed", COLLECTIONS_MAX + 2, retention={"latest": 2})
    tamper(scratch / "bed", change)
    seen = await live(scratch / "bed", 1, retention={"latest": 2})
    assert len(seen) == is_judged
