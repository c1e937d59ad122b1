"""Options and notes that `replay` and `shrink` share."""

from __future__ import annotations

import sys
from pathlib import Path

from snapstorm.cli.option_groups import AgainstSameTarget
from snapstorm.cli.words import read_typed
from snapstorm.errors import ConfigError
from snapstorm.model.location import GatewayStorage
from snapstorm.replay.recordings import Recorded
from snapstorm.run.harness import HarnessOptions
from snapstorm.scenario.quantities import read_duration
from snapstorm.targets.registry import DEFAULT_TARGET


def base_options(
    recorded: Recorded, against: AgainstSameTarget, operation_timeout: str, *, keep_going: bool = False
) -> HarnessOptions:
    """The options of each repetition: against the target of the recorded run, unless another one is given, and behind
    the gateway if the run was.

    Raises ConfigError if its program is gone.
    """
    target = against.target or recorded.target or DEFAULT_TARGET
    programs = against.program or []
    seconds_max = read_typed("--operation-timeout", operation_timeout, read_duration)
    if not programs and target == recorded.target:
        programs = [Path(path) for path in recorded.executables]
        if gone := [path for path in programs if not path.exists()]:
            raise ConfigError(f"the program {gone[0]} that the run was made with is gone; name one with --program")
    return HarnessOptions(
        target=target,
        programs=programs,
        operation_seconds_max=seconds_max,
        keep_going=keep_going,
        repository=GatewayStorage() if recorded.is_behind_gateway else None,
    )


def print_notes(recorded: Recorded, number: int) -> None:
    """Say on stderr how a repetition differs from the run."""
    for note in recorded.notes:
        print(f"run {number}: {note}", file=sys.stderr)
