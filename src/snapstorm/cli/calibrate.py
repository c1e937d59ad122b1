"""The command that measures, blind, what the judge catches: `snapstorm calibrate`.

The specimens are the targets': each has ones with a planted defect, and honest ones.
"""

from __future__ import annotations

import itertools
import secrets
import sys
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import anyio
from cyclopts import Parameter

from snapstorm.calibration.calibration import Calibration, Trial, calibrate
from snapstorm.cli.option_groups import JsonOutput, OneProgram
from snapstorm.cli.signals import Interrupted, until_signal
from snapstorm.defects.all_defects import unknown_defect
from snapstorm.errors import ConfigError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.report.calibration_table import calibration_lines, trial_line
from snapstorm.report.text import dump_json
from snapstorm.run.options import check_paths
from snapstorm.scenario.seeds import SEED_MAX
from snapstorm.targets.planted import Specimen, Specimens
from snapstorm.targets.registry import plugin_named, plugins, target_names

ALL = "all"

if TYPE_CHECKING:
    Choice: TypeAlias = str
else:
    Choice = Literal[(*target_names(), ALL)]


def calibrate_judge(
    *,
    target: Annotated[Choice, Parameter(name=["--target", "--kind"])] = ALL,
    only: Annotated[list[str] | None, Parameter(negative="")] = None,
    runs: int = 1,
    honest: int = 20,
    seed: int | None = None,
    program: OneProgram = None,
    json_output: JsonOutput = False,
) -> int:
    """Measure, blind, what the judge catches: short runs against planted defects, honest ones in between.

    Exit status 0 only if every defect was caught under the name of the guarantee that it breaks, and every honest run
    passed; otherwise 1.

    Parameters
    ----------
    target
        memory (simulated), kopia, or another that is installed; all: each of them.
    only
        The name of a defect, may be repeated: no others are tried.
    runs
        How many runs each defect gets.
    honest
        How many honest runs there are in between.
    seed
        The order, and every draw of every run, follow from it. Default: a random one, which is printed.
    program
        The real program.
    """
    if runs < 1:
        raise ConfigError(f"--runs must be at least 1, not {runs}")
    if honest < 0:
        raise ConfigError(f"--honest must not be below 0, not {honest}")
    if seed is not None and not 0 <= seed <= SEED_MAX:
        raise ConfigError(f"--seed must be from 0 to {SEED_MAX}, not {seed}")
    offered = find_specimens(target, [program] if program else [])
    specimens = choose_specimens(offered, only or [], runs=runs, honest=honest)
    return calibrate_with(specimens, secrets.randbelow(1 << 32) if seed is None else seed, json_output=json_output)


def find_specimens(target: str, programs: Sequence[Path]) -> list[Specimens]:
    """The specimens of this target, or of all that are installed. Raises ConfigError for a target without any,
    HarnessError if a program can't be found."""
    chosen = plugins() if target == ALL else [plugin_named(target)]
    if programs and sum(plugin.has_programs for plugin in chosen) > 1:
        raise ConfigError("--program is the program of one target; choose that with --target")
    found: list[Specimens] = []
    for plugin in chosen:
        specimens = plugin.specimens(programs if plugin.has_programs else ())
        if specimens is not None:
            check_paths(plugin, {"TMPDIR": Path(tempfile.gettempdir())})
            found.append(specimens)
    if not found:
        raise ConfigError(f"nothing is planted in the target {target}, so that there is nothing to catch")
    return found


def choose_specimens(offered: Sequence[Specimens], only: Sequence[str], *, runs: int, honest: int) -> list[Specimen]:
    """Every specimen that was asked for. Raises ConfigError for a name that no defect has."""
    defects = [specimen for specimens in offered for specimen in specimens.defects]
    names = {specimen.name for specimen in defects}
    for name in only:
        if name not in names:
            raise unknown_defect(name, sorted(names))
    chosen = [specimen for specimen in defects if not only or specimen.name in only]
    # Every target gets the same number of runs, and each of its set-ups in turn.
    turns = zip(*(itertools.cycle(specimens.honest) for specimens in offered), strict=True)
    return chosen * runs + list(itertools.islice(itertools.chain.from_iterable(turns), honest))


def calibrate_with(specimens: Sequence[Specimen], seed: int, *, json_output: bool) -> int:
    """Try these specimens, print the results, and return the exit status. Leaves nothing behind.

    Raises Interrupted if a signal has ended it, after the results until then are printed.
    """
    print(f"calibration with seed {seed}: {len(specimens)} runs", file=sys.stderr, flush=True)
    directory = Path(tempfile.mkdtemp(prefix="snapstorm-calibrate-"))
    trials: list[Trial] = []

    async def try_each() -> None:
        async with aclosing(calibrate(specimens, directory, seed)) as tried:
            async for trial in tried:
                trials.append(trial)
                print(trial_line(trial, len(trials), len(specimens)), file=sys.stderr, flush=True)

    try:
        anyio.run(until_signal, try_each)
    finally:
        remove_tree(directory)
    calibration = Calibration(seed, trials)
    for line in calibration_lines(calibration):
        print(line, file=sys.stderr if json_output else sys.stdout)
    if len(trials) < len(specimens):
        raise Interrupted
    if json_output:
        print(dump_json(calibration.as_json(), indent=1), flush=True)
    return 0 if calibration.is_perfect else 1
