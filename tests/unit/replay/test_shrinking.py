"""Shrinking: what counts as an answer of a candidate, and what a state on the disk is about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from snapstorm.errors import ConfigError, HarnessError
from snapstorm.model.events import ActionEnded, Listener
from snapstorm.model.protocols import Mode, Program, TargetDescription
from snapstorm.model.verdict import Tally, Verdict
from snapstorm.replay import shrinking
from snapstorm.replay.attempts import Again
from snapstorm.replay.shrinking import ShrinkState, Subject, Trials, clear_left_over
from snapstorm.run.result import RunResult
from snapstorm.scenario.recording import RecordedStep, Recording

RECORDING = Recording(seed=1, steps=(RecordedStep(name="client-1-1", client=1, action="snapshot-root"),))
PROGRAM = Program(Path("/bin/program"), "1.0.0", "aa" * 32)
SUBJECT = Subject("b" * 16, 3, "2026-01-31T12:00:00Z", "restored-exactly", "memory", (PROGRAM.sha256,))


def result(verdict: Verdict, reason: str = "", program: Program = PROGRAM) -> RunResult:
    return RunResult(
        run=1,
        seed=1,
        verdict=verdict,
        reason=reason,
        target=TargetDescription("memory", (program,)),
        mode=Mode.SERVER,
        clients=1,
        seconds=1.0,
        seconds_by_part={},
        seconds_by_work={},
        own_cpu_seconds=0.0,
        own_memory_bytes_max=0,
        tally=Tally(),
        states={},
        testbed=Path("/none"),
    )


def trials(scratch: Path, *answers: Again, reason: str = "") -> Trials:
    """Each candidate ends with the next of these. `reason` is that of one of its actions."""
    left = iter(answers)

    async def perform(recording: Recording, testbed: Path, listener: Listener) -> Again:
        testbed.mkdir()
        listener(ActionEnded("client-1", "write-random-files", "failed", 0.1, reason))
        return next(left)

    (scratch / "trials").mkdir()
    state = ShrinkState(path=scratch / "progress.json", subject=SUBJECT)
    return Trials(perform, state, scratch / "trials", deadline_seconds=float("inf"))


FULL = "the ledger could not be written: the disk is full; free some space and run again"
OTHER = frozenset({"available"})
WANTED = frozenset({"restored-exactly"})


@pytest.mark.parametrize(
    ("again", "shows"),
    [
        (Again(result(Verdict.PASS), None, frozenset()), False),
        (Again(result(Verdict.INCONCLUSIVE), None, frozenset()), False),
        (Again(result(Verdict.VIOLATED), None, WANTED), True),
        (Again(result(Verdict.VIOLATED), None, OTHER), False),
        (Again(result(Verdict.VIOLATED), "the server ended", OTHER), False),
        (Again(result(Verdict.VIOLATED), "the server ended", WANTED), True),
    ],
)
def test_what_came_of_the_target_is_an_answer(scratch: Path, again: Again, shows: bool) -> None:
    """Also where the target itself did not let it come to its end. A testbed is kept only of what shows it."""
    tried = trials(scratch, again)
    assert anyio.run(tried.once, RECORDING) is shows
    assert tried.state.executions == 1
    tried.keep(RECORDING)
    assert tried.best.exists() is shows


@pytest.mark.parametrize(
    ("again", "words"),
    [
        (Again(None, "too little space", frozenset()), "too little space"),
        (Again(result(Verdict.ERROR, FULL), FULL, frozenset()), FULL),
        (Again(result(Verdict.ERROR, FULL), None, frozenset()), FULL),
        (Again(result(Verdict.INTERRUPTED, "ended by a signal"), None, frozenset()), "ended by a signal"),
        (Again(result(Verdict.PASS), "the server can't be ended", frozenset()), "the server can't be ended"),
        (Again(result(Verdict.VIOLATED, program=replace(PROGRAM, sha256="cc" * 32)), None, WANTED), "been replaced"),
    ],
)
def test_what_came_of_the_machine_is_none(scratch: Path, again: Again, words: str) -> None:
    """It ends the shrinking, as one line that says why, and leaves nothing."""
    tried = trials(scratch, again)
    with pytest.raises(HarnessError, match=words) as raised:
        anyio.run(tried.once, RECORDING)
    assert "\n" not in str(raised.value)
    assert tried.state.executions == 0
    assert not list(tried.scratch.iterdir())


def test_a_full_disk_is_none_whatever_else_was_violated(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error after another violation is the target's, unless the disk is full; and so is a run that made room."""
    monkeypatch.setattr(shrinking, "disk_is_full", lambda path: path)
    failed, passed = Again(result(Verdict.VIOLATED), FULL, OTHER), Again(result(Verdict.PASS), None, frozenset())
    tried = trials(scratch, failed, passed, reason="disk full: 3 files were deleted")
    with pytest.raises(HarnessError, match="disk is full"):
        anyio.run(tried.once, RECORDING)
    with pytest.raises(HarnessError, match="ran full"):
        anyio.run(tried.once, RECORDING)


