"""The command that makes a failing history small."""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from snapstorm.cli_recorded import base_options
from snapstorm.cli_run import until_signal
from snapstorm.cli_which import WhichRun, find_run
from snapstorm.cli_words import read_seconds
from snapstorm.engine.again import Again, scenario_of
from snapstorm.engine.recording import Recorded, read_recorded
from snapstorm.engine.shrink import STATE_NAME, State, Trials
from snapstorm.engine.testbed import read_testbed
from snapstorm.errors import ConfigError, TestbedError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.manifest import Manifest
from snapstorm.plan.recording import Recording
from snapstorm.plan.reduction import OutOfTime, Reduction
from snapstorm.report.catalogue import scenario_lines
from snapstorm.report.program import as_pytest
from snapstorm.runtime.clock import Clock
from snapstorm.targets.kopia.reproduction import Script

EXIT_NOT_SHOWN = 4
EXIT_INTERRUPTED = 130
REPEATS_MAX = 100
FINAL_REPEATS = 3


def shrink(
    run: str,
    /,
    *,
    minutes: float = 10.0,
    output: Path | None = None,
    repeats: int | None = None,
    needed: int = 1,
    guarantee: str | None = None,
    target: str | None = None,
    kopia: Annotated[list[Path] | None, Parameter(negative="")] = None,
    operation_timeout: str = "60s",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Make the history of a run that found a violation as small as it can be while it still shows it.

    Each candidate is done on a fresh testbed. What comes of it is a directory with a scenario, a test for pytest, a
    script of bare commands for a bug report, and the testbed on which it was shown last. Interrupted, the same command
    goes on where it stopped. Exit status: 0 made smaller, 4 the violation does not come back.

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
    target
        Default: the one of the run.
    kopia
        The program under test. Default: the one of the run.
    operation_timeout
        After this time an operation is ended.
    json_output
        Print one JSON object on stdout, and nothing else there.
    """
    if not 0 < minutes <= 7 * 24 * 60:
        raise ConfigError(f"--minutes must be above 0 and at most a week, not {minutes}")
    if repeats is not None and not 1 <= repeats <= REPEATS_MAX:
        raise ConfigError(f"--repeats must be from 1 to {REPEATS_MAX}, not {repeats}")
    if not 1 <= needed <= (repeats or 1):
        raise ConfigError(f"--needed must be from 1 to --repeats, not {needed}")
    which = find_run(run)
    with read_testbed(which.testbed) as ledger:
        recorded = read_recorded(ledger, which.number)
    if not recorded.guarantees:
        raise ConfigError(f"run {which.number} found no violation, so there is nothing to shrink")
    wanted = guarantee or recorded.guarantees[0]
    if wanted not in recorded.guarantees:
        raise ConfigError(f"run {which.number} found no violation of {wanted}, but of {', '.join(recorded.guarantees)}")
    directory = (output or which.testbed / "runs" / f"{which.number:04}" / "shrunk").absolute()
    with _scratch(directory) as scratch:
        state = State.open(directory / STATE_NAME, f"{which.testbed}:{which.number} {wanted}")
        trials = Trials(
            recorded=recorded,
            base=base_options(recorded, target, kopia, read_seconds("--operation-timeout", operation_timeout)),
            scratch=scratch,
            best=directory / "testbed",
            guarantees=(wanted,),
            deadline_seconds=Clock().monotonic_seconds() + 60 * minutes,
            repeats=repeats or state.repeats,
            needed=needed,
            executions=state.executions,
        )
        work = _Shrinking(which, recorded, trials, state)
        _say_what_begins(which, recorded, wanted)
        ending = anyio.run(work.run)
    if state.best is None:
        print(f"{wanted} did not come back in {trials.executions} times", file=sys.stderr)
        return EXIT_INTERRUPTED if ending == "interrupted" else EXIT_NOT_SHOWN
    files = write_results(directory, recorded, state.best, wanted)
    _say_what_came(state, ending, files)
    if json_output:
        print(json.dumps(_as_json(which, wanted, state, ending, files)), flush=True)
    return EXIT_INTERRUPTED if ending == "interrupted" else 0


class _Shrinking:
    """One shrinking, with what is shown of it."""

    def __init__(self, which: WhichRun, recorded: Recorded, trials: Trials, state: State) -> None:
        self._which = which
        self._recorded = recorded
        self._trials = trials
        self._state = state
        self._began_seconds = trials.clock.monotonic_seconds()
        trials.on_trial = self._on_trial
        self._stage = "the whole history"
        self._chain: list[Recording] = []
        """All that was ever the best, the last last."""

    async def run(self) -> str:
        """Shrink until it goes no further. Returns how it ended: `done`, `out of time` or `interrupted`."""
        try:
            return "interrupted" if await until_signal(self._shrink) else "done"
        except OutOfTime:
            return "out of time"

    async def _shrink(self) -> None:
        whole = self._recorded.recording
        if self._state.best is None:
            if not await self._trials.find_repeats(whole):
                return
            self._keep(whole)
        reduction = Reduction(self._state.best or whole, self._shows, self._on_stage)
        await reduction.run(self._recorded.cut, self._recorded.restores)
        await self._make_sure()

    async def _make_sure(self) -> None:
        """Take the smallest that shows it each time, where the whole did; of others, count how often they do."""
        self._stage = "making sure"
        while True:
            best = self._chain[-1] if self._chain else self._state.best
            assert best is not None, "something has shown it"
            shown = await self._trials.count_shown(best, FINAL_REPEATS)
            self._state.best, self._state.shown = best, (shown, FINAL_REPEATS)
            self._state.executions = self._trials.executions
            self._state.write()
            if shown == FINAL_REPEATS or self._trials.repeats > 1 or len(self._chain) < 2:
                return
            self._chain.pop()

    async def _shows(self, recording: Recording) -> bool:
        key = recording.model_dump_json()
        if key in self._state.tried:
            return self._state.tried[key]
        shows = self._state.tried[key] = await self._trials.shows(recording)
        if shows:
            self._keep(recording)
        self._state.executions, self._state.repeats = self._trials.executions, self._trials.repeats
        self._state.write()
        return shows

    def _keep(self, recording: Recording) -> None:
        self._chain.append(recording)
        self._state.best, self._state.repeats = recording, self._trials.repeats
        self._state.write()

    def _on_stage(self, name: str) -> None:
        self._stage = name

    def _on_trial(self, recording: Recording, again: Again) -> None:
        seconds = self._trials.clock.monotonic_seconds() - self._began_seconds
        shows = "shows it" if again.shows(self._trials.guarantees) else "does not"
        print(
            f"{seconds:7.1f} s  {self._trials.executions:4}  {self._stage}: {_describe(recording)}: {shows}",
            file=sys.stderr,
            flush=True,
        )


def write_results(directory: Path, recorded: Recorded, best: Recording, shows: str) -> list[Path]:
    """Write what comes of a shrinking: a scenario, a test, and where there are commands a script."""
    scenario = scenario_of(recorded, best).model_copy(update={"name": f"shows {shows}"})
    toml = "\n".join(scenario_lines(scenario, as_json=False)) + "\n"
    texts = {"scenario.toml": toml, f"test_{shows.replace('-', '_')}.py": as_pytest(best, shows, toml)}
    with read_testbed(directory / "testbed") as ledger:
        commands = list(ledger.record.commands(1))
        if commands:
            script = Script(functools.partial(_manifest, ledger))
            showing = [row.violation.operation for row in ledger.recorded_violations(1)]
            lines = script.lines(commands, shows, filter(None, showing))
            texts["reproduce.sh"] = "\n".join(lines) + "\n"
    files = [directory / name for name in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text)
    return files


def _manifest(ledger: Ledger, digest: str) -> Manifest | None:
    try:
        return ledger.manifest(digest)
    except TestbedError:
        return None


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """Where candidates are tried: beside what comes of it, so that the best is kept by renaming. Gone at the end."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".trials-", dir=directory))
    except OSError as error:
        raise ConfigError(f"{directory} can't be written: {error.strerror}; choose another with --output") from error
    try:
        yield scratch
    finally:
        remove_tree(scratch)


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


def _say_what_came(state: State, ending: str, files: list[Path]) -> None:
    assert state.best is not None, "looked at before"
    words = {"done": "", "out of time": "; out of time, the same command goes on", "interrupted": "; interrupted"}
    shown, times = state.shown
    how_often = f" {shown} of {times} times" if times else ""
    print(
        f"{_describe(state.best)} show it{how_often}, after {state.executions} executions{words[ending]}",
        file=sys.stderr,
    )
    for step in state.best.steps:
        repeated = f" ({step.repeat} times)" if step.repeat > 1 else ""
        print(f"    client {step.client}: {step.action}{repeated}", file=sys.stderr)
    for file in files:
        print(file, file=sys.stderr)


def _as_json(which: WhichRun, wanted: str, state: State, ending: str, files: list[Path]) -> dict[str, object]:
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
