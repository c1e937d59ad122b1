"""Running the command line as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tests.e2e.preloaded import preloaded
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.testbed.testbed import read_testbed

SMALL = (
    "--option", "write-random-files.size_bytes=0..20000", "--option", "write-random-files.count=1..10",
    "--weights", "snapshot-root=60", "--weights", "write-random-files=40", "--weights", "delete-random-snapshot=2",
    "--weights", "expire=0",
)  # fmt: skip
"""Small files, and weights by which a short run is sure to have a snapshot to verify."""

NO_DELETIONS = ("--weights", "delete-random-snapshot=0", "--weights", "expire=0")
"""Beside those who write directly to the repository, Kopia sometimes undoes a deletion (`deleted-comes-back` in
docs/known-bugs.md), which a run would rightly call a violation."""


def scenario(*steps: str, clients: int = 2) -> str:
    """A scenario in TOML. Each step is an action with its options: `"expire keep_latest = 2"`."""
    tables = []
    for step in steps:
        action, _, options = step.partition(" ")
        tables.append(f'    {{ action = "{action}"{options and ", "}{options} }},')
    return "\n".join([f"clients = {clients}", "steps = [", *tables, "]", ""])


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout, which must hold nothing else."""
        value = json.loads(self.stdout)
        assert isinstance(value, dict)
        return value


def command(*arguments: str | Path) -> list[str]:
    """The command line, as this Python would run it."""
    return [sys.executable, "-m", "snapstorm", *map(str, arguments)]


def snapstorm(
    *arguments: str | Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdout: str | None = None,
    stderr: str | None = None,
    seconds_max: float = GIVE_UP_SECONDS,
) -> Ran:
    """Run the command line to its end, in a process that need not load it, unless `env` changes what Python finds. An
    output may go to another place."""
    if "PYTHONPATH" in (env or {}):
        assert stdout is None
        assert stderr is None
        return snapstorm_from_the_start(*arguments, env=env or {}, cwd=cwd)
    redirected = {name: place for name, place in (("stdout", stdout), ("stderr", stderr)) if place is not None}
    ended = preloaded().run(
        [str(argument) for argument in arguments],
        cwd=str(cwd or Path.cwd()),
        env={**os.environ, **(env or {})},
        redirected=redirected,
        seconds_max=seconds_max,
    )
    return Ran(*ended)


def snapstorm_from_the_start(*arguments: str | Path, env: dict[str, str], cwd: Path | None = None) -> Ran:
    """Run the command line to its end, for tests of what happens while Python starts or modules are loaded."""
    done = subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
        env={**os.environ, **env},
        cwd=cwd,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def owned_processes(testbed: str) -> list[int]:
    """Processes that carry the mark of this testbed."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SNAPSTORM_OWNER", "").startswith(testbed):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def wait_until_none_left(bed: Path) -> None:
    """Return once no process of this testbed is left: after a kill its watchdog ends them."""
    with read_testbed(bed) as ledger:
        mark = ledger.fact("testbed_id") or ""
    wait_until(lambda: not owned_processes(mark), lambda: owned_processes(mark))


def lines_of(text: str) -> Sequence[str]:
    return [line for line in text.splitlines() if line.strip()]
