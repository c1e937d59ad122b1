"""What the command line tests share: wrappers around the real Kopia that misbehave, and a look for what is left."""

from __future__ import annotations

import hashlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.directories import memory_directory
from tests.e2e.commandline import snapstorm
from tests.waiting import wait_until

from snapstorm.targets.kopia.discovery import find_kopia


@pytest.fixture(scope="session")
def real_kopia() -> Path:
    """The Kopia under test; a missing one is an error, never a skip."""
    return find_kopia(None).path


@pytest.fixture
def wrapper(scratch: Path, real_kopia: Path) -> Callable[..., Path]:
    """Makes a program that stands for Kopia and misbehaves. `body` sees `argv`, `real`, and the functions below; what
    it does not answer itself goes to the real one."""

    def make(body: str, name: str = "kopia-wrapper") -> Path:
        path = scratch / name
        head = f"""\
            #!{sys.executable} -SE
            import json, os, pathlib, subprocess, sys
            real, argv = {str(real_kopia)!r}, sys.argv[1:]
            counter = pathlib.Path({str(scratch / "count")!r})

            def run(arguments):
                return subprocess.run([real, *arguments], stdin=subprocess.DEVNULL, capture_output=True)

            def answer(value):
                print(json.dumps(value))
                sys.exit(0)

            def end_like(done):
                sys.stdout.buffer.write(done.stdout)
                sys.stderr.buffer.write(done.stderr)
                sys.exit(done.returncode)

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


@pytest.fixture(scope="session")
def recordings() -> Iterator[Path]:
    """Where testbeds are kept that several tests begin with."""
    with memory_directory() as place:
        yield place


Recorded = Callable[..., Path]


@pytest.fixture
def recorded(recordings: Path, scratch: Path) -> Recorded:
    """Gives a test `bed`, its own copy of the testbed of one run of a scenario on a simulated target."""

    def give(target: str, text: str, seed: int = 5) -> Path:
        kept = recordings / hashlib.sha256(f"{target} {seed} {text}".encode()).hexdigest()[:16]
        if not kept.exists():
            config = kept.with_suffix(".toml")
            config.write_text(text)
            ran = snapstorm("run", "--config", config, "--target", target, "--testbed", kept, "--seed", f"{seed}")
            assert ran.status == (1 if ":" in target else 0), ran.stderr
        shutil.copytree(kept, scratch / "bed", symlinks=True)
        return scratch / "bed"

    return give


@pytest.fixture(autouse=True)
def temporary_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files that is removed after the test: a violated run keeps its testbed there."""
    with memory_directory() as place:
        monkeypatch.setenv("TMPDIR", str(place))
        yield place


@pytest.fixture
def nothing_left(scratch: Path) -> Iterator[None]:
    """Soon after the test, no process works below its scratch directory."""
    yield
    wait_until(lambda: not processes_below(scratch), lambda: processes_below(scratch))


def processes_below(directory: Path) -> list[str]:
    """Processes whose command line or Kopia configuration lies below a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            config = process.environ().get("KOPIA_CONFIG_PATH", "")
        except (psutil.Error, OSError):
            continue
        if any(str(directory) in place for place in (*words, config)):
            found.append(f"{process.pid} {' '.join(words)}")
    return found
