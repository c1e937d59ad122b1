"""Performs the runs of a command, one after the other on one testbed, and shows each and what came of it."""

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
from snapstorm.cli.option_groups import ProgressChoice, ReportedOutput
from snapstorm.cli.signals import Interrupted, until_signal
from snapstorm.cli.standard_streams import complain, for_progress
from snapstorm.cli.watch import watching
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
    """One of several runs on one testbed."""

    options: HarnessOptions
    work: Callable[[Harness], Awaitable[object]] | None


@dataclass(frozen=True)
class Showing:
    """How runs are shown, who may watch them, and where their reports go."""

    progress: ProgressChoice
    json_output: bool
    reports: ReportDirectory | None = None
    board: Board | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether a viewer of the live page has ended the run, so that no further one begins."""
        return self.board is not None and self.board.is_stopped


@contextmanager
def showing(
    output: ReportedOutput, testbed: Path | None, web: str | None = None, metrics: str | None = None
) -> Iterator[Showing]:
    """Serve the live page and make the directory for reports, if they were asked for, while the block lasts.

    Raises ConfigError or HarnessError for what can't be, before any run begins.
    """
    with _reports_in(output.report, testbed) as reports, watching(web, metrics) as board:
        yield Showing(output.progress_kind, output.json_output, reports, board)


def _reports_in(directory: Path | None, testbed: Path | None) -> AbstractContextManager[ReportDirectory | None]:
    if directory is None:
        return nullcontext()
    if testbed is not None and directory.is_relative_to(testbed):
        raise ConfigError(f"reports can't be inside the testbed {testbed}, which is snapstorm's own")
    from snapstorm.report.writing import report_directory  # noqa: PLC0415 - which other runs need not load

    return report_directory(directory)


def plan_stages(options: HarnessOptions, scenario: Scenario, *, is_upgrade: bool) -> list[Stage]:
    """The runs that were asked for: one, or one for each version of the target.

    Raises ConfigError if versions and options don't fit together, HarnessError if a version can't be found.
    """
    check_paths_of(options)
    if not is_upgrade and not scenario.versions:
        return [Stage(options, lambda harness: harness.run_scenario(scenario))]
    if options.external_server is not None:
        raise ConfigError("a server that already runs has the version that it has; leave the versions out")
    target, _ = read_target(options.target)
    programs = list(options.programs) or [target.find_version(version) for version in scenario.versions]
    count = len(programs)
    if count < 2:
        raise ConfigError("running through versions needs at least two of them, each given with --program")
    seconds, actions = scenario.random_seconds, scenario.actions
    part = scenario.model_copy(
        update={
            "duration_seconds": None if seconds is None else seconds / count,
            "actions": None if actions is None else -(-actions // count),
        }
    )
    is_oldest = scenario.repository_format == "oldest"
    common = replace(
        options,
        seed=secrets.randbelow(1 << 32) if options.seed is None else options.seed,
        is_oldest_format=is_oldest,
        scenario=part.model_dump_json(),
    )
    return [
        Stage(
            replace(common, programs=[program], upgrades_format=is_oldest and number == count),
            lambda harness: harness.run_scenario(part),
        )
        for number, program in enumerate(programs, start=1)
    ]


def run_stages(stages: Sequence[Stage], shown: Showing) -> int:
    """Perform one stage after the other until one does not pass, show what came of them, and return the exit status."""
    results: list[RunResult] = []
    is_reported = True
    with common_testbed(stages, results, shown) as testbed:
        for number, stage in enumerate(stages, start=1):
            results.append(perform_stage(stage, testbed, shown))
            show_result(results[-1], stage, shown)
            is_reported &= write_reports(shown, results[-1], f"stage-{number}" if len(stages) > 1 else "")
            if results[-1].verdict is not Verdict.PASS or shown.is_stopped:
                break
        if shown.board is not None:
            shown.board.end()  # While there still is a testbed to show.
        if testbed is not None and len(stages) > 1:
            _print_proven(testbed)
    if shown.json_output:
        documents = [as_json(result) for result in results]
        several = documents if len(stages) > 1 else []
        print(dump_json({**documents[-1], "stages": several, "repeated": None}), flush=True)
    return status_of(results[-1], is_reported=is_reported)


def write_reports(shown: Showing, result: RunResult, part: str = "") -> bool:
    """Write the reports of a run that has ended, if any were asked for. False, and a message, if they can't be."""
    if shown.reports is not None:
        try:
            shown.reports.write(result.testbed, result.run, part)
        except (SnapstormError, OSError) as error:
            complain(f"no reports: {error}")
            return False
    return True


