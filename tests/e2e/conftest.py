"""What the command line tests share: running it as a user does, and wrappers around the real Kopia that misbehave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from snapstorm.targets.kopia.discovery import find_kopia

RUN_SECONDS_MAX = 240


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


def snapstorm(*arguments: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
    """Run the command line to its end."""
    done = subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
        env={**os.environ, **(env or {})},
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


@pytest.fixture(scope="session")
def real_kopia() -> Path:
    """The Kopia under test; a missing one is an error, never a skip."""
    return find_kopia(None).path


@pytest.fixture
def wrapper(scratch: Path, real_kopia: Path) -> Callable[[str], Path]:
    """Makes a program that stands for Kopia and misbehaves: `body` sees `argv`, `real` and `run(argv)`."""

    def make(body: str) -> Path:
        path = scratch / "kopia-wrapper"
        head = f"""\
            #!{sys.executable}
            import json, os, pathlib, subprocess, sys
            real, argv = {str(real_kopia)!r}, sys.argv[1:]
            counter = pathlib.Path({str(scratch / "count")!r})

            def run(arguments):
                return subprocess.run([real, *arguments], stdin=subprocess.DEVNULL, capture_output=True)

            def nth(number):
                with counter.open("ab") as file:
                    file.write(b".")
                return counter.stat().st_size == number

            def positional():
                return [word for word in argv if not word.startswith("-")]

            """
        tail = "\nos.execv(real, [real, *argv])\n"
        path.write_text(textwrap.dedent(head) + textwrap.dedent(body) + tail)
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def nothing_left(scratch: Path) -> Iterator[None]:
    """After the test, no process works below its scratch directory."""
    yield
    left = []
    for process in psutil.process_iter():
        try:
            if str(scratch) in " ".join(process.cmdline()) or str(scratch) in process.environ().get("KOPIA_CONFIG_PATH", ""):
                left.append((process.pid, process.name()))
        except (psutil.Error, OSError):
            continue
    assert not left


def lines_of(text: str) -> Sequence[str]:
    return [line for line in text.splitlines() if line.strip()]
