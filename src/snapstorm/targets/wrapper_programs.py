"""Wrappers around the real program of a target: small programs that hand every command on to it, except where they
misbehave.

A wrapper is made in a private directory of its own and says nothing of its defect in its path: who runs it can't tell
it from the real one. What misbehaves, and how, is a table of each target.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind

PROGRAM = "program"
_STRUCK = "struck"
_BROKE = "broke"


@dataclass(frozen=True)
class WrapperDefect:
    """A defect that a wrapper adds to the real program."""

    sentence: str
    guarantee: Guarantee
    shown_by: WorkKind
    """The kind of work that shows it."""
    body: str
    """Python, run before the command is handed on; it sees what `_HELPERS` offers, and what its target adds."""


_HELPERS = r'''
import os, sys
import pathlib

argv = sys.argv[1:]


def complain(kind, error, trace):
    import traceback

    (state / "broke").write_text("".join(traceback.format_exception(kind, error, trace)))
    sys.exit(97)


sys.excepthook = complain


def count(what):
    """How often this has been counted, this time included, by all processes of this wrapper together."""
    import fcntl

    with open(state / f"count-{what}", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b".")
        file.flush()
        return os.fstat(file.fileno()).st_size


def strike():
    """Note that it misbehaves now."""
    count("struck")


def every(number, what):
    """Whether it is to misbehave this time."""
    if count(what) % number:
        return False
    strike()
    return True


def run(arguments, **environment):
    import subprocess

    return subprocess.run(
        [real, *arguments], stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, **environment}
    )


def end(done, shown=None, status=None):
    """End with what the real program has answered, or with something else."""
    import json

    sys.stdout.buffer.write(done.stdout if shown is None else json.dumps(shown).encode())
    sys.stderr.buffer.write(done.stderr)
    sys.stdout.flush()
    sys.exit(done.returncode if status is None else status)


def shown_by(done):
    import json

    return json.loads(done.stdout) if done.returncode == 0 else None


def wait_for_ever():
    import time

    while True:
        time.sleep(60)
'''


def when(command: str, body: str, *, number: int = 1) -> str:
    """The body of a wrapper that does something else each time that this command is asked for, or each second or third
    time. `asks_for` is a helper of the target's."""
    words = ", ".join(repr(word) for word in command.split())
    block = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"\nif asks_for({words}) and every({number}, 'asked'):\n{block}\n"


def make_wrapper(directory: Path, real: Path, body: str, helpers: str = "") -> Path:
    """Make the program, and a directory for what it remembers, in a new private directory. `helpers`: Python that the
    bodies of a target may use."""
    directory.mkdir(mode=0o700)
    state = directory / "state"
    state.mkdir(mode=0o700)
    path = directory / PROGRAM
    given = f"real, state = {str(real)!r}, pathlib.Path({str(state)!r})\n"
    head = f"#!{sys.executable} -IS\n"  # Without what a user has installed: it starts in half the time.
    tail = "\nos.execv(real, [real, *argv])\n"
    path.write_text(head + _HELPERS + helpers + given + textwrap.dedent(body) + tail)
    path.chmod(0o700)
    return path


def times_struck(directory: Path) -> int:
    """How often the wrapper in this directory has misbehaved."""
    counted = directory / "state" / f"count-{_STRUCK}"
    return counted.stat().st_size if counted.exists() else 0


def why_it_broke(directory: Path) -> str:
    """What went wrong in the wrapper itself, which would be taken for a defect of what it wraps; empty if nothing."""
    broke = directory / "state" / _BROKE
    return broke.read_text() if broke.exists() else ""
