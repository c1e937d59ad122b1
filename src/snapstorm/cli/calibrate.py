"""The command that measures, blind, what the judge catches: `snapstorm calibrate`.

Here the specimens are put together: planted defects of the simulated target, wrappers around the real Kopia, and honest
ones of both.
"""

from __future__ import annotations

import difflib
import secrets
import sys
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import anyio
from cyclopts import Parameter

from snapstorm.calibration.calibration import Calibration, Setup, Specimen, Trial, calibrate
from snapstorm.calibration.workload import REAL, SIMULATED, SIMULATED_LOSS
from snapstorm.cli.signals import until_signal
from snapstorm.cli.stages import Interrupted
from snapstorm.errors import ConfigError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.work import WorkKind, under_fault
from snapstorm.report.calibration_table import calibration_lines, trial_line
from snapstorm.report.text import dump_json
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.options import check_paths
from snapstorm.scenario.scenarios import shipped
from snapstorm.scenario.seeds import SEED_MAX
from snapstorm.targets.kopia.discovery import find_kopia
from snapstorm.targets.kopia.wrapper_defects import WRAPPER_DEFECTS
from snapstorm.targets.kopia.wrappers import WrapperDefect, make_wrapper, times_struck, why_it_broke
from snapstorm.targets.memory import DEFECTS
from snapstorm.targets.memory.fault_defects import SHOWN_BY

Kind: TypeAlias = Literal["memory", "kopia", "all"]

HONEST = "honest"

_REAL = Setup(REAL, operation_seconds_max=15.0, ends_early=True)
"""A hang is ended soon; what only a slow machine makes take this long is repeated, and not held against anybody."""
_REAL_UNDER_FAULT = Setup(REAL, operation_seconds_max=60.0, fault_pace=3.0, ends_early=True)
"""For what only a fault shows: each fault strikes often."""
_SIMULATED = Setup(SIMULATED, operation_seconds_max=0.3, keep_going=True, rounds=2)
_SPACE = Setup(shipped("space"), operation_seconds_max=0.3, keep_going=True)

_STORM = SIMULATED.model_copy(update={"duration_seconds": 2.5, "actions": None})
_SIMULATED_BY_NAME = {"collection-frees-nothing": _SPACE} | {
    name: Setup(
        SIMULATED_LOSS if name == "verify-says-nothing" else _STORM,
        operation_seconds_max=0.3,
        keep_going=True,
        faults=(fault,),
        fault_pace=30.0,
        recovery_seconds_max=1.5,
    )
    for name, fault in SHOWN_BY.items()
}
"""Defects that only a scenario of their own, or a fault, can show."""

_WORK_BY_NAME = {
    "restore-changes-a-symlink-target": WorkKind.RESTORE_LINK,
    "restore-follows-a-symlink": WorkKind.RESTORE_LINK,
    "restore-loses-an-empty-directory": WorkKind.RESTORE_EMPTY_DIRECTORY,
    "collection-frees-nothing": WorkKind.MEASURE,
    "list-shows-others": WorkKind.LIST_AMONG_OTHERS,
    "removed-client-still-let-in": WorkKind.REMOVED_CLIENT,
    "wrong-password-accepted": WorkKind.WRONG_PASSWORD,
    "restart-forgets-a-snapshot": WorkKind.RESTORE_EARLIER,
    **{name: under_fault(fault) for name, fault in SHOWN_BY.items()},
}
_WORK_BY_FIRST_WORD = {
    "restore": WorkKind.RESTORE,
    "create": WorkKind.CREATE,
    "delete": WorkKind.DELETE,
    "gc": WorkKind.COLLECT,
    "list": WorkKind.LIST,
    "expire": WorkKind.EXPIRE,
    "verify": WorkKind.VERIFY,
}
"""By what a defect of the simulated target is shown, unless its name stands above."""


