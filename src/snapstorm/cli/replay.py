"""The command that repeats a recorded run, to see whether the same violation comes back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import anyio
from cyclopts import Parameter

from snapstorm.cli.option_groups import AgainstSameTarget, Output
from snapstorm.cli.recorded import base_options, print_notes
from snapstorm.cli.signals import until_signal
from snapstorm.cli.standard_streams import for_progress
from snapstorm.cli.which import find_run
from snapstorm.cli.words import TypedPath
from snapstorm.errors import ConfigError
from snapstorm.model.verdict import EXIT_STATUS, Verdict
from snapstorm.replay.attempts import Again, do_again
from snapstorm.replay.recordings import Recorded, read_recorded
from snapstorm.report.progress import ProgressKind, progress
from snapstorm.report.text import dump_json
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.options import check_paths_of
from snapstorm.scenario.scenarios import Scenario
from snapstorm.testbed.testbed import read_testbed

REPEAT_MAX = 1000


def replay(
    run: str,
    /,
    *,
    testbed: TypedPath | None = None,
    sequential: Annotated[bool, Parameter(negative="")] = False,
    repeat: int = 1,
    against: AgainstSameTarget = AgainstSameTarget(),
    operation_timeout: str = "300s",
    keep_going: Annotated[bool, Parameter(negative="")] = False,
    output: Output = Output(),
) -> int:
    """Do a recorded run again on a fresh testbed: same files, same choices, same faults at the same steps.

    Says whether the same violation came back, or how often. Exit status: 1 if any guarantee was violated, 0 if none.

    Parameters
    ----------
    run
        TESTBED or TESTBED:NUMBER. Without a number: its latest run that found a violation, else its latest.
    testbed
        Where to do it again, a directory that does not exist yet; with --repeat one for each time below it. Default:
        temporary ones, kept only if something is violated.
    sequential
        One step after the other. Default: what overlapped then overlaps again.
    repeat
        So many times.
    operation_timeout
        After this time an operation is ended.
    keep_going
        Go on with the steps after a violation.
    """
    if not 1 <= repeat <= REPEAT_MAX:
        raise ConfigError(f"--repeat must be from 1 to {REPEAT_MAX}, not {repeat}")
    if testbed is not None and testbed.exists():
        raise ConfigError(f"{testbed} exists already; a replay needs a fresh testbed")
    which = find_run(run)
    with read_testbed(which.testbed) as ledger:
        recorded = read_recorded(ledger, which.number)
    scenario = recorded.scenario
    if sequential:
        scenario = scenario.model_copy(update={"recorded": recorded.recording.sequential()})
    options = base_options(recorded, against, operation_timeout, keep_going=keep_going)
    check_paths_of(replace(options, testbed=testbed))
    print_notes(recorded, which.number)
    beds = [None] * repeat if testbed is None else [testbed] if repeat == 1 else _below(testbed, repeat)
    kind = ProgressKind(output.progress_kind)
    done, is_interrupted = anyio.run(_replay, options, recorded, scenario, beds, kind)
    came_back = sum(again.shows(recorded.guarantees) for again in done)
    print(_summed_up(recorded, came_back, done), file=sys.stderr)
    if output.json_output:
        shown = _as_json(which.number, recorded, came_back, done, is_interrupted=is_interrupted)
        print(dump_json(shown), flush=True)
    return _status(done, is_interrupted=is_interrupted)


def _below(testbed: Path, count: int) -> list[Path | None]:
    testbed.mkdir(parents=True)
    return [testbed / str(number) for number in range(1, count + 1)]


async def _replay(
    options: HarnessOptions, recorded: Recorded, scenario: Scenario, beds: Sequence[Path | None], kind: ProgressKind
) -> tuple[list[Again], bool]:
    """The results of the repetitions, and whether a signal ended them early."""
    done: list[Again] = []

    async def do_each() -> None:
        for bed in beds:
            done.append(await do_again(options, scenario, bed, listener))
            words = f"replay {len(done)}: {_described(recorded, done[-1])}"
            print(words, file=sys.stderr, flush=True)

    with progress(kind, for_progress(sys.stderr)) as listener:
        is_interrupted = await until_signal(do_each)
    return done, is_interrupted


def _described(recorded: Recorded, again: Again) -> str:
    result = again.result
    if result is None:
        return f"could not be done: {again.error}"
    found = ", ".join(sorted(again.guarantees)) or "nothing"
    same = " (the same)" if again.shows(recorded.guarantees) else ""
    testbed = f"; testbed {result.testbed}" if result.testbed.exists() else ""
    return f"{result.verdict.value} in {result.seconds:.1f} s; violated: {found}{same}{testbed}"


def _summed_up(recorded: Recorded, came_back: int, done: Sequence[Again]) -> str:
    answers, violated = sum(again.is_answer for again in done), ", ".join(recorded.guarantees)
    if not violated:
        words = "the run had found no violation; what was found now stands above"
    elif not answers:
        words = f"whether the violation ({violated}) comes back was not found out"
    elif came_back == answers:
        words = "the same violation came back" + (f" each of {answers} times" if answers > 1 else "")
    elif came_back:
        words = f"the same violation came back {came_back} of {answers} times"
    else:
        words = f"the violation ({violated}) did not come back" + (f" in {answers} times" if answers > 1 else "")
    if answers and answers < len(done):
        words += f"; {len(done) - answers} more could not be done to the end"
    return words


def _as_json(
    number: int, recorded: Recorded, came_back: int, done: Sequence[Again], *, is_interrupted: bool
) -> dict[str, Any]:
    return {
        "replay_of": number,
        "violated_then": list(recorded.guarantees),
        "notes": list(recorded.notes),
        "repeats": len(done),
        "answers": sum(again.is_answer for again in done),
        "came_back": came_back,
        "interrupted": is_interrupted,
        "runs": [
            {
                "violated": sorted(again.guarantees),
                "error": again.error,
                "result": again.result.as_json() if again.result else None,
            }
            for again in done
        ],
    }


def _status(done: Sequence[Again], *, is_interrupted: bool) -> int:
    """The exit status: as of a run, and a violation counts whatever came after it."""
    verdicts = [again.result.verdict for again in done if again.result is not None]
    if Verdict.VIOLATED in verdicts:
        return EXIT_STATUS[Verdict.VIOLATED]
    if is_interrupted:
        return EXIT_STATUS[Verdict.INTERRUPTED]
    if any(again.error for again in done):
        return EXIT_STATUS[Verdict.ERROR]
    return EXIT_STATUS[verdicts[-1]]
