"""Wrappers around the real Kopia: one table, private, and telling nothing of what they do."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from snapstorm.faults.catalogue import FAULTS
from snapstorm.guarantees.judged_guarantee import JudgedIn
from snapstorm.guarantees.panel import known_guarantees
from snapstorm.targets.kopia.wrapper_defects import WRAPPER_DEFECTS
from snapstorm.targets.kopia.wrappers import make_wrapper, times_struck, why_it_broke

ECHO = Path("/bin/echo")


def ask(program: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, env={})
    return done.returncode, done.stdout.strip()


def test_there_are_enough_defects_of_each_kind() -> None:
    """At least thirty, and some of each command that clients or the server depend on."""
    assert len(WRAPPER_DEFECTS) >= 30
    words = {name.partition("-")[0] for name in WRAPPER_DEFECTS}
    assert words >= {"restore", "create", "list", "delete", "expire", "maintenance", "verify", "server", "connect"}


@pytest.mark.parametrize("name", WRAPPER_DEFECTS)
def test_each_defect_is_a_program_that_does_not_say_what_it_does(name: str, scratch: Path) -> None:
    """It can be compiled, breaks a guarantee that every run judges, or every run with its fault, and neither its path
    nor its text tells of it."""
    defect = WRAPPER_DEFECTS[name]
    program = make_wrapper(scratch / "planted", ECHO, defect.body)
    text = program.read_text()
    compile(text, str(program), "exec")
    assert known_guarantees()[defect.guarantee].judged_in is JudgedIn.EVERY_RUN or defect.fault in FAULTS
    assert defect.sentence.endswith(".")
    assert name not in text
    assert defect.sentence not in text
    assert name not in str(program)


def test_a_wrapper_is_closed_to_others(scratch: Path) -> None:
    """Its directory, what it remembers and the program itself are its owner's alone."""
    program = make_wrapper(scratch / "planted", ECHO, "")
    for path in (program, program.parent, program.parent / "state"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_an_honest_wrapper_hands_everything_on(scratch: Path) -> None:
    """Words and exit status are those of the real program."""
    program = make_wrapper(scratch / "planted", ECHO, "")
    assert ask(program, "restore", "x y") == (0, "restore x y")
    assert ask(make_wrapper(scratch / "other", Path("/bin/false"), ""))[0] == 1
    assert times_struck(program.parent) == 0


def test_a_wrapper_counts_over_all_its_processes(scratch: Path) -> None:
    """Every second restore is hit, whichever process does it, and so often is noted."""
    program = make_wrapper(scratch / "planted", ECHO, WRAPPER_DEFECTS["restore-writes-nothing"].body)
    assert [ask(program, "restore", "x")[1] for _ in range(5)] == ["restore x", "", "restore x", "", "restore x"]
    assert ask(program, "snapshot", "list") == (0, "snapshot list")
    assert times_struck(program.parent) == 2
    assert why_it_broke(program.parent) == ""


def test_a_wrapper_that_breaks_by_itself_says_so(scratch: Path) -> None:
    """A mistake in a wrapper is told from a defect that it plants."""
    program = make_wrapper(scratch / "planted", ECHO, "1 / 0")
    assert ask(program, "restore")[0] == 97
    assert "ZeroDivisionError" in why_it_broke(program.parent)


def test_damage_leaves_all_else_as_it_was(scratch: Path) -> None:
    """A flipped byte changes one bit of one file: not its length, and no time of it or of its directory."""
    copier = scratch / "copier"
    copier.write_text('#!/bin/sh\ncp -a "$2" "$3"\n')
    copier.chmod(0o700)
    source = scratch / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    os.utime(source / "file", ns=(1, 2))
    os.utime(source, ns=(3, 4))
    program = make_wrapper(scratch / "planted", copier, WRAPPER_DEFECTS["restore-flips-a-byte"].body)
    environment = {"PATH": os.environ["PATH"]}
    for name in ("first", "second"):
        subprocess.run([program, "restore", source, scratch / name], check=True, env=environment)
    assert (scratch / "first" / "file").read_bytes() == b"content"
    damaged = (scratch / "second" / "file").read_bytes()
    assert [one ^ other for one, other in zip(damaged, b"content", strict=True)] == [0, 0, 0, 0x20, 0, 0, 0]
    assert (scratch / "second" / "file").stat().st_mtime_ns == 2
    assert (scratch / "second").stat().st_mtime_ns == 4
