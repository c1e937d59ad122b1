"""Shrinking: tries candidates of a reduction on fresh testbeds, and keeps the testbed of the best.

What has been tried is written down after each candidate, so that an interrupted shrinking goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snapstorm.engine.again import Again, do_again, scenario_of
from snapstorm.engine.harness import HarnessOptions
from snapstorm.engine.recording import Recorded
from snapstorm.errors import ConfigError, HarnessError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.plan.recording import Recording
from snapstorm.plan.reduction import OutOfTime
from snapstorm.runtime.clock import Clock

STATE_NAME = "progress.json"
FIRST_TRIES_MAX = 10
"""How often the whole history is done again before it is given up as one that does not come back."""
REPEATS_MAX = 10
_MISSED_SHARE = 0.05
"""How seldom a candidate that shows the violation sometimes may be taken for one that does not."""
_STATE_VERSION = 1


@dataclass
class Trials:
    """Does candidates again, each as often as it takes to be sure."""

    recorded: Recorded
    base: HarnessOptions
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

    async def once(self, recording: Recording) -> bool:
        """Do it once. Raises OutOfTime, or HarnessError where the machine is not fit for it."""
        if self.clock.monotonic_seconds() >= self.deadline_seconds:
            raise OutOfTime
        self.executions += 1
        bed = self.scratch / str(self.executions)
        again = await do_again(self.base, scenario_of(self.recorded, recording), bed)
        self.on_trial(recording, again)
        if again.result is None:
            remove_tree(self.scratch)
            raise HarnessError(f"the history can't be done again: {again.error}")
        shows = again.shows(self.guarantees)
        if shows:
            remove_tree(self.best)
            os.rename(bed, self.best)
        elif bed.exists():
            remove_tree(bed)
        return shows

    async def shows(self, recording: Recording) -> bool:
        """Whether enough of the repeats show the violation; stops as soon as that is decided.

        Where one try seems to be enough, what shows it must do so twice: one that shows it by luck would lead astray.
        """
        shown = 0
        if self.repeats == 1:
            return await self.once(recording) and await self.once(recording)
        for left in range(self.repeats, 0, -1):
            shown += await self.once(recording)
            if shown >= self.needed or shown + left - 1 < self.needed:
                break
        return shown >= self.needed

    async def count_shown(self, recording: Recording, times: int) -> int:
        """How many of so many times show the violation."""
        return sum([await self.once(recording) for _ in range(times)])

    async def find_repeats(self, recording: Recording) -> bool:
        """Do the whole until it shows the violation, and settle from that how often a candidate is to be tried.

        Returns whether it came back at all.
        """
        for tries in range(1, FIRST_TRIES_MAX + 1):
            if await self.once(recording):
                self.repeats = max(self.repeats, repeats_for(tries))
                return True
        return False


def repeats_for(tries: int) -> int:
    """How often to try a candidate when the whole showed the violation at this try for the first time."""
    if tries == 1:
        return 1
    return min(REPEATS_MAX, math.ceil(math.log(_MISSED_SHARE) / math.log(1 - 1 / tries)))


@dataclass
class State:
    """What a shrinking has found so far, on the disk."""

    path: Path
    run: str
    """Which run it shrinks, as text."""
    best: Recording | None = None
    tried: dict[str, bool] = field(default_factory=dict)
    executions: int = 0
    repeats: int = 1
    shown: tuple[int, int] = (0, 0)
    """How often the best showed it in the end, of so many times."""

    @classmethod
    def open(cls, path: Path, run: str) -> State:
        """The state that is there, or a new one. Raises ConfigError for one of another run, or that can't be read."""
        state = cls(path, run)
        if not path.exists():
            return state
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            if found["version"] != _STATE_VERSION or found["run"] != run:
                raise ConfigError(
                    f"{path.parent} holds the shrinking of {found['run']}; give another directory with --output"
                )
            state.best = Recording.model_validate(found["best"]) if found["best"] else None
            state.tried, state.executions, state.repeats = found["tried"], found["executions"], found["repeats"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ConfigError(f"{path} can't be read; remove it to begin anew ({error})") from error
        return state

    def write(self) -> None:
        """All or nothing."""
        document = {
            "version": _STATE_VERSION,
            "run": self.run,
            "best": self.best.model_dump(mode="json") if self.best else None,
            "tried": self.tried,
            "executions": self.executions,
            "repeats": self.repeats,
        }
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(document))
        os.replace(new, self.path)