def test_a_testbed_is_kept_only_of_the_candidate_it_is_of(scratch: Path) -> None:
    """One that is rejected after it has shown it once does not replace the best's."""
    again, other = Again(result(Verdict.VIOLATED), None, WANTED), RECORDING.model_copy(update={"seed": 2})
    tried = trials(scratch, again, again)
    anyio.run(tried.once, RECORDING)
    tried.keep(RECORDING)
    before = tried.best.stat().st_ino
    anyio.run(tried.once, other)
    tried.keep(RECORDING)
    assert tried.best.stat().st_ino == before
    tried.keep(other)
    assert tried.best.stat().st_ino != before


def test_a_state_is_of_one_subject(scratch: Path) -> None:
    """Another run, guarantee, target or program is refused, in one line that names both."""
    path = scratch / "progress.json"
    ShrinkState(path=path, subject=SUBJECT, best=RECORDING, tried={"x": False}, executions=7).write()
    again = ShrinkState.open(path, SUBJECT)
    assert (again.best, again.tried, again.executions) == (RECORDING, {"x": False}, 7)
    for other in (
        replace(SUBJECT, testbed="c" * 16),
        replace(SUBJECT, run=4),
        replace(SUBJECT, began_utc="2026-02-01T12:00:00Z"),
        replace(SUBJECT, guarantee="available"),
        replace(SUBJECT, target="memory:restore-flips-a-byte"),
        replace(SUBJECT, programs=("dd" * 32,)),
        replace(SUBJECT, programs=(PROGRAM.sha256, "dd" * 32)),
    ):
        with pytest.raises(ConfigError, match="holds the shrinking of") as raised:
            ShrinkState.open(path, other)
        assert "\n" not in str(raised.value)
    assert str(scratch) not in path.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"version": 1, "run": "/bed:1 available"})])
def test_a_state_that_can_not_be_read_is_one_line(scratch: Path, text: str) -> None:
    """Also one of an earlier version."""
    path = scratch / "progress.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="remove it to begin anew") as raised:
        ShrinkState.open(path, SUBJECT)
    assert "\n" not in str(raised.value)


def test_only_what_is_of_its_own_kind_is_cleared(scratch: Path) -> None:
    """Not what somebody else has named alike, nor what a link leads to."""
    for name in (".trials-abcd_123", ".trials-notes", ".trials-UPPERCAS", "trials-abcd1234", "elsewhere"):
        (scratch / name / "1").mkdir(parents=True)
    (scratch / ".trials-link1234").symlink_to(scratch / "elsewhere")
    anyio.run(clear_left_over, scratch, print)
    names = {path.name for path in scratch.iterdir()}
    assert names == {".trials-notes", ".trials-UPPERCAS", "trials-abcd1234", "elsewhere", ".trials-link1234"}
    assert (scratch / "elsewhere" / "1").is_dir()