def status_of(result: RunResult, *, is_reported: bool) -> int:
    """The exit status of a run. A pass whose reports could not be written is an error."""
    status = EXIT_STATUS[result.verdict]
    return status if status or is_reported else EXIT_STATUS[Verdict.ERROR]


@contextmanager
def common_testbed(stages: Sequence[Stage], results: Sequence[RunResult], shown: Showing) -> Iterator[Path | None]:
    """The testbed of all stages. Unless it was named, it is temporary, and kept only if something is violated.

    None if nobody but the only run needs it: the harness then makes a temporary one of its own.
    """
    named = stages[0].options.testbed
    if named is not None or (len(stages) == 1 and shown.reports is None and shown.board is None):
        yield named
        return
    with temporary_testbed(results) as testbed:
        yield testbed


@contextmanager
def temporary_testbed(results: Sequence[RunResult]) -> Iterator[Path]:
    """A testbed that is removed at the end, unless one of these runs has found a violation."""
    parent = Path(tempfile.mkdtemp(prefix="snapstorm-"))
    try:
        yield parent / "testbed"
    finally:
        if not any(result.tally.violations for result in results):
            remove_tree(parent)


def perform_stage(stage: Stage, testbed: Path | None, shown: Showing) -> RunResult:
    """Perform a stage on this testbed, with progress and without a summary."""
    return anyio.run(_run, replace(stage.options, testbed=testbed), stage.work, shown)


async def _run(
    options: HarnessOptions, work: Callable[[Harness], Awaitable[object]] | None, shown: Showing
) -> RunResult:
    harness: Harness | None = None
    board = shown.board

    async def perform() -> None:
        nonlocal harness
        control = None if board is None else board.new_control()
        async with open_harness(options, listener, control) as opened:
            harness = opened
            if work is not None:
                await work(opened)
            await opened.finish()

    with progress(ProgressKind(shown.progress), for_progress(sys.stderr)) as on_terminal:
        listener = on_terminal if board is None else both(on_terminal, board)
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


def show_result(result: RunResult, stage: Stage, shown: Showing) -> None:
    """Print the summary of a run on stderr. `stage` is as it was asked for, with a testbed only if one was named."""
    is_kept = stage.options.testbed is not None or bool(result.tally.violations)
    lines = summary_lines(result, is_testbed_kept=is_kept)
    is_github = shown.progress == "github"
    with without_commands(sys.stderr) if is_github else nullcontext():
        if may_be_terminal(sys.stderr):
            from snapstorm.report.terminal import print_summary  # noqa: PLC0415 - rich is slow to import

            print_summary(lines, result.verdict, sys.stderr)
        else:
            print("\n".join(lines), file=sys.stderr)
    if is_github and (line := verdict_annotation(result)) is not None:
        print(line, file=sys.stderr, flush=True)


def as_json(result: RunResult) -> dict[str, Any]:
    """The JSON object that `--json` prints for one run."""
    return {**result.as_json(), "would_have_caught": would_have_caught(result)}


def _print_proven(testbed: Path) -> None:
    with suppress(HarnessError), read_testbed(testbed) as ledger:
        print("\n".join(["", *proven_lines(ledger.history.survival())]), file=sys.stderr)
