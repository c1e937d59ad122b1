"""Running until a violation: one run after the other on the same testbed, each with a seed that follows from the first.

A testbed that grows takes longer to sweep with each run, and shows more: what a later run restores has seen more of
what could have lost it.
"""

from __future__ import annotations

import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from snapstorm.cli.option_groups import ProgressChoice
from snapstorm.cli.stages import (
    Stage,
    as_json,
    common_testbed,
    is_exclusive,
    perform_stage,
    show_result,
    status_of,
    write_reports,
)
from snapstorm.errors import ConfigError
from snapstorm.model.verdict import Verdict
from snapstorm.report.text import dump_json
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.result import RunResult
from snapstorm.runtime.clock import Clock
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.seeds import stream

if TYPE_CHECKING:
    from snapstorm.report.live.board import Board
    from snapstorm.report.writing import ReportDirectory

_GOES_ON = frozenset({Verdict.PASS, Verdict.INCONCLUSIVE})
"""After these there is a next run."""


@dataclass
class _Repeated:
    """What came of all runs so far."""

    clock: Clock
    began_seconds: float
    each: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.clock.monotonic_seconds() - self.began_seconds

    def add(self, result: RunResult) -> None:
        row = {"run": result.run, "seed": result.seed, "verdict": result.verdict.value}
        self.each.append({**row, "seconds": round(result.seconds, 3)})

    def as_json(self) -> dict[str, Any]:
        return {"runs": len(self.each), "seconds": round(self.seconds, 3), "each": self.each}

    def __str__(self) -> str:
        verdicts = Counter(row["verdict"] for row in self.each)
        words = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        return f"{len(self.each)} run(s) in {self.seconds / 60:.1f} min: {words or 'none came to its end'}"


def check_repetition(minutes: float | None, scenario: Scenario, *, is_wanted: bool, is_upgrade: bool) -> None:
    """Raise ConfigError for what can't be done again and again, or not in this time."""
    if not is_wanted:
        raise ConfigError("--minutes bounds --until-violation, which is missing; a single run has --duration")
    if minutes is not None and not 0 < minutes < float("inf"):
        raise ConfigError(f"--minutes must be above 0, not {minutes:g}")
    if is_upgrade or scenario.versions:
        raise ConfigError("--until-violation repeats one run, so it can't be combined with running through versions")
    seconds = scenario.random_seconds
    if minutes is not None and seconds is not None and seconds > minutes * 60:
        raise ConfigError(
            f"one run alone has {seconds:g} s of random actions, more than --minutes {minutes:g}; shorten --duration"
        )


def seed_of(first: int, number: int) -> int:
    """The seed of the run of this number, from 1."""
    return first if number == 1 else stream(first, "until-violation", number).getrandbits(32)


def run_until_violation(
    stage: Stage,
    kind: ProgressChoice,
    minutes: float | None,
    *,
    json_output: bool,
    reports: ReportDirectory | None = None,
    board: Board | None = None,
    clock: Clock | None = None,
) -> int:
    """Run until something is violated, or fails, or the time is over, and return the exit status of the last run.

    No run is begun that would, going by the one before it, end after the time is over; one is always made.
    """
    first = secrets.randbelow(1 << 32) if stage.options.seed is None else stage.options.seed
    clock = clock or Clock()
    repeated, last = _Repeated(clock, clock.monotonic_seconds()), list[RunResult]()
    try:
        with common_testbed([stage], last) as testbed:
            while True:
                options = _options_of_run(replace(stage.options, testbed=testbed), first, len(repeated.each) + 1)
                began_seconds = clock.monotonic_seconds()
                last[:] = [perform_stage(replace(stage, options=options), kind, board)]
                repeated.add(last[0])
                ends = repeated.seconds + (clock.monotonic_seconds() - began_seconds)
                is_over = (minutes is not None and ends > minutes * 60) or (board is not None and board.is_stopped)
                if is_over or last[0].verdict not in _GOES_ON:
                    break
                _print_one(last[0])
            is_kept = stage.options.testbed is not None or bool(last[0].tally.violations)
            show_result(last[0], kind, is_exclusive=is_exclusive(stage), is_testbed_kept=is_kept)
            is_reported = write_reports(reports, last[0])
            if board is not None:
                board.end()
    finally:
        print(repeated, file=sys.stderr, flush=True)
    if json_output:
        shown = {**as_json(last[0], stage), "stages": [], "repeated": repeated.as_json()}
        print(dump_json(shown), flush=True)
    return status_of(last[0], is_reported=is_reported)


def _options_of_run(options: HarnessOptions, first_seed: int, number: int) -> HarnessOptions:
    """The first run may begin the testbed from a copy; the others go on from it."""
    seeded = replace(options, seed=seed_of(first_seed, number))
    return seeded if number == 1 else replace(seeded, copied_from=None, secrets_file=None, take_over=False)


def _print_one(result: RunResult) -> None:
    print(
        f"run {result.run}, seed {result.seed}: {result.verdict.value.upper()}: {result.reason}",
        file=sys.stderr,
        flush=True,
    )
