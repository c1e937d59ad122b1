"""The command that makes a failing history small."""

from __future__ import annotations

import errno
import functools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio

from snapstorm.cli.failures import EXIT_INTERRUPTED
from snapstorm.cli.option_groups import AgainstSameTarget, JsonOutput
from snapstorm.cli.recorded import base_options
from snapstorm.cli.signals import until_signal
from snapstorm.cli.which import WhichRun, find_run
from snapstorm.cli.words import TypedPath, read_seconds
from snapstorm.errors import ConfigError, HarnessError, NoSpaceError, TestbedError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.manifest import Manifest
from snapstorm.replay.attempts import Again, scenario_of
from snapstorm.replay.recordings import Recorded, read_recorded
from snapstorm.replay.shrinking import (
    SCRATCH_PREFIX,
    STATE_NAME,
    ShrinkState,
    Subject,
    Trials,
    alone_in,
    clear_left_over,
    is_testbed_of,
    programs_of,
    write_whole,
)
from snapstorm.report.listings import scenario_lines
from snapstorm.report.program import as_pytest
from snapstorm.report.text import dump_json
from snapstorm.run.options import check_paths
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import ProcessRunner
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.reduction import OutOfTime, Reduction
from snapstorm.targets.plugin import Shown, TargetPlugin
from snapstorm.targets.registry import find_target, read_target
from snapstorm.testbed.testbed import read_testbed

EXIT_NOT_SHOWN = 4
REPEATS_MAX = 100
FINAL_REPEATS = 3
_ENDINGS = {
    "done": "",
    "out of time": "; out of time, the same command goes on",
    "interrupted": "; interrupted",
    "failed": "; a candidate could not be done",
}
"""How a shrinking ended, in words after what came of it."""


