"""The commands that only show: what a testbed holds and has proven, which actions, scenarios and targets exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio

from snapstorm.cli.option_groups import ExistingTestbed, JsonOutput, Programs
from snapstorm.errors import ConfigError
from snapstorm.report.listings import action_lines, fault_lines, scenario_lines, status_lines, target_lines
from snapstorm.report.testbed_history import history_lines
from snapstorm.runtime.clock import Clock, utc_of
from snapstorm.runtime.process import ProcessRunner
from snapstorm.scenario.shipped_scenarios import shipped
from snapstorm.targets.registry import DEFAULT_TARGET, find_target, read_target
from snapstorm.testbed.testbed import read_testbed


def status(*, testbed: ExistingTestbed, json_output: JsonOutput = False) -> int:
    """Show what a testbed holds: its runs, its snapshots, its violations. Changes nothing."""
    with read_testbed(testbed) as ledger:
        for line in status_lines(testbed, ledger, as_json=json_output):
            print(line)
    return 0


def history(
    *,
    testbed: ExistingTestbed,
    limit: int = 20,
    json_output: JsonOutput = False,
) -> int:
    """Show what a testbed's runs have proven: survival by age and by version, runs, snapshots. Changes nothing.

    Parameters
    ----------
    limit
        How many runs (the latest) and live snapshots (those with the greatest restore debt) are shown.
    """
    if limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {limit}")
    with read_testbed(testbed) as ledger:
        now_utc = utc_of(ledger.last_virtual_ns()) if ledger.is_virtual else Clock().utc()
        for line in history_lines(testbed, ledger, now_utc, limit, as_json=json_output):
            print(line)
    return 0


def actions(*, json_output: JsonOutput = False) -> int:
    """List the actions that clients can do, with their options."""
    for line in action_lines(as_json=json_output):
        print(line)
    return 0


def scenarios(name: str | None = None, /, *, json_output: JsonOutput = False) -> int:
    """List the shipped scenarios, or show one as TOML to start your own from.

    Parameters
    ----------
    name
        The scenario to show.
    """
    for line in scenario_lines(shipped(name) if name else None, as_json=json_output):
        print(line)
    return 0


def faults(*, json_output: JsonOutput = False) -> int:
    """List what `snapstorm run --faults` can break, what each fault needs, and whether this machine has it."""
    for line in fault_lines(as_json=json_output):
        print(line)
    return 0


def target(
    name: str = DEFAULT_TARGET,
    /,
    *,
    program: Programs = None,
    json_output: JsonOutput = False,
) -> int:
    """Show what a target is, where it was found, and what of a tree survives a snapshot and a restore on it.

    Parameters
    ----------
    name
        kopia, memory, or another that is installed.
    program
        The program under test, may be repeated.
    """
    anyio.run(_show_target, name, program or (), json_output)
    return 0


async def _show_target(name: str, programs: Sequence[Path], as_json: bool) -> None:
    make_target = find_target(name, programs)
    async with ProcessRunner("none") as runner:
        plugin, _ = read_target(name)
        parameters = {**plugin.parameters, **plugin.gateway_parameters}
        for line in target_lines(make_target(runner), parameters, as_json=as_json):
            print(line)
