"""Wrappers around the real Kopia: one table, private, and telling nothing of what they do."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from snapstorm.guarantees.judged_guarantee import JudgedIn
from snapstorm.guarantees.panel import known_guarantees
from snapstorm.targets.kopia.planted import AT_THE_BOUNDARY
from snapstorm.targets.kopia.wrapper_defects import WRAPPER_DEFECTS
from snapstorm.targets.kopia.wrappers import make_wrapper
from snapstorm.targets.wrapper_programs import times_struck, why_it_broke

ECHO = Path("/bin/echo")


def ask(program: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, env={})
    return done.returncode, done.stdout.strip()


def test_there_are_enough_defects_of_each_kind() -> None:
    """At least fifteen wrappers, some of each command that clients or the server depend on; seventy-eight in all."""
    assert len(WRAPPER_DEFECTS) >= 15
    words = {name.partition("-")[0] for name in WRAPPER_DEFECTS}
    assert words >= {"restore", "create", "list", "delete", "expire", "maintenance", "verify", "server", "connect"}
    assert len(WRAPPER_DEFECTS.keys() | AT_THE_BOUNDARY) >= 78
    assert not WRAPPER_DEFECTS.keys() & AT_THE_BOUNDARY


@pytest.mark.parametrize("name", WRAPPER_DEFECTS)
def test_each_defect_is_a_program_that_does_not_say_what_it_does(name: str, scratch: Path) -> None:
    """It can be compiled, breaks a guarantee that every run judges, and neither its path nor its text tells of it."""
    defect = WRAPPER_DEFECTS[name]
    program = make_wrapper(scratch / "planted", ECHO, defect.body)
    text = program.read_text()
    compile(text, str(program), "exec")
    assert known_guarantees()[defect.guarantee].judged_in is JudgedIn.EVERY_RUN
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
