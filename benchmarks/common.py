"""What all benchmarks share: a scratch directory in memory, whole processes timed, and runs in alternation."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SNAPSTORM = (sys.executable, "-m", "snapstorm")
MEMORY = Path("/dev/shm")


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """An empty directory, in memory where that is possible; gone when the block is left."""
    path = Path(tempfile.mkdtemp(prefix="snapstorm-bench-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass(frozen=True)
class Timed:
    """A whole process."""

    seconds: float
    cpu_seconds: float
    """Of the process and all that it has waited for."""
    stdout: str
    stderr: str


def run(
    argv: Sequence[str | Path],
    seconds_max: float = 900.0,
    *,
    may_fail: bool = False,
    env: Mapping[str, str] | None = None,
) -> Timed:
    """Run a command to its end. Raises RuntimeError with its words if it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=seconds_max, check=False, env=env
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0 and not may_fail:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timed(seconds, cpu_seconds, done.stdout, done.stderr)


def alternating(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Each measure once a round, one after the other, so that a drift of the machine hits all. By measure."""
    measured: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for values, measure in zip(measured, measures, strict=True):
            values.append(measure())
    return measured


@dataclass
class Row:
    """A line of the table."""

    what: str
    goal: str
    values: Sequence[float]
    """One for each round."""
    is_met: Callable[[float], bool]
    detail: str = ""
    format: str = "{:.2f}"
    skipped: str = ""
    """Why it was not measured."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if self.skipped:
            return "not measured"
        return "pass" if self.is_met(self.median) else "short"

    @property
    def measured(self) -> str:
        if self.skipped:
            return self.skipped
        spread = f" ({self.format.format(min(self.values))} to {self.format.format(max(self.values))})"
        return self.format.format(self.median) + (spread if len(self.values) > 1 else "")


@dataclass
class Table:
    """All rows so far, printed as they come."""

    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(f"{row.verdict:12} {row.what}: {row.measured}; goal {row.goal}; {row.detail}", flush=True)

    def as_markdown(self) -> str:
        """For the README."""
        lines = [
            "| what | goal | measured: median (least to most) | | seconds and sizes |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [f"| {row.what} | {row.goal} | {row.measured} | {row.verdict} | {row.detail} |" for row in self.rows]
        return "\n".join(lines)


def machine() -> str:
    """Which machine and versions, in one line."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    kopia = run([*SNAPSTORM, "target"]).stdout.splitlines()[0].removeprefix("target").strip()
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model[1] if model else platform.machine()}, "
        f"{int(memory[1]) >> 20 if memory else '?'} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {kopia}"
    )


def seconds_and_rest(values: Sequence[float]) -> str:
    """Values in seconds, for the detail of a row."""
    return ", ".join(f"{value:.1f}" for value in values) + " s"
