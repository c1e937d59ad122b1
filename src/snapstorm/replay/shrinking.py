"""Shrinking: tries candidates of a reduction on fresh testbeds, and keeps the testbed of the best.

The state is written after each candidate, so that an interrupted shrinking goes on where it stopped. Only what the
target did is an answer: if the machine failed, a candidate has shown nothing, and is tried again.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, Field

from snapstorm.actions.disk_space import DISK_FULL
from snapstorm.errors import ConfigError, HarnessError, SnapstormError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.events import ActionEnded, Event, Listener
from snapstorm.model.protocols import TargetDescription
from snapstorm.model.readable import readable
from snapstorm.model.verdict import Verdict
from snapstorm.replay.attempts import Again
from snapstorm.replay.recordings import Recorded
from snapstorm.run.set_up import clear_after_a_kill
from snapstorm.runtime.clock import Clock
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.reduction import OutOfTime, Reduction
from snapstorm.testbed.testbed import LEDGER_NAME, disk_is_full, holding, open_testbed, read_testbed

STATE_NAME = "progress.json"
LOCK_NAME = "progress.lock"
SCRATCH_PREFIX = ".trials-"
FIRST_TRIES_MAX = 10
"""How often the whole history is repeated before it counts as one that does not show the violation again."""
REPEATS_MAX = 10
FINAL_REPEATS = 3
_MISSED_SHARE = 0.05
"""The acceptable probability that a candidate that sometimes shows the violation is rejected."""
_STATE_VERSION = 2
_SCRATCH_NAME = re.compile(re.escape(SCRATCH_PREFIX) + "[a-z0-9_]{8}")
"""As `tempfile` names it."""
_SHOWN = "shown"
"""In the scratch directory: the testbed on which the violation was seen last."""


@dataclass(frozen=True)
class Subject:
    """What is shrunk, and the programs that it is tried on. Answers hold for nothing else.

    It names no place, so that a testbed can be moved or copied together with its shrinking.
    """

    testbed: str
    """Its identity."""
    run: int
    began_utc: str
    """When the run began: copies of a testbed may have gone on in different ways."""
    guarantee: str
    target: str
    programs: tuple[str, ...]
    """The SHA-256 of each program under test."""

    def __str__(self) -> str:
        programs = f" ({', '.join(sha256[:12] for sha256 in self.programs)})" if self.programs else ""
        return f"{self.guarantee} in run {self.run} of testbed {self.testbed[:8]}, tried on {self.target}{programs}"


def programs_of(description: TargetDescription) -> tuple[str, ...]:
    """The SHA-256 of each program of a target."""
    return tuple(program.sha256 for program in description.programs)


class ShrinkState(BaseModel):
    """What a shrinking has found so far, as it is kept on the disk."""

    path: Path = Field(exclude=True)
    version: int = _STATE_VERSION
    subject: Subject
    best: Recording | None = None
    tried: dict[str, bool] = {}
    executions: int = 0
    repeats: int = 1
    shown: tuple[int, int] = Field(default=(0, 0), exclude=True)
    """How often the best showed the violation in the end, and out of how many times."""

    @classmethod
    def open(cls, path: Path, subject: Subject) -> ShrinkState:
        """The state that is there, or a new one. Raises ConfigError for one of another subject, or that can't be
        read."""
        if not path.exists():
            return cls(path=path, subject=subject)
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if found["version"] != _STATE_VERSION:
                raise ConfigError(
                    f"{path} is of another version of snapstorm; remove it to begin anew, or give another directory "
                    "with --output"
                )
            state = cls(**found, path=path)
        except (ValueError, KeyError, TypeError, OSError) as error:
            words = str(error).partition("\n")[0]
            raise ConfigError(f"{path} can't be read; remove it to begin anew ({words})") from error
        if state.subject != subject:
            raise ConfigError(
                f"{path.parent} holds the shrinking of {state.subject}, not of {subject}; give another directory with "
                "--output"
            )
        return state

    @property
    def is_nothing_shown(self) -> bool:
        """Whether there is no best, or it did not show the violation any more in the end."""
        shown, times = self.shown
        return self.best is None or (times > 0 and shown == 0)

    def write(self) -> None:
        """Write all of it, or nothing. Raises HarnessError if there is no room for it."""
        try:
            write_whole(self.path, self.model_dump_json())
        except OSError as error:
            raise HarnessError(f"{self.path} can't be written: {error.strerror}") from error


def write_whole(path: Path, text: str) -> None:
    """Write a file so that there is never half of it. Raises OSError."""
    new = path.with_suffix(".new")
    try:
        new.write_text(readable(text), encoding="utf-8")
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


Perform: TypeAlias = Callable[[Recording, Path, Listener], Awaitable[Again]]
"""Performs a candidate once, on a new testbed at this path."""


@dataclass
class Trials:
    """Repeats candidates, each as often as is needed for an answer."""

    perform: Perform
    state: ShrinkState
    """Holds the subject, and counts the executions that gave an answer."""
    scratch: Path
    """For testbeds; emptied as it goes. On the disk of the state."""
    deadline_seconds: float
    """On the monotonic clock."""
    repeats: int = 1
    needed: int = 1
    """How many of the repeats must show the violation."""
    on_trial: Callable[[Recording, bool], None] = lambda _, __: None
    """Told of each answer: whether the candidate showed the violation."""
    clock: Clock = field(default_factory=Clock)
    _shown: Recording | None = field(default=None, init=False)
    """The candidate whose testbed is set aside."""

    @property
    def best(self) -> Path:
        """Where the testbed of the best candidate is kept."""
        return self.state.path.with_name("testbed")

    async def once(self, recording: Recording, *, is_last: bool = True) -> bool:
        """Perform it once; unless `is_last`, its testbed is not needed.

        Raises OutOfTime, and HarnessError if the machine failed, which is no answer.
        """
        if self.clock.monotonic_seconds() >= self.deadline_seconds:
            raise OutOfTime
        bed, disk = self.scratch / str(self.state.executions + 1), _DiskWatch()
        again = await self.perform(recording, bed, disk)
        shows = again.shows((self.state.subject.guarantee,))
        if reason := self._why_no_answer(again, disk, shows=shows):
            remove_tree(bed)  # What was found until now may need the room.
            raise HarnessError(f"the history could not be done again to its end: {reason}")
        self.state.executions += 1
        self.on_trial(recording, shows)
        if shows and is_last:
            # Kept until it is known whether this candidate is the best.
            remove_tree(self.scratch / _SHOWN)
            os.rename(bed, self.scratch / _SHOWN)
            self._shown = recording
        else:
            remove_tree(bed)
        return shows

    def _why_no_answer(self, again: Again, disk: _DiskWatch, *, shows: bool) -> str:
        """Why nothing follows from this execution. Empty if something does: it shows the violation, or it came to its
        end without it, by itself or because of another failure of the target."""
        result = again.result
        if result is None:
            return again.error or "it could not begin"
        if programs_of(result.target) != self.state.subject.programs:
            return "the program under test has been replaced meanwhile; put it back, or begin anew with --output"
        if shows:
            return ""
        if result.verdict in (Verdict.ERROR, Verdict.INTERRUPTED):
            return result.reason
        error = again.error or result.tally.error
        # After another violation an error is one more failure of the target, unless the disk is full.
        if error and (not again.guarantees or disk_is_full(self.scratch)):
            return error
        return f"the disk of {self.scratch.parent} ran full; free some space" if disk.was_full else ""

    def keep(self, recording: Recording) -> None:
        """Make the testbed that is set aside that of the best, if this candidate was performed on it."""
        if self._shown == recording:
            remove_tree(self.best)
            os.rename(self.scratch / _SHOWN, self.best)
            self._shown = None

    async def shows(self, recording: Recording) -> bool:
        """Whether enough of the repeats show the violation; stops as soon as that is decided.

        If one repeat seems enough, the violation must still be shown twice, so that luck does not decide.
        """
        if self.repeats == 1:
            return await self.once(recording, is_last=False) and await self.once(recording)
        shown = 0
        for left in range(self.repeats, 0, -1):
            shown += await self.once(recording, is_last=shown + 1 >= self.needed)
            if shown >= self.needed or shown + left - 1 < self.needed:
                break
        return shown >= self.needed

    async def find_repeats(self, recording: Recording) -> bool:
        """Repeat the whole history until it shows the violation, and derive how often to try a candidate.

        Returns whether it showed the violation at all.
        """
        for tries in range(1, FIRST_TRIES_MAX + 1):
            if await self.once(recording):
                self.repeats = max(self.repeats, repeats_for(tries))
                return True
        return False


class _DiskWatch:
    """Notices whether a run made room on a full disk and went on: then it was another history."""

    was_full = False

    def __call__(self, event: Event) -> None:
        self.was_full |= isinstance(event, ActionEnded) and event.reason.startswith(DISK_FULL)


def repeats_for(tries: int) -> int:
    """How often to try a candidate if the whole history first showed the violation at this try."""
    if tries == 1:
        return 1
    return min(REPEATS_MAX, math.ceil(math.log(_MISSED_SHARE) / math.log(1 - 1 / tries)))


class Shrinking:
    """Reduces a recording by trials, and keeps the state and the testbed of the best candidate."""

    def __init__(self, recorded: Recorded, trials: Trials) -> None:
        self._recorded = recorded
        self._trials = trials
        self._state = trials.state
        self.stage = "the whole history"
        self._chain = [] if trials.state.best is None else [trials.state.best]
        """Every candidate that has been the best, the last one last."""

    async def run(self) -> None:
        """Shrink as far as it goes. Raises OutOfTime or HarnessError; what was found until then is kept."""
        recorded, whole = self._recorded, self._recorded.recording
        if self._state.best is None:
            if not await self._trials.find_repeats(whole):
                return
            self._keep(whole)
        reduction = Reduction(self._state.best or whole, self._shows, self._begin_stage)
        await reduction.run(recorded.cut, recorded.restores)
        self._begin_stage("making sure")
        await self._make_sure()

    def write_executions(self) -> None:
        """Have the number of executions on the disk, also if the last ones have not decided anything."""
        if self._state.best is not None:
            self._state.write()

    def _begin_stage(self, name: str) -> None:
        self.stage = name

    async def _make_sure(self) -> None:
        """Find the smallest candidate that shows the violation often enough: each time if the whole history did, else
        as often as a candidate must."""
        trials, state = self._trials, self._state
        times = max(FINAL_REPEATS, trials.repeats)
        enough = times if trials.repeats == 1 else trials.needed
        while True:
            best = self._chain[-1]
            shown = await self._count_shown(best, times)
            if best != state.best:
                self._change_testbed(best)
            state.best, state.shown = best, (shown, times)
            state.write()
            if shown >= enough or len(self._chain) < 2:
                return
            # It counts as one that does not show it, so that going on later begins with one that does.
            state.tried[self._key(self._chain.pop())] = False

    async def _count_shown(self, recording: Recording, times: int) -> int:
        """How many of so many executions show the violation. Partial counts of the best are kept."""
        shown = 0
        for tries in range(1, times + 1):
            shown += await self._trials.once(recording)
            if recording == self._state.best:
                self._trials.keep(recording)
                self._state.shown = (shown, tries)
        return shown

    async def _shows(self, recording: Recording) -> bool:
        key, tried = self._key(recording), self._state.tried
        if key not in tried:
            tried[key] = await self._trials.shows(recording)
            if tried[key]:
                self._keep(recording)
            else:
                self._state.write()
        return tried[key]

    def _key(self, recording: Recording) -> str:
        """The key of a candidate among those that were tried. It holds the number of repeats, which may change."""
        return f"{self._trials.needed} of {self._trials.repeats}: {recording.model_dump_json()}"

    def _keep(self, recording: Recording) -> None:
        self._change_testbed(recording)
        self._chain.append(recording)
        self._state.best, self._state.repeats = recording, self._trials.repeats
        self._state.write()

    def _change_testbed(self, recording: Recording) -> None:
        """Replace the testbed of the best, and remove the files about the one before: after a kill, everything that is
        there is of one candidate."""
        for file in result_files(self._state.path.parent, self._state.subject.guarantee):
            file.unlink(missing_ok=True)
        self._trials.keep(recording)


def result_files(directory: Path, guarantee: str) -> tuple[Path, Path, Path]:
    """The files that a shrinking makes: a scenario, a test, and a script of bare commands."""
    test = f"test_{guarantee.replace('-', '_')}.py"
    return directory / "scenario.toml", directory / test, directory / "reproduce.sh"


def is_testbed_of(testbed: Path, recording: Recording) -> bool:
    """Whether there is a testbed, and just this recording was performed on it."""
    if not (testbed / LEDGER_NAME).exists():
        return False
    with suppress(HarnessError), read_testbed(testbed) as ledger:
        run = ledger.record.run(1)
        scenario = run["scenario"] if run else None
        return isinstance(scenario, dict) and scenario.get("recorded") == recording.model_dump(mode="json")
    return False


def alone_in(directory: Path) -> AbstractContextManager[None]:
    """Hold the lock of a shrinking. Raises HarnessError if another one is at work."""
    words = f"another shrink is at work in {directory}; wait for it, or choose another directory with --output"
    return holding(directory / LOCK_NAME, HarnessError(words))


async def clear_left_over(directory: Path, note: Callable[[str], None]) -> None:
    """Remove the scratch directories of killed shrinkings, once the processes there are ended and the faults healed."""
    for scratch in _scratch_directories(directory):
        for bed in _testbeds(scratch):
            # One that can't be opened any more is removed, too.
            with suppress(SnapstormError), open_testbed(bed, must_exist=True) as testbed:
                testbed.is_new = False
                await clear_after_a_kill(testbed, Clock(), note)
        remove_tree(scratch)


def _scratch_directories(directory: Path) -> list[Path]:
    found = [path for path in directory.iterdir() if _SCRATCH_NAME.fullmatch(path.name)]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _testbeds(scratch: Path) -> list[Path]:
    return [path for path in scratch.iterdir() if (path / LEDGER_NAME).exists()]
