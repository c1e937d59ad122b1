"""The command that makes a failing history small."""

from __future__ import annotations

import errno
import functools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from cyclopts import Parameter

from snapstorm.cli.failures import EXIT_INTERRUPTED
from snapstorm.cli.option_groups import AgainstSameTarget, JsonOutput
from snapstorm.cli.recorded import base_options, print_notes
from snapstorm.cli.signals import until_signal
from snapstorm.cli.which import find_run
from snapstorm.cli.words import TypedPath
from snapstorm.errors import ConfigError, HarnessError, NoSpaceError, TestbedError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.manifest import Manifest
from snapstorm.replay.attempts import do_again, scenario_of
from snapstorm.replay.recordings import Recorded, read_recorded
from snapstorm.replay.shrinking import (
    SCRATCH_PREFIX,
    STATE_NAME,
    Shrinking,
    ShrinkState,
    Subject,
    Trials,
    alone_in,
    clear_left_over,
    is_testbed_of,
    programs_of,
    result_files,
    write_whole,
)
from snapstorm.report.listings import scenario_lines
from snapstorm.report.program import as_pytest
from snapstorm.report.text import dump_json
from snapstorm.run.options import check_paths
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import ProcessRunner
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.reduction import OutOfTime
from snapstorm.targets.plugin import Shown, TargetPlugin
from snapstorm.targets.registry import find_target, read_target
from snapstorm.testbed.testbed import read_testbed

EXIT_NOT_SHOWN = 4
REPEATS_MAX = 100
_ENDINGS = {
    "done": "",
    "out of time": "; out of time, the same command goes on",
    "interrupted": "; interrupted",
    "failed": "; a candidate could not be done",
}
"""How a shrinking ended, in words."""


@Parameter(name="*", negative="")
@dataclass(frozen=True)
class Effort:
    """How long, and how often, candidates are tried."""

    minutes: float = 10.0
    """At most so long."""
    repeats: int | None = None
    """How often each candidate is tried. Default: as the violation's first coming back suggests."""
    needed: int = 1
    """How many of these must show the violation."""
    operation_timeout: str = "60s"
    """After this time an operation is ended."""

    def check(self) -> None:
        """Raise ConfigError for impossible numbers."""
        if not 0 < self.minutes <= 7 * 24 * 60:
            raise ConfigError(f"--minutes must be above 0 and at most a week, not {self.minutes}")
        if self.repeats is not None and not 1 <= self.repeats <= REPEATS_MAX:
            raise ConfigError(f"--repeats must be from 1 to {REPEATS_MAX}, not {self.repeats}")
        if not 1 <= self.needed <= (self.repeats or 1):
            raise ConfigError(f"--needed must be from 1 to --repeats, not {self.needed}")


def shrink(
    run: str,
    /,
    *,
    effort: Effort = Effort(),
    output: TypedPath | None = None,
    guarantee: str | None = None,
    against: AgainstSameTarget = AgainstSameTarget(),
    json_output: JsonOutput = False,
) -> int:
    """Make the history of a run that found a violation as small as it can be while it still shows it.

    Each candidate is done on a fresh testbed. What comes of it is a directory with a scenario, a test for pytest, a
    script of bare commands for a bug report, and the testbed on which it was shown last. Interrupted, the same command
    goes on where it stopped, as long as it tries the same program. Exit status: 0 made smaller, 3 a candidate could not
    be done (a full disk, say), 4 the violation does not come back, or not any more in the end.

    Parameters
    ----------
    run
        TESTBED or TESTBED:NUMBER. Without a number: its latest run that found a violation.
    output
        The directory for what comes of it. Default: `shrunk` in the run's directory on its testbed.
    guarantee
        Which violation is looked for, where the run found several. Default: the one that it found first.
    """
    effort.check()
    testbed, number = find_run(run)
    with read_testbed(testbed) as ledger:
        recorded = read_recorded(ledger, number)
        began_utc = (ledger.record.run(number) or {})["began_utc"]
        testbed_id = ledger.fact("testbed_id") or ""
    if not recorded.guarantees:
        raise ConfigError(f"run {number} found no violation, so there is nothing to shrink")
    wanted = guarantee or recorded.guarantees[0]
    if wanted not in recorded.guarantees:
        raise ConfigError(f"run {number} found no violation of {wanted}, but of {', '.join(recorded.guarantees)}")
    base = base_options(recorded, against, effort.operation_timeout)
    programs = programs_of(find_target(base.target, base.programs)(ProcessRunner("none")).description)
    subject = Subject(testbed_id, number, began_utc, wanted, base.target, programs)
    directory = output or testbed / "runs" / f"{number:04}" / "shrunk"
    plugin, _ = read_target(base.target)
    check_paths(plugin, {"--output": directory})
    clock = Clock()
    began_seconds = clock.monotonic_seconds()

    def on_trial(recording: Recording, shows: bool) -> None:
        seconds = clock.monotonic_seconds() - began_seconds
        words = f"{shrinking.stage}: {_describe(recording)}: {'shows it' if shows else 'does not'}"
        print(f"{seconds:7.1f} s  {state.executions:4}  {words}", file=sys.stderr, flush=True)

    with _scratch(directory) as scratch:
        state = ShrinkState.open(directory / STATE_NAME, subject)
        trials = Trials(
            perform=lambda recording, bed, listener: do_again(base, scenario_of(recorded, recording), bed, listener),
            state=state,
            scratch=scratch,
            deadline_seconds=began_seconds + 60 * effort.minutes,
            repeats=effort.repeats or state.repeats,
            needed=effort.needed,
            on_trial=on_trial,
            clock=clock,
        )
        shrinking = Shrinking(recorded, trials)
        words = f"shrinking run {number}: {_describe(recorded.recording)}, which showed a violation of {wanted}"
        print(words, file=sys.stderr)
        print_notes(recorded, number)
        ending, failure = anyio.run(_shrink, shrinking)
        files = [] if state.best is None else write_results(directory, plugin, recorded, state.best, wanted)
    if state.best is not None:
        _print_end(state, state.best, ending, files)
        if json_output:
            print(dump_json(_as_json(state, state.best, ending, files)), flush=True)
    elif failure is None:
        early = f"; {ending}" if ending != "done" else ""
        print(f"{wanted} did not come back in {state.executions} times{early}", file=sys.stderr)
    if failure is not None:
        raise failure
    return EXIT_INTERRUPTED if ending == "interrupted" else EXIT_NOT_SHOWN if state.is_nothing_shown else 0