def shrink(
    run: str,
    /,
    *,
    minutes: float = 10.0,
    output: TypedPath | None = None,
    repeats: int | None = None,
    needed: int = 1,
    guarantee: str | None = None,
    against: AgainstSameTarget = AgainstSameTarget(),
    operation_timeout: str = "60s",
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
    minutes
        At most so long.
    output
        The directory for what comes of it. Default: `shrunk` in the run's directory on its testbed.
    repeats
        How often each candidate is tried. Default: as the violation's first coming back suggests.
    needed
        How many of these must show the violation.
    guarantee
        Which violation is looked for, where the run found several. Default: the one that it found first.
    operation_timeout
        After this time an operation is ended.
    """
    _check(minutes, repeats, needed)
    which = find_run(run)
    with read_testbed(which.testbed) as ledger:
        recorded = read_recorded(ledger, which.number)
        began_utc = (ledger.record.run(which.number) or {})["began_utc"]
        testbed_id = ledger.fact("testbed_id") or ""
    if not recorded.guarantees:
        raise ConfigError(f"run {which.number} found no violation, so there is nothing to shrink")
    wanted = guarantee or recorded.guarantees[0]
    if wanted not in recorded.guarantees:
        raise ConfigError(f"run {which.number} found no violation of {wanted}, but of {', '.join(recorded.guarantees)}")
    base = base_options(recorded, against, read_seconds("--operation-timeout", operation_timeout))
    programs = programs_of(find_target(base.target, base.programs)(ProcessRunner("none")).description)
    subject = Subject(testbed_id, which.number, began_utc, wanted, base.target, programs)
    directory = output or which.testbed / "runs" / f"{which.number:04}" / "shrunk"
    plugin, _ = read_target(base.target)
    check_paths(plugin, {"--output": directory})
    with _scratch(directory) as scratch:
        state = ShrinkState.open(directory / STATE_NAME, subject)
        trials = Trials(
            recorded=recorded,
            base=base,
            programs=programs,
            scratch=scratch,
            best=directory / "testbed",
            guarantees=(wanted,),
            deadline_seconds=Clock().monotonic_seconds() + 60 * minutes,
            repeats=repeats or state.repeats,
            needed=needed,
            executions=state.executions,
        )
        work = _Shrinking(recorded, trials, state)
        _say_what_begins(which, recorded, wanted)
        ending = anyio.run(work.run)
        files = [] if state.best is None else write_results(directory, plugin, recorded, state.best, wanted)
    if state.best is not None:
        _say_what_came(state, ending, files)
        if json_output:
            print(dump_json(_as_json(which, wanted, state, ending, files)), flush=True)
    elif work.failure is None:
        early = f"; {ending}" if ending != "done" else ""
        print(f"{wanted} did not come back in {state.executions} times{early}", file=sys.stderr)
    if work.failure is not None:
        raise work.failure
    return EXIT_INTERRUPTED if ending == "interrupted" else EXIT_NOT_SHOWN if _is_nothing_shown(state) else 0


def _check(minutes: float, repeats: int | None, needed: int) -> None:
    """Raises ConfigError for numbers that can't be."""
    if not 0 < minutes <= 7 * 24 * 60:
        raise ConfigError(f"--minutes must be above 0 and at most a week, not {minutes}")
    if repeats is not None and not 1 <= repeats <= REPEATS_MAX:
        raise ConfigError(f"--repeats must be from 1 to {REPEATS_MAX}, not {repeats}")
    if not 1 <= needed <= (repeats or 1):
        raise ConfigError(f"--needed must be from 1 to --repeats, not {needed}")


class _Shrinking:
    """One shrinking, with what is shown of it."""

    def __init__(self, recorded: Recorded, trials: Trials, state: ShrinkState) -> None:
        self._recorded = recorded
        self._trials = trials
        self._state = state
        self._began_seconds = trials.clock.monotonic_seconds()
        trials.on_trial = self._on_trial
        self._stage = "the whole history"
        self._chain: list[Recording] = []
        """All that was ever the best since this began, the last last."""
        self.failure: HarnessError | None = None
        """Why a candidate could not be done, if that ended it."""

    async def run(self) -> str:
        """Shrink until it goes no further. Returns how it ended: `done`, `out of time`, `interrupted` or `failed`."""
        try:
            ending = "interrupted" if await until_signal(self._shrink) else "done"
            self._write_down()
        except OutOfTime:
            ending = "out of time"
            self._write_down()
        except HarnessError as error:
            # What was found until then is on the disk already, and there may be no room for more.
            ending, self.failure = "failed", error
        return ending

    def _write_down(self) -> None:
        """Have on the disk how often something was done, also where that has not decided anything."""
        if self._state.best is not None:
            self._state.write()

    async def _shrink(self) -> None:
        whole = self._recorded.recording
        if self._state.best is None:
            if not await self._trials.find_repeats(whole):
                return
            self._keep(whole)
        else:
            self._chain.append(self._state.best)
        reduction = Reduction(self._state.best or whole, self._shows, self._on_stage)
        await reduction.run(self._recorded.cut, self._recorded.restores)
        await self._make_sure()

    async def _make_sure(self) -> None:
        """Take the smallest that shows it each time, where the whole did; of others, the smallest that shows it as
        often as a candidate must."""
        self._stage = "making sure"
        trials, state = self._trials, self._state
        times = max(FINAL_REPEATS, trials.repeats)
        enough = times if trials.repeats == 1 else trials.needed
        while True:
            best = self._chain[-1]
            shown = await self._count_shown(best, times)
            if best != state.best:
                self._change_testbed(best)
            state.best, state.shown = best, (shown, times)
            state.write()
            if shown >= enough or len(self._chain) < 2:
                return
            # From now on it is one that does not show it, so that going on later begins with one that does.
            state.tried[self._key(self._chain.pop())] = False

    async def _count_shown(self, recording: Recording, times: int) -> int:
        """How many of so many times show it. Of the best, also what was counted until the time was up is known."""
        shown = 0
        for tries in range(1, times + 1):
            shown += await self._trials.once(recording)
            if recording == self._state.best:
                self._trials.keep(recording)
                self._state.shown = (shown, tries)
        return shown

    async def _shows(self, recording: Recording) -> bool:
        key = self._key(recording)
        if key in self._state.tried:
            return self._state.tried[key]
        shows = self._state.tried[key] = await self._trials.shows(recording)
        if shows:
            self._keep(recording)
        else:
            self._state.write()
        return shows

    def _key(self, recording: Recording) -> str:
        """By which it is known among those that were tried: so many times, which may be others when this goes on."""
        return f"{self._trials.needed} of {self._trials.repeats}: {recording.model_dump_json()}"

    def _keep(self, recording: Recording) -> None:
        self._change_testbed(recording)
        self._chain.append(recording)
        self._state.best, self._state.repeats = recording, self._trials.repeats
        self._state.write()

    def _change_testbed(self, recording: Recording) -> None:
        """Put the testbed of another recording in the place of the best's, and take away what was written of that one,
        so that, even if this is killed, what lies there is of one and the same."""
        for file in _result_files(self._trials.best.parent, *self._trials.guarantees):
            file.unlink(missing_ok=True)
        self._trials.keep(recording)

    def _on_stage(self, name: str) -> None:
        self._stage = name

    def _on_trial(self, recording: Recording, again: Again) -> None:
        self._state.executions = self._trials.executions
        seconds = self._trials.clock.monotonic_seconds() - self._began_seconds
        shows = "shows it" if again.shows(self._trials.guarantees) else "does not"
        print(
            f"{seconds:7.1f} s  {self._trials.executions:4}  {self._stage}: {_describe(recording)}: {shows}",
            file=sys.stderr,
            flush=True,
        )


def write_results(directory: Path, plugin: TargetPlugin, recorded: Recorded, best: Recording, shows: str) -> list[Path]:
    """Write what comes of a shrinking: a scenario, a test, and where there are commands a script.

    Nothing of another recording stays beside them. Raises HarnessError where they can't be written.
    """
    scenario = scenario_of(recorded, best).model_copy(update={"name": f"shows {shows}"})
    toml = "\n".join(scenario_lines(scenario, as_json=False)) + "\n"
    script = _script(directory / "testbed", plugin, best, shows)
    texts = (toml, as_pytest(best, shows, toml), script)
    written: list[Path] = []
    try:
        for file, text in zip(_result_files(directory, shows), texts, strict=True):
            if text is None:
                file.unlink(missing_ok=True)
            else:
                write_whole(file, text)
                written.append(file)
    except OSError as error:
        raise HarnessError(f"{directory} can't be written: {error.strerror}") from error
    return written


def _result_files(directory: Path, shows: str) -> tuple[Path, Path, Path]:
    names = ("scenario.toml", f"test_{shows.replace('-', '_')}.py", "reproduce.sh")
    return directory / names[0], directory / names[1], directory / names[2]


def _script(testbed: Path, plugin: TargetPlugin, best: Recording, shows: str) -> str | None:
    """The bare commands with which it was shown last; None where the target has none, or where that testbed is gone."""
    if not is_testbed_of(testbed, best):
        # One of a candidate that was not the best in the end would only mislead.
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
    """Where candidates are tried: beside what comes of it, so that the best is kept by renaming. Gone at the end, or
    when the next one begins where this one was killed."""
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
    actions = len(recording.steps)
    faults = f", {len(recording.faults)} fault(s)" if recording.faults else ""
    return f"{actions} action(s) of {len({step.client for step in recording.steps})} client(s){faults}"


def _say_what_begins(which: WhichRun, recorded: Recorded, wanted: str) -> None:
    print(
        f"shrinking run {which.number}: {_describe(recorded.recording)}, which showed a violation of {wanted}",
        file=sys.stderr,
    )
    for note in recorded.notes:
        print(f"run {which.number}: {note}", file=sys.stderr)


def _is_nothing_shown(state: ShrinkState) -> bool:
    """Whether there is none, or it did not show it any more when it was counted."""
    return state.best is None or (state.shown[1] > 0 and state.shown[0] == 0)


def _say_what_came(state: ShrinkState, ending: str, files: list[Path]) -> None:
    assert state.best is not None, "looked at before"
    shown, times = state.shown
    what, how_often = _describe(state.best), f"{shown} of {times} times"
    if _is_nothing_shown(state):
        words = f"not made smaller: {what} had shown it before, but in the end {how_often}"
    else:
        words = f"{what} show it {how_often}" if times else f"{what} show it"
    print(f"{words}, after {state.executions} executions{_ENDINGS[ending]}", file=sys.stderr)
    for step in state.best.steps:
        repeated = f" ({step.repeat} times)" if step.repeat > 1 else ""
        print(f"    client {step.client}: {step.action}{repeated}", file=sys.stderr)
    for file in files:
        print(file, file=sys.stderr)


def _as_json(which: WhichRun, wanted: str, state: ShrinkState, ending: str, files: list[Path]) -> dict[str, object]:
    assert state.best is not None, "looked at before"
    return {
        "run": which.number,
        "violated": wanted,
        "ending": ending,
        "executions": state.executions,
        "repeats": state.repeats,
        "shown": {"times": state.shown[0], "of": state.shown[1]},
        "steps": [step.as_document() for step in state.best.steps],
        "faults": [fault.key for fault in state.best.faults],
        "files": [str(file) for file in files],
    }
