"""A testbed of a million operations and a hundred thousand live snapshots: what a look and a new run cost on it.

    python benchmarks/big_ledger.py [--operations 1000000] [--live 100000]

Makes a testbed of the memory target by a real run, then multiplies the history of its snapshots, in the ledger and in
the store alike, and measures `snapstorm status`, `snapstorm history`, and a run of one action: seconds of the whole
process, seconds until the clients are at work, and the greatest memory.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SNAPSTORM = [sys.executable, "-m", "snapstorm"]
CLIENTS = 4
GOALS = "goals: status under 1 s, first action within 1.8 s, memory under 120 MiB"


def fill(testbed: Path, operations: int, live: int) -> None:
    """Multiply what one run of each client has left."""
    run = [*SNAPSTORM, "run", "--target", "memory", "--clients", str(CLIENTS), "--testbed", str(testbed)]
    run += ["--actions", "40", "--seed", "1", "--option", "write-random-files.count=1..3", "--progress", "none"]
    run += ["--option", "write-random-files.size_bytes=0..4096"]
    subprocess.run(run, check=True, capture_output=True, timeout=300)
    ledger = sqlite3.connect(testbed / "ledger.sqlite3", isolation_level=None)
    ledger.execute("PRAGMA synchronous = OFF")
    ledger.execute("BEGIN")
    templates = ledger.execute(
        "SELECT e.client, e.source, e.manifest, e.capabilities, e.snapshot FROM expectations e WHERE state = 'live'"
    ).fetchall()
    ticks = iter(range(10_000_000, 10_000_000 + 3 * operations))
    store = sqlite3.connect(testbed / "repository" / "snapshots.sqlite3", isolation_level=None)
    store.execute("BEGIN")
    for number, template in zip(range(live), _cycle(templates), strict=False):
        _add_snapshot(ledger, store, number, template, ticks)
    for number in range(operations - live):
        tick = next(ticks)
        ledger.execute(
            "INSERT INTO operations (id, run, client, step, action, options, began_tick, began_seconds, ended_tick,"
            " seconds, outcome) VALUES (?, 1, ?, ?, 'modify-files', '{}', ?, 1.0, ?, 0.1, 'ok')",
            (
                f"r1-client-{number % CLIENTS + 1}-m{number}",
                f"client-{number % CLIENTS + 1}@snapstorm",
                number,
                tick,
                tick,
            ),
        )
    for connection in (store, ledger):
        connection.execute("COMMIT")
        connection.close()


def _cycle(templates: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    while True:
        yield from templates


def _add_snapshot(
    ledger: sqlite3.Connection, store: sqlite3.Connection, number: int, template: tuple[str, ...], ticks: Iterator[int]
) -> None:
    client, source, manifest, capabilities, snapshot = template
    operation, identifier = f"r1-{client.partition('@')[0]}-f{number}", f"{number:032x}"
    tick, acknowledged = next(ticks), next(ticks)
    ledger.execute(
        "INSERT INTO operations (id, run, client, step, action, options, began_tick, began_seconds, ended_tick,"
        " seconds, outcome) VALUES (?, 1, ?, ?, 'snapshot-root', '{}', ?, 1.0, ?, 0.1, 'ok')",
        (operation, client, number, tick, acknowledged),
    )
    ledger.execute(
        "INSERT INTO expectations (operation, client, source, manifest, capabilities, state, began_tick, snapshot,"
        " acknowledged_tick) VALUES (?, ?, ?, ?, ?, 'live', ?, ?, ?)",
        (operation, client, source, manifest, capabilities, tick, identifier, acknowledged),
    )
    store.execute(
        "INSERT INTO snapshots (number, id, client, source, testbed, operation, particulars, items)"
        " SELECT ?, ?, client, source, testbed, ?, particulars, items FROM snapshots WHERE id = ?",
        (tick, identifier, operation, snapshot),
    )


def measure(*arguments: str) -> tuple[float, float, float]:
    """Seconds of the whole process, seconds until clients are at work, and greatest memory in MiB."""
    began = time.perf_counter()
    at_work_seconds, memory_mib = 0.0, 0.0
    with subprocess.Popen(
        [*SNAPSTORM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        status = Path(f"/proc/{process.pid}/status")
        for line in process.stderr:
            if "at work" in line and at_work_seconds == 0.0:
                at_work_seconds = time.perf_counter() - began
                found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
                memory_mib = int(found[1]) / 1024 if found else 0.0
                process.kill()
    return time.perf_counter() - began, at_work_seconds, memory_mib


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--live", type=int, default=100_000)
    options = parser.parse_args()
    memory = Path("/dev/shm")
    scratch = Path(tempfile.mkdtemp(prefix="snapstorm-big-", dir=memory if memory.is_dir() else None))
    bed = scratch / "bed"
    try:
        fill(bed, options.operations, options.live)
        print(f"{options.operations:,} operations, {options.live:,} live snapshots; {GOALS}")
        print(f"status   {measure('status', '--testbed', str(bed))[0]:.2f} s")
        print(f"history  {measure('history', '--testbed', str(bed))[0]:.2f} s")
        run = ("run", "--target", "memory", "--testbed", str(bed), "--actions", "1", "--progress", "plain")
        _, first_action_seconds, memory_mib = measure(*run)
        print(f"run      first action after {first_action_seconds:.2f} s, {memory_mib:.0f} MiB until then")
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
