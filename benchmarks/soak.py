"""A testbed's long life in short: run after run on one testbed, every second one killed, until the time is up.

    python benchmarks/soak.py [--minutes 30] [--run-seconds 60] [--target kopia] [--testbed DIR] [--seed N]

Ends with a sweep of every live snapshot and the table of what has been proven. Fails when a run that was not killed
does not pass, when a kill leaves a process behind, or when the last run takes over 20 % more memory, or time to its
first action, than the first one that found a history.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from snapstorm.runtime.watchdog import owned_processes

SNAPSTORM = [sys.executable, "-m", "snapstorm"]
AT_WORK = re.compile(r"client\(s\) at work")
GROWTH_MAX = 1.2
REPOSITORY_BYTES_MAX = "6GiB"
"""The testbed lives in memory where it can."""
RUN_SECONDS_MAX = 1800
LEFT_OVER_SECONDS_MAX = 10


@dataclass
class Lap:
    """One run that was not killed."""

    first_action_seconds: float
    memory_mib: float


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """A run, with its progress to be read."""
    return subprocess.Popen([*SNAPSTORM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def run_lap(arguments: list[str]) -> Lap:
    """A whole run, which must pass."""
    began = time.perf_counter()
    first_action_seconds = 0.0
    process = start(arguments)
    guard = threading.Timer(RUN_SECONDS_MAX, process.kill)
    guard.start()
    lines: list[str] = []
    memory_mib = 0.0
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        memory_mib = max(memory_mib, greatest_memory_mib(process.pid))
        if first_action_seconds == 0.0 and AT_WORK.search(line):
            first_action_seconds = time.perf_counter() - began
    status = process.wait()
    guard.cancel()
    if status != 0:
        sys.exit(f"a run that was not killed ended with status {status}:\n{''.join(lines)}")
    print(f"  {lines[-1].strip()}", flush=True)
    return Lap(first_action_seconds, memory_mib)


def greatest_memory_mib(pid: int) -> float:
    """The most memory that the process itself has held; what `wait4` tells would include Kopia's."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def run_and_kill(arguments: list[str], after_seconds: float, testbed: Path) -> None:
    """A run that is killed in the midst of its work, and must leave no process behind."""
    with start(arguments) as process:
        guard = threading.Timer(after_seconds, process.send_signal, [signal.SIGKILL])
        guard.start()
        assert process.stderr is not None
        process.stderr.read()
    owner = json.loads(look("status", testbed, "--json"))["id"]
    deadline = time.monotonic() + LEFT_OVER_SECONDS_MAX
    while owned_processes(owner) and time.monotonic() < deadline:
        time.sleep(0.1)
    if owned_processes(owner):
        sys.exit(f"a kill after {after_seconds:.1f} s left processes: {owned_processes(owner)}")
    print(f"  killed after {after_seconds:.1f} s, nothing left", flush=True)


def look(command: str, testbed: Path, *options: str) -> str:
    """What a command that only looks prints."""
    words = [*SNAPSTORM, command, "--testbed", str(testbed), *options]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout


def soak(testbed: Path, minutes: float, run_seconds: int, target: str, draws: random.Random) -> list[Lap]:
    """Run after run until the time is up. Returns the runs that were not killed, but for the very first one."""
    arguments = ["run", "--testbed", str(testbed), "--target", target, "--duration", f"{run_seconds}s"]
    arguments += ["--progress", "plain", "--repository-bytes-max", REPOSITORY_BYTES_MAX]
    deadline = time.monotonic() + 60 * minutes
    run_lap(arguments)
    laps: list[Lap] = []
    while time.monotonic() < deadline or len(laps) < 2:
        run_and_kill(arguments, draws.uniform(1.0, run_seconds * 1.2), testbed)
        laps.append(run_lap(arguments))
    return laps


def main() -> None:
    """Soak, and say what it showed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--run-seconds", type=int, default=60)
    parser.add_argument("--target", default="kopia")
    parser.add_argument("--testbed", type=Path)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="draws the kills")
    options = parser.parse_args()
    memory = Path("/dev/shm")
    scratch = Path(tempfile.mkdtemp(prefix="snapstorm-soak-", dir=memory if memory.is_dir() else None))
    testbed = options.testbed or scratch / "bed"
    print(f"soaking {testbed} for {options.minutes:g} minutes, seed {options.seed}", flush=True)
    try:
        laps = soak(testbed, options.minutes, options.run_seconds, options.target, random.Random(options.seed))
        swept = subprocess.run([*SNAPSTORM, "sweep", "--testbed", str(testbed)], timeout=RUN_SECONDS_MAX, check=False)
        print(look("history", testbed, "--limit", "10"))
    finally:
        shutil.rmtree(scratch)
    first, last = laps[0], laps[-1]
    time_growth = last.first_action_seconds / first.first_action_seconds
    memory_growth = last.memory_mib / first.memory_mib
    print(
        f"{len(laps)} runs and as many kills; from first to last: first action after {first.first_action_seconds:.2f} "
        f"-> {last.first_action_seconds:.2f} s ({time_growth:.2f}), memory {first.memory_mib:.0f} -> "
        f"{last.memory_mib:.0f} MiB ({memory_growth:.2f})"
    )
    if swept.returncode != 0 or max(time_growth, memory_growth) > GROWTH_MAX:
        sys.exit("the soak failed")


if __name__ == "__main__":
    main()