async def _shrink(shrinking: Shrinking) -> tuple[str, HarnessError | None]:
    """Shrink until it goes no further. Returns how it ended, and why if a candidate could not be performed."""
    try:
        ending = "interrupted" if await until_signal(shrinking.run) else "done"
    except OutOfTime:
        ending = "out of time"
    except HarnessError as error:
        return "failed", error  # What was found until then is on the disk already, and there may be no room for more.
    try:
        shrinking.write_executions()
    except HarnessError as error:
        return "failed", error
    return ending, None


def write_results(directory: Path, plugin: TargetPlugin, recorded: Recorded, best: Recording, shows: str) -> list[Path]:
    """Write a scenario, a test, and a script if the target has commands. Files of another candidate are removed.

    Raises HarnessError if they can't be written.
    """
    scenario = scenario_of(recorded, best).model_copy(update={"name": f"shows {shows}"})
    toml = "\n".join(scenario_lines(scenario, as_json=False)) + "\n"
    texts = (toml, as_pytest(best, shows, toml), _script(directory / "testbed", plugin, best, shows))
    written: list[Path] = []
    try:
        for file, text in zip(result_files(directory, shows), texts, strict=True):
            if text is None:
                file.unlink(missing_ok=True)
            else:
                write_whole(file, text)
                written.append(file)
    except OSError as error:
        raise HarnessError(f"{directory} can't be written: {error.strerror}") from error
    return written


def _script(testbed: Path, plugin: TargetPlugin, best: Recording, shows: str) -> str | None:
    """The bare commands that showed the violation last; None if the target has none, or if the testbed is gone."""
    if not is_testbed_of(testbed, best):
        # The testbed of a candidate that was not the best in the end would only mislead.
        remove_tree(testbed)
        print(
            f"{testbed} is gone or of another candidate: no script of its commands; the same command makes both again",
            file=sys.stderr,
        )
        return None
    with read_testbed(testbed) as ledger:
        commands = list(ledger.record.commands(1))
        if not commands:
            return None
        found = [row.violation for row in ledger.recorded_violations(1)]
        showing = {violation.operation for violation in found if violation.guarantee == shows}
        shown = Shown(shows, showing, best.fault_keys, best.clients == 1 or best.is_sequence)
        lines = plugin.script(commands, shown, functools.partial(_manifest, ledger))
        return None if lines is None else "\n".join(lines) + "\n"


def _manifest(ledger: Ledger, digest: str) -> Manifest | None:
    try:
        return ledger.manifest(digest)
    except TestbedError:
        return None


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A directory for candidates' testbeds, inside the output, so that the best is kept by renaming. It is removed at
    the end, or by the next shrinking if this one is killed."""
    with ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(directory))
            anyio.run(clear_left_over, directory, functools.partial(print, file=sys.stderr))
            scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=directory))
        except OSError as error:
            kind = NoSpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else ConfigError
            raise kind(f"{directory} can't be written: {error.strerror}; choose another with --output") from error
        stack.callback(remove_tree, scratch)
        yield scratch


def _describe(recording: Recording) -> str:
    faults = f", {len(recording.faults)} fault(s)" if recording.faults else ""
    clients = len({step.client for step in recording.steps})
    return f"{len(recording.steps)} action(s) of {clients} client(s){faults}"


def _print_end(state: ShrinkState, best: Recording, ending: str, files: Sequence[Path]) -> None:
    shown, times = state.shown
    what, how_often = _describe(best), f"{shown} of {times} times"
    if state.is_nothing_shown:
        words = f"not made smaller: {what} had shown it before, but in the end {how_often}"
    else:
        words = f"{what} show it {how_often}" if times else f"{what} show it"
    print(f"{words}, after {state.executions} executions{_ENDINGS[ending]}", file=sys.stderr)
    for step in best.steps:
        repeated = f" ({step.repeat} times)" if step.repeat > 1 else ""
        print(f"    client {step.client}: {step.action}{repeated}", file=sys.stderr)
    for file in files:
        print(file, file=sys.stderr)


def _as_json(state: ShrinkState, best: Recording, ending: str, files: Sequence[Path]) -> dict[str, object]:
    shown, times = state.shown
    return {
        "run": state.subject.run,
        "violated": state.subject.guarantee,
        "ending": ending,
        "executions": state.executions,
        "repeats": state.repeats,
        "shown": {"times": shown, "of": times},
        "steps": [step.as_document() for step in best.steps],
        "faults": [fault.key for fault in best.faults],
        "files": [str(file) for file in files],
    }