def calibrate_judge(
    *,
    kind: Kind = "all",
    only: Annotated[list[str] | None, Parameter(negative="")] = None,
    runs: int = 1,
    honest: int = 20,
    seed: int | None = None,
    kopia: Path | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Measure, blind, what the judge catches: short runs against planted defects, honest ones in between.

    Exit status 0 only if every defect was caught under the name of the guarantee that it breaks, and every honest run
    passed; otherwise 1.

    Parameters
    ----------
    kind
        memory: defects planted in the simulated target; kopia: wrappers around the real one; all: both.
    only
        The name of a defect, may be repeated: no others are tried.
    runs
        How many runs each defect gets.
    honest
        How many honest runs there are in between.
    seed
        The order, and every draw of every run, follow from it. Default: a random one, which is printed.
    kopia
        The real program.
    json_output
        Print one JSON object on stdout, and nothing else there.
    """
    if runs < 1:
        raise ConfigError(f"--runs must be at least 1, not {runs}")
    if honest < 0:
        raise ConfigError(f"--honest must not be below 0, not {honest}")
    if seed is not None and not 0 <= seed <= SEED_MAX:
        raise ConfigError(f"--seed must be from 0 to {SEED_MAX}, not {seed}")
    if kind != "memory":
        check_paths("kopia", {"TMPDIR": Path(tempfile.gettempdir())})
    real = None if kind == "memory" else find_kopia(kopia).path
    specimens = choose_specimens(kind, real, only or [], runs=runs, honest=honest)
    return calibrate_with(specimens, secrets.randbelow(1 << 32) if seed is None else seed, json_output=json_output)


def choose_specimens(kind: Kind, real: Path | None, only: Sequence[str], *, runs: int, honest: int) -> list[Specimen]:
    """Every specimen that was asked for. Raises ConfigError for a name that no defect has."""
    defects = [] if kind == "kopia" else [simulated_specimen(name) for name in DEFECTS]
    if real is not None:
        defects += [real_specimen(real, name, defect) for name, defect in WRAPPER_DEFECTS.items()]
    names = {specimen.name for specimen in defects}
    for name in only:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ConfigError(f"no defect is called {name!r}; {hint}there are: {', '.join(sorted(names))}")
    chosen = [specimen for specimen in defects if not only or specimen.name in only]
    honest_ones = _honest_specimens(kind, real)
    return chosen * runs + [honest_ones[number % len(honest_ones)] for number in range(honest)]


def _honest_specimens(kind: Kind, real: Path | None) -> list[Specimen]:
    """In turns: of each kind that is asked for, and of the simulated one in each set-up in which defects are run."""
    found: list[Specimen] = []
    if kind != "kopia":
        setups = [_SIMULATED, *_SIMULATED_BY_NAME.values()]
        found = [simulated_specimen(None, setup) for setup in setups]
    if real is None:
        return found
    honest_real = real_specimen(real, HONEST, None)
    return [one for specimen in found for one in (honest_real, specimen)] or [honest_real]


def simulated_specimen(name: str | None, setup: Setup | None = None) -> Specimen:
    """The simulated target with this defect, or without any. What it is stands in a file that only it reads."""

    planted, defect = name or "", DEFECTS[name] if name else None

    def plant(directory: Path) -> HarnessOptions:
        directory.mkdir(mode=0o700)
        file = directory / "program"
        file.write_text(planted)
        return HarnessOptions(target=f"memory:{file}")

    return Specimen(
        kind="memory",
        name=planted or HONEST,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=_WORK_BY_NAME.get(planted) or _WORK_BY_FIRST_WORD.get(planted.partition("-")[0], WorkKind.RESTORE),
        setup=setup or _SIMULATED_BY_NAME.get(planted, _SIMULATED),
        plant=plant,
    )


def real_specimen(real: Path, name: str, defect: WrapperDefect | None) -> Specimen:
    """A wrapper around the real program with this defect, or one that does nothing."""

    def plant(directory: Path) -> HarnessOptions:
        return HarnessOptions(target="kopia", kopias=[make_wrapper(directory, real, defect.body if defect else "")])

    return Specimen(
        kind="kopia",
        name=name,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=defect.shown_by if defect else WorkKind.RESTORE,
        setup=replace(_REAL_UNDER_FAULT, faults=(defect.fault,)) if defect and defect.fault else _REAL,
        plant=plant,
        times_struck=times_struck,
        why_it_broke=why_it_broke,
    )


def calibrate_with(specimens: Sequence[Specimen], seed: int, *, json_output: bool) -> int:
    """Try these specimens, tell what comes of it, and return the exit status. Leaves nothing behind.

    Raises Interrupted, when what was tried until then has been told, if a signal has ended it.
    """
    print(f"calibration with seed {seed}: {len(specimens)} runs", file=sys.stderr, flush=True)
    directory = Path(tempfile.mkdtemp(prefix="snapstorm-calibrate-"))
    trials: list[Trial] = []
    try:
        anyio.run(_try_all, specimens, directory, seed, trials)
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


async def _try_all(specimens: Sequence[Specimen], directory: Path, seed: int, trials: list[Trial]) -> None:
    """Try one after the other, until all are tried or a signal ends it; each trial that has ended is added."""

    async def try_each() -> None:
        async with aclosing(calibrate(specimens, directory, seed)) as tried:
            async for trial in tried:
                trials.append(trial)
                print(trial_line(trial, len(trials), len(specimens)), file=sys.stderr, flush=True)

    await until_signal(try_each)
