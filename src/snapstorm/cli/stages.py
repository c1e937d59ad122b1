"""The command line's part that runs: stage after stage on one testbed, shown while it goes on and summed up after."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from snapstorm.cli.failures import is_debugged, unforeseen
from snapstorm.cli.option_groups import ProgressChoice
from snapstorm.cli.signals import Interrupted, until_signal
from snapstorm.cli.standard_streams import complain, for_progress
from snapstorm.errors import ConfigError, HarnessError, SnapstormError, TargetError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.events import both
from snapstorm.model.verdict import EXIT_STATUS, Verdict
from snapstorm.report.github import verdict_annotation, without_commands
from snapstorm.report.power import would_have_caught
from snapstorm.report.progress import ProgressKind, may_be_terminal, progress
from snapstorm.report.summary import summary_lines
from snapstorm.report.testbed_history import proven_lines
from snapstorm.report.text import dump_json
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.run.options import check_paths_of
from snapstorm.run.result import RunResult
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.registry import read_target
from snapstorm.testbed.testbed import read_testbed

if TYPE_CHECKING:
    from snapstorm.report.live.board import Board
    from snapstorm.report.writing import ReportDirectory


@dataclass(frozen=True)
class Stage:
    """One run of several on one testbed."""

    options: HarnessOptions
    work: Callable[[Harness], Awaitable[object]] | None


def plan_stages(options: HarnessOptions, scenario: Scenario, *, is_upgrade: bool) -> list[Stage]:
    """The runs that were asked for: one, or one for each version of the target.

    Raises ConfigError where versions and options don't fit together, HarnessError when a version can't be found.
    """
    check_paths_of(options)
    if not is_upgrade and not scenario.versions:
        return [Stage(options, lambda harness: harness.run_scenario(scenario))]
    if options.external_server is not None:
        raise ConfigError("a server that already runs has the version that it has; leave the versions out")
    target, _ = read_target(options.target)
    programs = list(options.programs) or [target.find_version(version) for version in scenario.versions]
    if len(programs) < 2:
        raise ConfigError("running through versions needs at least two of them, each given with --program")
    part = _part(scenario, len(programs))
    is_oldest = scenario.repository_format == "oldest"
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    return [
        Stage(
            replace(
                options,
                programs=[program],
                seed=seed,
                is_oldest_format=is_oldest,
                upgrades_format=is_oldest and number == len(programs),
                scenario=part.model_dump_json(),
            ),
            lambda harness: harness.run_scenario(part),
        )
        for number, program in enumerate(programs, start=1)
    ]


def _part(scenario: Scenario, parts: int) -> Scenario:
    """The scenario with one part of its random actions."""
    seconds, actions = scenario.random_seconds, scenario.actions
    return scenario.model_copy(
        update={
            "duration_seconds": None if seconds is None else seconds / parts,
            "actions": None if actions is None else -(-actions // parts),
        }
    )


def run_stages(
    stages: Sequence[Stage],
    kind: ProgressChoice,
    *,
    json_output: bool,
    reports: ReportDirectory | None = None,
    board: Board | None = None,
) -> int:
    """Run one stage after the other until one does not pass, show what comes of them, and return the exit status."""
    results: list[RunResult] = []
    is_reported = True
    if len(stages) == 1 and reports is None and board is None:
        results.append(_run_stage(stages[0], kind))
    else:
        with common_testbed(stages, results) as testbed:
            for number, stage in enumerate(stages, start=1):
                placed = replace(stage, options=replace(stage.options, testbed=testbed))
                result = _run_stage(placed, kind, stage, board)
                results.append(result)
                is_reported &= write_reports(reports, result, f"stage-{number}" if len(stages) > 1 else "")
                if result.verdict is not Verdict.PASS or (board is not None and board.is_stopped):
                    break
            if board is not None:
                board.end()  # While there still is a testbed to show.
            if len(stages) > 1:
                _print_proven(testbed)
    last = results[-1]
    if json_output:
        shown = [as_json(result) for result in results]
        print(dump_json({**shown[-1], "stages": shown if len(stages) > 1 else [], "repeated": None}), flush=True)
    return status_of(last, is_reported=is_reported)


def reports_in(directory: Path | None, testbed: Path | None) -> AbstractContextManager[ReportDirectory | None]:
    """Where a run's reports go, if any were asked for. Raises ConfigError where they can't."""
    if directory is None:
        return nullcontext()
    if testbed is not None and directory.is_relative_to(testbed):
        raise ConfigError(f"reports can't be inside the testbed {testbed}, which is snapstorm's own")
    from snapstorm.report.writing import report_directory  # noqa: PLC0415 - which other runs need not load

    return report_directory(directory)


def write_reports(reports: ReportDirectory | None, result: RunResult, part: str = "") -> bool:
    """Write the reports of a run that has ended, if any were asked for. False if they could not be, which is told."""
    if reports is None:
        return True
    try:
        reports.write(result.testbed, result.run, part)
    except (SnapstormError, OSError) as error:
        complain(f"no reports: {error}")
        return False
    return True


def status_of(result: RunResult, *, is_reported: bool) -> int:
    """The exit status of a run; one that passed without the reports that were asked for has not done all it was to."""
    status = EXIT_STATUS[result.verdict]
    return status if status or is_reported else EXIT_STATUS[Verdict.ERROR]


@contextmanager
def common_testbed(stages: Sequence[Stage], results: Sequence[RunResult]) -> Iterator[Path]:
    """The testbed of all stages. One that nobody has named is temporary, and kept only if something is violated."""
    named = stages[0].options.testbed
    if named is not None:
        yield named
        return
    parent = Path(tempfile.mkdtemp(prefix="snapstorm-"))
    try:
        yield parent / "testbed"
    finally:
        if not any(result.tally.violations for result in results):
            remove_tree(parent)


def _run_stage(stage: Stage, kind: ProgressChoice, asked: Stage | None = None, board: Board | None = None) -> RunResult:
    """Run a stage and sum it up. `asked` is the stage as it was asked for, before it was given a common testbed."""
    result = perform_stage(stage, kind, board)
    is_temporary = asked is not None and asked.options.testbed is None
    is_kept = bool(result.tally.violations) if is_temporary else result.testbed.exists()
    show_result(result, kind, is_testbed_kept=is_kept)
    return result


def perform_stage(stage: Stage, kind: ProgressChoice, board: Board | None = None) -> RunResult:
    """Run a stage to its end, with progress and without a summary. Whoever looks at the board can act on the run."""
    return anyio.run(_run, stage.options, stage.work, ProgressKind(kind), board)


def show_result(result: RunResult, kind: ProgressChoice, *, is_testbed_kept: bool) -> None:
    """Sum a run up for people."""
    if kind != "github":
        _print_summary(result, is_testbed_kept=is_testbed_kept)
        return
    with without_commands(sys.stderr):
        _print_summary(result, is_testbed_kept=is_testbed_kept)
    if (line := verdict_annotation(result)) is not None:
        print(line, file=sys.stderr, flush=True)


def as_json(result: RunResult) -> dict[str, Any]:
    """What `--json` says of one run."""
    return {**result.as_json(), "would_have_caught": would_have_caught(result)}


async def _run(
    options: HarnessOptions,
    work: Callable[[Harness], Awaitable[object]] | None,
    kind: ProgressKind,
    board: Board | None,
) -> RunResult:
    harness: Harness | None = None

    async def perform() -> None:
        nonlocal harness
        control = None if board is None else board.new_control()
        async with open_harness(options, listener, control) as opened:
            harness = opened
            if work is not None:
                await work(opened)
            await opened.finish()

    with progress(kind, for_progress(sys.stderr)) as shown:
        listener = shown if board is None else both(shown, board)
        try:
            await until_signal(perform)
        except (HarnessError, TargetError):
            # Once a run has begun, an error is a verdict of its own; before, there is nothing to report on.
            if harness is None:
                raise
        except SnapstormError:
            raise
        except Exception as error:
            if harness is None or is_debugged():
                raise
            complain(unforeseen(error))
    if harness is None:
        raise Interrupted
    return harness.result


def _print_summary(result: RunResult, *, is_testbed_kept: bool) -> None:
    lines = summary_lines(result, is_testbed_kept=is_testbed_kept)
    if may_be_terminal(sys.stderr):
        from snapstorm.report.terminal import print_summary  # noqa: PLC0415 - rich is slow to import

        print_summary(lines, result.verdict, sys.stderr)
    else:
        print("\n".join(lines), file=sys.stderr)


def _print_proven(testbed: Path) -> None:
    with suppress(HarnessError), read_testbed(testbed) as ledger:
        for line in ["", *proven_lines(ledger.history.survival())]:
            print(line, file=sys.stderr)
