"""A signal ends a command cleanly at whatever moment it comes: status 130, one line, nothing left behind."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, command
from tests.waiting import GIVE_UP_SECONDS, wait_until

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
INTERRUPTED = 130


SET_SIGNALS = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN if number == int(sys.argv[1]) else signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Signals may be ignored where the tests themselves run under nohup or in the background of a script."""


def begin(*arguments: str | Path, ignored: int = 0) -> subprocess.Popen[str]:
    """Start the command line with signals as in a terminal, or with one of them ignored as by `nohup`."""
    return subprocess.Popen(
        [sys.executable, "-c", SET_SIGNALS, str(ignored), *command(*arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Return once this stands on standard error."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"{words!r} was not printed")


STAGES = ["run 1", "starting the server", "adding 2"]
ONE_OF_EACH = list(zip(ALL, STAGES, strict=True))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(*pair, marks=() if pair in ONE_OF_EACH else pytest.mark.long)
        for pair in itertools.product(ALL, STAGES)
    ],
)
def test_a_signal_while_a_run_is_set_up_leaves_nothing(
    words: str, number: signal.Signals, temporary_files: Path
) -> None:
    """The first lines are printed before anything has waited."""
    with begin("run", "--clients", "2", "--duration", "1h", "--progress", "plain") as process:
        read_until(process, words)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == INTERRUPTED, stderr
    assert "Traceback" not in stderr
    assert "internal error" not in stderr
    assert not list(temporary_files.iterdir())


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize("arguments", [("target", "kopia"), ("known-bugs", "5564")], ids=" ".join)
def test_a_signal_while_a_program_is_asked_its_version_ends_both(
    arguments: tuple[str, ...], number: signal.Signals, temporary_files: Path, scratch: Path
) -> None:
    """Nothing waits for signals yet: the command still ends with 130, and so does what it has started."""
    asked, program = scratch / "asked", scratch / "kopia"
    program.write_text(f'#!/bin/sh\necho $$ > "{asked}.new"\nmv "{asked}.new" "{asked}"\nexec sleep 100000\n')
    program.chmod(0o755)
    with begin(*arguments, "--kopia", program) as process:
        wait_until(asked.exists)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=GIVE_UP_SECONDS)
    assert (process.returncode, stderr) == (INTERRUPTED, "snapstorm: interrupted\n")
    program_process = Path("/proc", asked.read_text().strip())
    wait_until(lambda: not program_process.exists())  # Killed; Python waits a quarter of a second for its end.
    assert not list(temporary_files.iterdir())


def test_a_run_under_nohup_outlives_its_terminal(temporary_files: Path) -> None:
    """SIGHUP stays ignored where whoever started the command had it ignored."""
    arguments = ("run", "--target", "memory", "--clients", "2", "--actions", "12", *SMALL, "--progress", "plain")
    with begin(*arguments, ignored=signal.SIGHUP) as process:
        read_until(process, "at work")
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == 0, stderr
    assert not list(temporary_files.iterdir())
