"""Shrinking: tries candidates of a reduction on fresh testbeds, and keeps the testbed of the best.

What has been tried is written down after each candidate, so that an interrupted shrinking goes on where it stopped.
Only what came of the target is an answer: where the machine failed, a candidate has shown nothing, and is tried again.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from snapstorm.actions.disk_space import DISK_FULL
from snapstorm.errors import ConfigError, HarnessError, SnapstormError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.events import ActionEnded, Event
from snapstorm.model.protocols import TargetDescription
from snapstorm.model.readable import readable
from snapstorm.model.verdict import Verdict
from snapstorm.replay.attempts import Again, do_again, scenario_of
from snapstorm.replay.recordings import Recorded
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.set_up import clear_after_a_kill
from snapstorm.runtime.clock import Clock
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.reduction import OutOfTime
from snapstorm.testbed.testbed import LEDGER_NAME, disk_is_full, holding, open_testbed, read_testbed

STATE_NAME = "progress.json"
LOCK_NAME = "progress.lock"
SCRATCH_PREFIX = ".trials-"
FIRST_TRIES_MAX = 10
"""How often the whole history is done again before it is given up as one that does not come back."""
REPEATS_MAX = 10
_MISSED_SHARE = 0.05
"""How seldom a candidate that shows the violation sometimes may be taken for one that does not."""
_STATE_VERSION = 2
_SCRATCH_NAME = re.compile(re.escape(SCRATCH_PREFIX) + "[a-z0-9_]{8}")
"""As `tempfile` names it."""
_SHOWN = "shown"
"""In the scratch directory: the testbed on which the violation was seen last."""


@dataclass(frozen=True)
class Subject:
    """What is shrunk and what it is tried on: answers hold for nothing else.

    It names no place, so that a testbed can be moved or copied together with what was shrunk of it.
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

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "programs": list(self.programs)}

    def __str__(self) -> str:
        programs = f" ({', '.join(sha256[:12] for sha256 in self.programs)})" if self.programs else ""
        return f"{self.guarantee} in run {self.run} of testbed {self.testbed[:8]}, tried on {self.target}{programs}"


def programs_of(description: TargetDescription) -> tuple[str, ...]:
    """The SHA-256 of each program of a target."""
    return tuple(program.sha256 for program in description.programs)


@dataclass
class Trials:
    """Does candidates again, each as often as it takes to be sure."""

    recorded: Recorded
    base: HarnessOptions
    programs: tuple[str, ...]
    """What all answers are to be of; see `Subject`."""
    scratch: Path
    """For testbeds; emptied as it goes."""
    best: Path
    """Where the testbed of the best candidate is kept."""
    guarantees: tuple[str, ...]
    """Which violations count as the one that is looked for."""
    deadline_seconds: float
    """On the monotonic clock."""
    repeats: int = 1
    needed: int = 1
    """So many of the repeats must show the violation."""
    on_trial: Callable[[Recording, Again], None] = lambda _, __: None
    clock: Clock = field(default_factory=Clock)
    executions: int = 0
    """How many gave an answer."""
    _shown: Recording | None = None
    """What was done on the testbed that is set aside."""

    async def once(self, recording: Recording, *, is_last: bool = True) -> bool:
        """Do it once; where it is not the last time, its testbed is not needed. Raises OutOfTime, or HarnessError where
        the machine is not fit for it, which is no answer."""
        if self.clock.monotonic_seconds() >= self.deadline_seconds:
            raise OutOfTime
        bed, disk = self.scratch / str(self.executions + 1), _DiskWatch()
        again = await do_again(self.base, scenario_of(self.recorded, recording), bed, disk)
        if reason := self._why_no_answer(again, disk):
            remove_tree(bed)  # What was found until now may need the room.
            raise HarnessError(f"the history could not be done again to its end: {reason}")
        self.executions += 1
        self.on_trial(recording, again)
        shows = again.shows(self.guarantees)
        if shows and is_last:
            self._set_aside(recording, bed)
        else:
            remove_tree(bed)
        return shows

    def _why_no_answer(self, again: Again, disk: _DiskWatch) -> str:
        """Why nothing follows from this time; empty where something does: it shows what is looked for, or it came to
        its end without, by itself or by another misbehaviour of the target."""
        result = again.result
        if result is None:
            return again.error or "it could not begin"
        if programs_of(result.target) != self.programs:
            return "the program under test has been replaced meanwhile; put it back, or begin anew with --output"
        if again.shows(self.guarantees):
            return ""
        if result.verdict in (Verdict.ERROR, Verdict.INTERRUPTED):
            return result.reason
        error = again.error or result.tally.error
        # After another violation an error is more of the target's misbehaviour, unless the disk says otherwise.
        if error and (not again.guarantees or disk_is_full(self.scratch)):
            return error
        return f"the disk of {self.scratch.parent} ran full; free some space" if disk.was_full else ""

    def _set_aside(self, recording: Recording, bed: Path) -> None:
        """Keep a testbed until it is known whether its candidate is the best."""
        remove_tree(self.scratch / _SHOWN)
        os.rename(bed, self.scratch / _SHOWN)
        self._shown = recording

    def keep(self, recording: Recording) -> None:
        """Have the testbed on which just this was shown last be that of the best; the one that is there stays where
        there is no newer one."""
        if self._shown == recording:
            remove_tree(self.best)
            os.rename(self.scratch / _SHOWN, self.best)
            self._shown = None

    async def shows(self, recording: Recording) -> bool:
        """Whether enough of the repeats show the violation; stops as soon as that is decided.

        Where one try seems to be enough, what shows it must do so twice: one that shows it by luck would lead astray.
        """
        shown = 0
        if self.repeats == 1:
            return await self.once(recording, is_last=False) and await self.once(recording)
        for left in range(self.repeats, 0, -1):
            shown += await self.once(recording, is_last=shown + 1 >= self.needed)
            if shown >= self.needed or shown + left - 1 < self.needed:
                break
        return shown >= self.needed

    async def find_repeats(self, recording: Recording) -> bool:
        """Do the whole until it shows the violation, and settle from that how often a candidate is to be tried.

        Returns whether it came back at all.
        """
        for tries in range(1, FIRST_TRIES_MAX + 1):
            if await self.once(recording):
                self.repeats = max(self.repeats, repeats_for(tries))
                return True
        return False


