"""The command that restores and compares what a testbed holds: `snapstorm sweep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from snapstorm.cli.option_groups import WHERE, Copies, Directories, ExistingTestbed, Judging, Programs, ReportedOutput
from snapstorm.cli.stages import Stage, run_stages, showing
from snapstorm.cli.target_options import OwnOptions, own_options
from snapstorm.cli.words import above_zero, operation_seconds, read_typed
from snapstorm.model.location import read_storage
from snapstorm.model.protocols import Mode
from snapstorm.run.harness import HarnessOptions
from snapstorm.targets.registry import DEFAULT_TARGET, read_target
from snapstorm.testbed.testbed import read_testbed

if TYPE_CHECKING:
    SweepOwnOptions = OwnOptions
else:
    SweepOwnOptions = own_options("sweep")


def sweep(
    *,
    testbed: Annotated[ExistingTestbed, Parameter(group=WHERE)],
    target: Annotated[str | None, Parameter(group=WHERE)] = None,
    program: Annotated[Programs, Parameter(group=WHERE)] = None,
    own: SweepOwnOptions = SweepOwnOptions(),
    directories: Directories = Directories(),
    copies: Copies = Copies(),
    judging: Judging = Judging(),
    output: ReportedOutput = ReportedOutput(),
) -> int:
    """Restore and compare every live snapshot of a testbed; write nothing new.

    Parameters
    ----------
    target
        Default: the one that the testbed was made with.
    program
        The program under test.
    """
    with read_testbed(testbed) as ledger:
        kind = target or ledger.fact("target") or DEFAULT_TARGET
        mode = Mode(ledger.fact("mode") or "server")
    plugin, _ = read_target(kind)
    options = HarnessOptions(
        testbed=testbed,
        target=kind,
        programs=program or [],
        mode=mode,
        workdir=directories.workdir,
        repository=read_typed("--repository", directories.repository, read_storage),
        persist=copies.persist,
        take_over=copies.take_over,
        operation_seconds_max=operation_seconds(judging.operation_timeout, has_faults=False),
        sweep_seconds=above_zero("--sweep-seconds", judging.sweep_seconds),
        known_bugs=tuple(judging.known or ()),
        must_exist=True,
        is_sweep_only=True,
        external_server=own.of(plugin).external_server(testbed),
        scenario="sweep",
    )
    with showing(output, testbed) as shown:
        return run_stages([Stage(options, None)], shown)
