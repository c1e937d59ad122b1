"""What the commands that do a recorded run again have in common."""

from __future__ import annotations

from pathlib import Path

from snapstorm.cli.option_groups import AgainstSameTarget
from snapstorm.errors import ConfigError
from snapstorm.replay.recordings import Recorded
from snapstorm.run.harness import HarnessOptions
from snapstorm.targets.registry import DEFAULT_TARGET


def base_options(
    recorded: Recorded,
    against: AgainstSameTarget,
    operation_seconds_max: float,
    *,
    keep_going: bool = False,
) -> HarnessOptions:
    """How each time is run: against the target of the recorded run, unless another one is given.

    Raises ConfigError where its program is gone.
    """
    target = against.target or recorded.target or DEFAULT_TARGET
    programs = against.program or []
    if not programs and target == recorded.target:
        programs = [Path(path) for path in recorded.executables]
        if gone := [path for path in programs if not path.exists()]:
            raise ConfigError(f"the program {gone[0]} that the run was made with is gone; name one with --program")
    return HarnessOptions(
        target=target, programs=programs, operation_seconds_max=operation_seconds_max, keep_going=keep_going
    )
