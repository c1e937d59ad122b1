"""How far a run is from the floor: the same Kopia commands, with the same overlap, and nothing around them.

    python benchmarks/floor.py [SCENARIO ...]

For each scenario it runs snapstorm on a fresh testbed (whole process, wall time) and then computes the floor from
the commands that the run's ledger recorded: the time during which at least one of them ran. What is left is
snapstorm's own: writing, scanning, comparing, the ledger, starting up. Figures are ratios; quote medians.
"""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GO_ORIGINAL_SECONDS = {
    "many-small-files": 49.0,
    "one-large-file": 17.6,
    "many-small-files-across-directory-tree": 80.1,
}
"""Whole process of Kopia's own Go suite, v0.23.1, on 2 cores with everything in memory."""

REPEATS = 3


def kopia_seconds(ledger: Path) -> float:
    """How long at least one recorded command ran."""
    with sqlite3.connect(ledger) as connection:
        spans = connection.execute("SELECT began_seconds, began_seconds + seconds FROM commands ORDER BY 1").fetchall()
    connection.close()
    covered, end = 0.0, float("-inf")
    # The server runs all the time and is no command that the run waits for.
    longest = max(spans, key=lambda span: span[1] - span[0])
    for began, ended in (span for span in spans if span is not longest):
        covered += max(0.0, ended - max(began, end))
        end = max(end, ended)
    return covered


def measure(scenario: str) -> tuple[float, float]:
    """Wall seconds of one whole run, and those in which Kopia worked."""
    memory = Path("/dev/shm")
    scratch = Path(tempfile.mkdtemp(prefix="snapstorm-bench-", dir=memory if memory.is_dir() else None))
    try:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "snapstorm", "run", scenario, "--testbed", scratch / "bed", "--progress", "none"],
            check=True,
            stderr=subprocess.DEVNULL,
            timeout=600,
        )
        return time.perf_counter() - began, kopia_seconds(scratch / "bed" / "ledger.sqlite3")
    finally:
        shutil.rmtree(scratch)


def main() -> None:
    """Print one row for each scenario."""
    print(f"{'scenario':42} {'run s':>7} {'floor s':>8} {'run/floor':>10} {'run/Go':>7}")
    for scenario in sys.argv[1:] or GO_ORIGINAL_SECONDS:
        rows = [measure(scenario) for _ in range(REPEATS)]
        run = statistics.median(row[0] for row in rows)
        ratio = statistics.median(row[0] / row[1] for row in rows)
        floor = statistics.median(row[1] for row in rows)
        go = f"{run / GO_ORIGINAL_SECONDS[scenario]:7.2f}" if scenario in GO_ORIGINAL_SECONDS else ""
        print(f"{scenario:42} {run:7.1f} {floor:8.1f} {ratio:10.2f} {go}")


if __name__ == "__main__":
    main()
