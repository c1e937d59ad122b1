"""Commands that misbehave as those of any target can, around a program that answers and notes what it was asked."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.waiting import wait_until

from snapstorm.targets import restore_wrappers
from snapstorm.targets.command_wrappers import (
    COLLECTS_NOTHING,
    DELETES_NOTHING,
    LEAVES_A_LISTING,
    LEAVES_A_PROCESS,
    LEAVES_A_TEMPORARY_FILE,
    NEVER_ENDS,
    RESTORES_NOTHING,
    WrongCommand,
    complains_of_good_data,
    creates_and_answers,
    deletes_and_ends_with,
    leaves_out,
)
from snapstorm.targets.wrapper_programs import make_wrapper, times_struck, why_it_broke

HELPERS = """

def asks_for(*words):
    return argv[: len(words)] == [*words]
"""
COMMAND = ("snapshot", "make")


class Wrapped:
    """A program that notes its words and prints "done", wrapped in one that misbehaves."""

    def __init__(self, scratch: Path, how: WrongCommand) -> None:
        self.work, self.temporary = scratch / "work", scratch / "temporary"
        self._asked = scratch / "asked"
        for directory in (self.work, self.temporary):
            directory.mkdir()
        real = scratch / "real"
        real.write_text(f'#!/bin/sh\necho "$@" >>{self._asked}\necho done\n')
        real.chmod(0o755)
        body = how.of(" ".join(COMMAND)).body
        self.program = make_wrapper(scratch / "planted", real, body, restore_wrappers.HELPERS + HELPERS)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.program, *(words or COMMAND)],
            cwd=self.work,
            env={"TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words: str) -> tuple[int, str, str]:
        """Its exit status, and what it printed to each output."""
        process = self.start(*words)
        out, err = process.communicate()
        assert why_it_broke(self.program.parent) == ""
        return process.returncode, out, err

    def ask_until_it_strikes(self, how: WrongCommand, *words: str) -> tuple[int, str, str]:
        """Another command, and this one before its turn, are handed on."""
        assert self.ask("snapshot", "other", *words) == (0, "done\n", "")
        for _ in range(how.number - 1):
            assert self.ask(*COMMAND, *words) == (0, "done\n", "")
        assert times_struck(self.program.parent) == 0
        answer = self.ask(*COMMAND, *words)
        assert times_struck(self.program.parent) == 1
        return answer

    @property
    def asked(self) -> list[str]:
        """What the real program was asked for, one line for each time."""
        return self._asked.read_text().splitlines() if self._asked.exists() else []


@pytest.mark.parametrize("how", [RESTORES_NOTHING, DELETES_NOTHING, COLLECTS_NOTHING])
def test_a_command_that_does_nothing_succeeds(how: WrongCommand, scratch: Path) -> None:
    """The real program is not asked."""
    wrapped = Wrapped(scratch, how)
    assert wrapped.ask_until_it_strikes(how) == (0, "", "")
    assert wrapped.asked == ["snapshot other", *["snapshot make"] * (how.number - 1)]


def test_a_deletion_is_done_and_fails(scratch: Path) -> None:
    """With the status that the target has for it."""
    how = deletes_and_ends_with(2)
    wrapped = Wrapped(scratch, how)
    assert wrapped.ask_until_it_strikes(how) == (2, "done\n", "")
    assert wrapped.asked == ["snapshot other", "snapshot make"]


def test_a_snapshot_is_taken_and_the_answer_is_another(scratch: Path) -> None:
    """Quotes in it stay as they are."""
    how = creates_and_answers('{"it\'s": ')
    wrapped = Wrapped(scratch, how)
    assert wrapped.ask_until_it_strikes(how) == (0, '{"it\'s": \n', "")
    assert wrapped.asked == ["snapshot other", *["snapshot make"] * 3]


def test_a_check_complains_in_the_words_of_its_target(scratch: Path) -> None:
    """Several lines of them, and exit status 1."""
    how = complains_of_good_data("error:\nit's broken")
    assert Wrapped(scratch, how).ask_until_it_strikes(how) == (1, "", "error:\nit's broken\n")


def test_a_file_stays_where_it_ran(scratch: Path) -> None:
    """And the command is done all the same."""
    wrapped = Wrapped(scratch, LEAVES_A_LISTING)
    assert wrapped.ask_until_it_strikes(LEAVES_A_LISTING) == (0, "done\n", "")
    assert [path.name for path in wrapped.work.iterdir()] == ["listing.json"]
    assert not list(wrapped.temporary.iterdir())


def test_a_file_stays_in_the_temporary_directory(scratch: Path) -> None:
    """And the command is done all the same."""
    wrapped = Wrapped(scratch, LEAVES_A_TEMPORARY_FILE)
    assert wrapped.ask_until_it_strikes(LEAVES_A_TEMPORARY_FILE) == (0, "done\n", "")
    assert len(list(wrapped.temporary.iterdir())) == 1
    assert not list(wrapped.work.iterdir())


def left_processes(arguments: list[str]) -> list[psutil.Process]:
    """Those with these arguments and no environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline() == arguments and not process.environ():
                found.append(process)
    return found


def test_a_process_stays_that_can_not_be_recognized(scratch: Path) -> None:
    """It is in a session of its own, and has no environment; the command is done all the same."""
    seconds = str(100_000 + os.getpid())  # Tells it from those of other tests at the same time.
    how = replace(LEAVES_A_PROCESS, body=LEAVES_A_PROCESS.body.replace('"100"', f'"{seconds}"'))
    assert Wrapped(scratch, how).ask_until_it_strikes(how) == (0, "done\n", "")
    wait_until(lambda: left_processes(["/bin/sleep", seconds]))
    (left,) = left_processes(["/bin/sleep", seconds])
    is_alone = os.getsid(left.pid) == left.pid
    left.kill()
    assert is_alone


def test_a_creation_does_not_end(scratch: Path) -> None:
    """Until it is killed, and the real program is not asked."""
    wrapped = Wrapped(scratch, NEVER_ENDS)
    for _ in range(NEVER_ENDS.number - 1):
        wrapped.ask()
    with wrapped.start() as process:
        wait_until(lambda: times_struck(wrapped.program.parent) == 1)
        assert process.poll() is None
        process.kill()
    assert wrapped.asked == ["snapshot make"] * (NEVER_ENDS.number - 1)


def test_a_file_is_left_out(scratch: Path) -> None:
    """The first that has one name and is not empty."""
    tree = scratch / "tree"
    tree.mkdir()
    (tree / "a").touch()
    (tree / "b").write_text("content")
    (tree / "c").hardlink_to(tree / "b")
    (tree / "d").write_text("content")
    (tree / "e").write_text("content")
    how = leaves_out("argv.insert(2, f'--not={path}')")
    wrapped = Wrapped(scratch, how)
    assert wrapped.ask_until_it_strikes(how, str(tree)) == (0, "done\n", "")
    assert wrapped.asked[-2:] == [f"snapshot make {tree}", f"snapshot make --not={tree / 'd'} {tree}"]
