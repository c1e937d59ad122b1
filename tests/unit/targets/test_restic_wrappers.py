"""Wrappers around the real restic: one table, telling nothing of what they do; and the table of known bugs."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.guarantees.judged_guarantee import JudgedIn
from snapstorm.guarantees.panel import known_guarantees
from snapstorm.targets.restic.known_bugs.bench import MEASURED
from snapstorm.targets.restic.known_bugs.table import BUGS
from snapstorm.targets.restic.planted import AT_THE_BOUNDARY
from snapstorm.targets.restic.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.wrapper_programs import make_wrapper

ECHO = Path("/bin/echo")


def test_there_are_enough_defects_of_each_kind() -> None:
    """Some of each command that matters; a hundred or so in all."""
    words = {name.partition("-")[0] for name in WRAPPER_DEFECTS}
    assert words >= {"restore", "backup", "forget", "prune", "check", "list", "clients"}
    assert len(WRAPPER_DEFECTS) >= 20
    assert len(WRAPPER_DEFECTS.keys() | AT_THE_BOUNDARY) >= 90
    assert not WRAPPER_DEFECTS.keys() & AT_THE_BOUNDARY


@pytest.mark.parametrize("name", WRAPPER_DEFECTS)
def test_each_defect_is_a_program_that_does_not_say_what_it_does(name: str, scratch: Path) -> None:
    """It can be compiled, breaks a guarantee that every run judges, and neither its path nor its text tells of it."""
    defect = WRAPPER_DEFECTS[name]
    program = make_wrapper(scratch / "planted", ECHO, defect.body, HELPERS)
    text = program.read_text()
    compile(text, str(program), "exec")
    assert known_guarantees()[defect.guarantee].judged_in is JudgedIn.EVERY_RUN
    assert defect.sentence.endswith(".")
    assert name not in text
    assert defect.sentence not in text
    assert name not in str(program)


def test_every_known_bug_is_complete() -> None:
    """Each bug says how it is provoked, and is bad in at least one of the versions that were measured."""
    assert {"positive-control", "lost-pack", "4568", "5233", "3311", "2578"} <= BUGS.keys()
    for key, bug in BUGS.items():
        assert key == bug.key
        assert bug.title
        assert bug.provoked.endswith(".")
        assert bug.bad
        assert bug.bad | bug.good == set(MEASURED)
