"""Runs until a violation: one run after the other on the same testbed, each with a seed that follows from the first.

A testbed that grows takes longer to sweep with each run, and shows more: its snapshots have lived through more of what
could lose them.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from snapstorm.cli.stages import (
    Showing,
    Stage,
    as_json,
    perform_stage,
    show_result,
    status_of,
    temporary_testbed,
    write_reports,
)
from snapstorm.errors import ConfigError
from snapstorm.model.verdict import Verdict
from snapstorm.report.text import dump_json
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.result import RunResult
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.seeds import stream

_GOES_ON = frozenset({Verdict.PASS, Verdict.INCONCLUSIVE})
"""After these there is a next run."""


def check_repetition(minutes: float | None, scenario: Scenario, *, is_wanted: bool, is_upgrade: bool) -> None:
    """Raise ConfigError for what can't be repeated, or not in this time."""
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
    """The seed of the run with this number, from 1."""
    return first if number == 1 else stream(first, "until-violation", number).getrandbits(32)


def run_until_violation(
    stage: Stage, minutes: float | None, shown: Showing, now_seconds: Callable[[], float] = time.monotonic
) -> int:
    """Run until something is violated or fails, or the time is over, and return the exit status of the last run.

    No run begins that would, if it took as long as the one before it, end after the time is over; one always does.
    """
    first_seed = secrets.randbelow(1 << 32) if stage.options.seed is None else stage.options.seed
    rows: list[dict[str, Any]] = []
    last: list[RunResult] = []
    began = now_seconds()
    try:
        with temporary_testbed(last) if stage.options.testbed is None else nullcontext(stage.options.testbed) as bed:
            while True:
                run_began = now_seconds()
                options = _options_of_run(stage.options, first_seed, len(rows) + 1)
                last[:] = [perform_stage(replace(stage, options=options), bed, shown)]
                rows.append(_row(last[0]))
                now = now_seconds()
                ends = now - began + (now - run_began)
                is_over = (minutes is not None and ends > minutes * 60) or shown.is_stopped
                if is_over or last[0].verdict not in _GOES_ON:
                    break
                _print_one(last[0])
            show_result(last[0], stage, shown)
            is_reported = write_reports(shown, last[0])
            if shown.board is not None:
                shown.board.end()
    finally:
        seconds = now_seconds() - began
        verdicts = Counter(row["verdict"] for row in rows)
        words = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "none came to its end"
        print(f"{len(rows)} run(s) in {seconds / 60:.1f} min: {words}", file=sys.stderr, flush=True)
    if shown.json_output:
        repeated = {"runs": len(rows), "seconds": round(seconds, 3), "each": rows}
        print(dump_json({**as_json(last[0]), "stages": [], "repeated": repeated}), flush=True)
    return status_of(last[0], is_reported=is_reported)


def _row(result: RunResult) -> dict[str, Any]:
    seconds = round(result.seconds, 3)
    return {"run": result.run, "seed": result.seed, "verdict": result.verdict.value, "seconds": seconds}


def _options_of_run(options: HarnessOptions, first_seed: int, number: int) -> HarnessOptions:
    """The first run may begin the testbed from a copy; the others go on from it."""
    seeded = replace(options, seed=seed_of(first_seed, number))
    return seeded if number == 1 else replace(seeded, copied_from=None, secrets_file=None, take_over=False)


def _print_one(result: RunResult) -> None:
    words = f"run {result.run}, seed {result.seed}: {result.verdict.value.upper()}: {result.reason}"
    print(words, file=sys.stderr, flush=True)
