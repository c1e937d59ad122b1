"""The command that opens the storage of a recorded run as every crash could have left it: `snapstorm explore`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from snapstorm.cli.option_groups import JUDGING, WHAT, WHERE, Output, Programs
from snapstorm.cli.signals import Interrupted, until_signal
from snapstorm.cli.which import WhichRun, find_run
from snapstorm.cli.words import above_zero, read_typed
from snapstorm.errors import ConfigError
from snapstorm.exploration.exploration import ExploreListener, ExploreOptions, ExploreResult, open_exploration
from snapstorm.exploration.states import Depth
from snapstorm.model.verdict import EXIT_STATUS
from snapstorm.report.exploring import explored_lines, exploring
from snapstorm.report.progress import ProgressKind
from snapstorm.report.text import dump_json
from snapstorm.runtime.clock import Clock
from snapstorm.scenario.quantities import read_duration
from snapstorm.scenario.seeds import SEED_MAX
from snapstorm.targets.plugin import MakeTarget
from snapstorm.targets.registry import DEFAULT_TARGET, find_target
from snapstorm.testbed.testbed import read_testbed


@Parameter(name="*", group=WHAT, negative="")
@dataclass(frozen=True)
class Tries:
    """What is tried."""

    every: int | None = None
    """After one of so many writes the storage is opened. Default: so many that there are about 1,000 points."""
    in_flight: int = 1
    """So many more states at each point: of the writes that were under way then, some that are drawn were applied and
    others not, as a crash may leave them."""
    restore_every: int = 4
    """In each so many-th state everything is listed as well, and a snapshot that is drawn is restored and compared."""
    go_on: bool = False
    """In each state that has lost nothing, go on as after a crash: run full maintenance, after some days where the run
    was in virtual time, and look for everything again."""
    minutes: float | None = None
    """No point is begun after so many minutes. Points are tried all over the run from the beginning on."""
    seed: int | None = None
    """All that is drawn follows from it. Default: a random one, which is told."""

    @property
    def depth(self) -> Depth:
        """How much is tried at each point. Raises ConfigError for what can't be."""
        for name, value in (("every", self.every), ("restore-every", self.restore_every)):
            if value is not None and value < 1:
                raise ConfigError(f"--{name} must be at least 1, not {value}")
        if self.in_flight < 0:
            raise ConfigError(f"--in-flight must not be below 0, not {self.in_flight}")
        if self.seed is not None and not 0 <= self.seed <= SEED_MAX:
            raise ConfigError(f"--seed must be from 0 to {SEED_MAX}, not {self.seed}")
        seed = secrets.randbelow(1 << 32) if self.seed is None else self.seed
        minutes = above_zero("--minutes", self.minutes)
        seconds_max = None if minutes is None else minutes * 60
        return Depth(self.in_flight, self.restore_every, seed, seconds_max, goes_on=self.go_on)


def explore(
    run: str,
    /,
    *,
    tries: Tries = Tries(),
    program: Annotated[Programs, Parameter(group=WHERE)] = None,
    operation_timeout: Annotated[str, Parameter(group=JUDGING)] = "300s",
    output: Output = Output(),
) -> int:
    """Open the storage of a recorded run as a crash at each moment would have left it, and look for what was promised.

    For runs with --repository gateway, which keeps a history of all writes. After each write the storage is opened as
    it was then, as a fresh repository without any cache. Every snapshot that was acknowledged by then, and whose
    deletion nobody had asked for, must be listed and read back. A loss is kept with its evidence in the directory of
    the run; the verdict of the run itself stays.

    Exit status: 0 nothing lost, 1 something lost, 2 bad usage or no history, 3 environment or a damaged history, 4
    nothing was promised, 130 interrupted.

    Parameters
    ----------
    run
        TESTBED, for its latest run, or TESTBED:NUMBER.
    program
        The program that opens the storage. Default: the one of the run, if it is still there.
    operation_timeout
        After this time a command is ended. It is tried once more then.
    """
    which, depth = find_run(run, is_latest=True), tries.depth
    seconds = read_typed("--operation-timeout", operation_timeout, read_duration)
    options = ExploreOptions(which.testbed, which.number, depth, tries.every, seconds)
    with exploring(ProgressKind(output.progress_kind), sys.stderr) as listener:
        result = _explore(options, _target_of(which, program or ()), listener)
    if output.json_output:
        print(dump_json(result.as_json()))
    else:
        for line in explored_lines(result):
            print(line)
    return EXIT_STATUS[result.verdict[0]]


def _target_of(which: WhichRun, programs: Sequence[Path]) -> MakeTarget:
    """The target of a run, with its program, or another one. Raises ConfigError if its program is gone."""
    with read_testbed(which.testbed) as ledger:
        recorded = (ledger.record.run(which.number) or {}).get("target") or {}
        is_virtual = ledger.is_virtual
    found = list(programs) or [Path(one["path"]) for one in recorded.get("executables", ())]
    if gone := [path for path in found if not programs and not path.exists()]:
        raise ConfigError(f"the program {gone[0]} that the run was made with is gone; name one with --program")
    return find_target(recorded.get("name") or DEFAULT_TARGET, found, is_virtual=is_virtual)


def _explore(options: ExploreOptions, make_target: MakeTarget, listener: ExploreListener) -> ExploreResult:
    """Explore until it is done, or a signal ends it. Raises Interrupted if that came before there was anything to
    tell."""
    results: list[ExploreResult] = []

    async def work() -> None:
        async with open_exploration(options, make_target, listener, Clock()) as exploration:
            results.append(exploration.result)
            await exploration.explore()

    if anyio.run(until_signal, work) and not results:
        raise Interrupted
    return results[0]
