"""The command that puts targets side by side: `snapstorm compare`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from snapstorm.cli.signals import until_signal
from snapstorm.cli.words import TypedPath, pair
from snapstorm.comparison.comparison import (
    TIMED_SCENARIOS,
    Compared,
    Contender,
    TargetComparison,
    describe,
    time_it,
    weather,
)
from snapstorm.errors import ConfigError, HarnessError
from snapstorm.faults.catalogue import read_keys
from snapstorm.filesystem.removal import remove_tree
from snapstorm.report.comparison_table import comparison_lines
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.machine import describe_machine
from snapstorm.scenario.seeds import SEED_MAX


def compare(
    *,
    target: Annotated[list[str], Parameter(negative="")],
    parameter: Annotated[list[str] | None, Parameter(negative="")] = None,
    faults: Annotated[list[str] | None, Parameter(negative="")] = None,
    times: bool = True,
    seed: int = 1,
    write: TypedPath | None = None,
) -> int:
    """Put targets side by side: what survives, how long the same trees take, and which faults each rides out.

    Prints a page in Markdown. Exit status 1 if a guarantee was violated anywhere, otherwise 0.

    Parameters
    ----------
    target
        A target; repeat it for each.
    parameter
        TARGET.NAME=VALUE, a setting of a target's own, as borg.transport=ssh.
    faults
        Which faults strike, separated by commas. Default: all. none: none.
    times
        Whether snapshots and restores are timed.
    seed
        Every draw of every run follows from it.
    write
        A file for the page, in place of standard output.
    """
    if not 0 <= seed <= SEED_MAX:
        raise ConfigError(f"--seed must be from 0 to {SEED_MAX}, not {seed}")
    if repeated := sorted({name for name in target if target.count(name) > 1}):
        raise ConfigError(f"--target {repeated[0]} is named twice")
    contenders = _with_parameters(target, parameter or [])
    if write is not None:
        _write(write, "", mode="a")  # Now, and not in half an hour.
    chosen = () if faults == ["none"] else read_keys(faults or ["all"])
    comparison = TargetComparison(seed)
    directory = Path(tempfile.mkdtemp(prefix="snapstorm-compare-"))
    facts = describe_machine(directory)
    machine = (
        f"{Clock().utc()[:10]}, {facts['processors']}, {facts['system']}, {facts['file system'].partition(',')[0]}"
    )

    async def compare_each() -> None:
        found = [await describe(one) for one in contenders]  # First, so that nothing is run if one is missing.
        if times:  # All of them within a few minutes, so that the machine is the same for each.
            found = [await _timed(one, seed, directory) for one in found]
        for one in found:
            comparison.targets.append(await _weathered(one, chosen, seed, directory))

    try:
        anyio.run(until_signal, compare_each)
    finally:
        remove_tree(directory)
    page = "\n".join(comparison_lines(comparison, machine)) + "\n"
    if write is None:
        print(page, end="")
    else:
        _write(write, page)
    return 0 if comparison.is_good else 1


async def _timed(found: Compared, seed: int, directory: Path) -> Compared:
    timings = []
    for scenario in TIMED_SCENARIOS:
        _tell(f"{found.contender}: {scenario}")
        timings.append(await time_it(found.contender, scenario, seed, _emptied(directory)))
    return replace(found, timings=timings)


async def _weathered(found: Compared, faults: Sequence[str], seed: int, directory: Path) -> Compared:
    weathered = []
    for fault in faults:
        _tell(f"{found.contender}: {fault}")
        weathered.append(await weather(found.contender, fault, seed, _emptied(directory)))
    return replace(found, weathered=weathered)


def _with_parameters(targets: Sequence[str], texts: Sequence[str]) -> list[Contender]:
    """Each target with the settings that were typed for it. Raises ConfigError."""
    typed: dict[str, dict[str, str]] = {target: {} for target in targets}
    for text in texts:
        name, value = pair("--parameter", text)
        target, dot, setting = name.rpartition(".")
        if not dot or target not in typed:
            raise ConfigError(f"--parameter: {text!r} must be TARGET.NAME=VALUE, with a target that is compared")
        typed[target][setting] = value
    return [Contender(target, parameters) for target, parameters in typed.items()]


def _write(place: Path, page: str, mode: str = "w") -> None:
    try:
        with place.open(mode, encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        raise HarnessError(f"the page can't be written to {place}: {error.strerror}") from error


def _emptied(directory: Path) -> Path:
    """A place for the next testbed, with no other beside it."""
    testbed = directory / "testbed"
    if testbed.exists():
        remove_tree(testbed)
    return testbed


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