class _DiskWatch:
    """Sees whether a disk of ours was full in a run that then made room and went on: that is another history."""

    was_full = False

    def __call__(self, event: Event) -> None:
        self.was_full |= isinstance(event, ActionEnded) and event.reason.startswith(DISK_FULL)


def repeats_for(tries: int) -> int:
    """How often to try a candidate when the whole showed the violation at this try for the first time."""
    if tries == 1:
        return 1
    return min(REPEATS_MAX, math.ceil(math.log(_MISSED_SHARE) / math.log(1 - 1 / tries)))


def is_testbed_of(testbed: Path, recording: Recording) -> bool:
    """Whether there is a testbed, and it is one on which just this was done."""
    if not (testbed / LEDGER_NAME).exists():
        return False
    with suppress(HarnessError), read_testbed(testbed) as ledger:
        run = ledger.record.run(1)
        scenario = run["scenario"] if run else None
        return isinstance(scenario, dict) and scenario.get("recorded") == recording.model_dump(mode="json")
    return False


def alone_in(directory: Path) -> AbstractContextManager[None]:
    """Hold a lock on what comes of a shrinking. Raises HarnessError where another one is at work."""
    words = f"another shrink is at work in {directory}; wait for it, or choose another directory with --output"
    return holding(directory / LOCK_NAME, HarnessError(words))


async def clear_left_over(directory: Path, note: Callable[[str], None]) -> None:
    """Remove the scratch directories that killed shrinkings have left where nobody else works: end what runs there, and
    heal what is broken there."""
    for scratch in _scratch_directories(directory):
        for bed in _testbeds(scratch):
            # What can't be opened any more has to go all the same.
            with suppress(SnapstormError), open_testbed(bed, must_exist=True) as testbed:
                testbed.is_new = False
                await clear_after_a_kill(testbed, Clock(), note)
        remove_tree(scratch)


def _scratch_directories(directory: Path) -> list[Path]:
    found = [path for path in directory.iterdir() if _SCRATCH_NAME.fullmatch(path.name)]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _testbeds(scratch: Path) -> list[Path]:
    return [path for path in scratch.iterdir() if (path / LEDGER_NAME).exists()]


@dataclass
class ShrinkState:
    """What a shrinking has found so far, on the disk."""

    path: Path
    subject: Subject
    best: Recording | None = None
    tried: dict[str, bool] = field(default_factory=dict)
    executions: int = 0
    repeats: int = 1
    shown: tuple[int, int] = (0, 0)
    """How often the best showed it in the end, of so many times."""

    @classmethod
    def open(cls, path: Path, subject: Subject) -> ShrinkState:
        """The state that is there, or a new one. Raises ConfigError for one of another subject, or that can't be
        read."""
        state = cls(path, subject)
        if not path.exists():
            return state
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if found["version"] != _STATE_VERSION:
                raise ConfigError(
                    f"{path} is of another version of snapstorm; remove it to begin anew, or give another directory "
                    "with --output"
                )
            if found["subject"] != subject.as_json():
                other = Subject(**{**found["subject"], "programs": tuple(found["subject"]["programs"])})
                raise ConfigError(
                    f"{path.parent} holds the shrinking of {other}, not of {subject}; give another directory with "
                    "--output"
                )
            state.best = Recording.model_validate(found["best"]) if found["best"] else None
            state.tried, state.executions, state.repeats = found["tried"], found["executions"], found["repeats"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ConfigError(f"{path} can't be read; remove it to begin anew ({error})") from error
        return state

    def write(self) -> None:
        """All or nothing. Raises HarnessError where there is no room for it."""
        document = {
            "version": _STATE_VERSION,
            "subject": self.subject.as_json(),
            "best": self.best.model_dump(mode="json") if self.best else None,
            "tried": self.tried,
            "executions": self.executions,
            "repeats": self.repeats,
        }
        try:
            write_whole(self.path, json.dumps(document))
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
