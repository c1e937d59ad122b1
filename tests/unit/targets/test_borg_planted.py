"""Wrappers around the real borg: private, and telling nothing of what they do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from snapstorm.guarantees.judged_guarantee import JudgedIn
from snapstorm.guarantees.panel import known_guarantees
from snapstorm.targets.borg.planted import AT_THE_BOUNDARY, wrapped
from snapstorm.targets.borg.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.wrapper_programs import make_wrapper, times_struck, why_it_broke

ECHO = Path("/bin/echo")


def test_there_are_enough_defects() -> None:
    """Those of the process itself, and those at the boundary; hard links, attributes and FIFOs among them."""
    assert len(WRAPPER_DEFECTS.keys() | AT_THE_BOUNDARY) >= 80
    assert not WRAPPER_DEFECTS.keys() & AT_THE_BOUNDARY
    assert {"restore-copies-hard-links", "restore-loses-a-system-attribute"} <= AT_THE_BOUNDARY


@pytest.mark.parametrize("name", WRAPPER_DEFECTS)
def test_each_defect_is_a_program_that_does_not_say_what_it_does(name: str, scratch: Path) -> None:
    """It can be compiled, and breaks a guarantee that every run judges."""
    defect = WRAPPER_DEFECTS[name]
    program = make_wrapper(scratch / "planted", ECHO, defect.body, HELPERS)
    text = program.read_text()
    compile(text, str(program), "exec")
    assert known_guarantees()[defect.guarantee].judged_in is JudgedIn.EVERY_RUN
    assert name not in text
    assert defect.sentence not in text


def extracted(scratch: Path, name: str) -> Path:
    """What an extraction leaves that is done twice with this defect: it strikes each second time."""
    tree = scratch / "tree"
    real = scratch / "real"
    real.write_text(
        "#!/bin/sh\nrm -rf d; mkdir d; echo content >d/file; ln d/file d/name; ln -s file d/link; mkfifo d/fifo\n"
        "touch -h -d @5.25 d/link\n"
    )
    real.chmod(0o755)
    tree.mkdir()
    program = make_wrapper(scratch / "planted", real, WRAPPER_DEFECTS[name].body, HELPERS)
    for _ in range(2):
        done = subprocess.run([program, "--log-json", "extract", "r::a"], cwd=tree, check=False, env=os.environ)
        assert done.returncode == 0
        assert why_it_broke(program.parent) == ""
    assert times_struck(program.parent) == 1
    return tree / "d"


def test_an_extraction_is_spoiled_as_it_says(scratch: Path) -> None:
    """One thing, and nothing else."""
    tree = extracted(scratch, "extract-flips-a-byte")
    assert (tree / "file").read_bytes() != b"content\n"
    assert (tree / "file").stat().st_nlink == 2


def test_hard_links_are_split(scratch: Path) -> None:
    """The content stays."""
    tree = extracted(scratch, "extract-splits-hard-links")
    assert (tree / "file").read_bytes() == (tree / "name").read_bytes() == b"content\n"
    assert (tree / "file").stat().st_nlink == 1


def test_a_fifo_is_dropped(scratch: Path) -> None:
    """Only it."""
    assert sorted(os.listdir(extracted(scratch, "extract-drops-a-fifo"))) == ["file", "link", "name"]


def test_a_time_is_cut(scratch: Path) -> None:
    """Of a link, to whole seconds."""
    assert (extracted(scratch, "extract-rounds-a-time") / "link").lstat().st_mtime_ns == 5_000_000_000


def test_honest_runs_are_in_each_set_up() -> None:
    """As it is, and behind a wrapper that does nothing."""
    specimens = wrapped(ECHO)
    assert len(specimens.honest) == 2
    assert {one.setup.scenario.name for one in specimens.honest} >= {
        one.setup.scenario.name for one in specimens.defects if not one.setup.faults and one.setup.rounds == 1
    } - {"loss", "space"}
