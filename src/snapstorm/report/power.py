"""What a run that passed would have caught: its work, compared with what the shipped calibration needed.

`calibrated.json` has the format of `snapstorm calibrate --json` and can be replaced by its output. Its `needed` is an
upper bound: all work of that kind that had begun when the defect was caught.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from snapstorm.model.verdict import Verdict
from snapstorm.model.work import work_done
from snapstorm.run.result import RunResult


@dataclass(frozen=True)
class CalibratedClass:
    """A kind of planted defect, and the work that was needed to catch it."""

    name: str
    work: str
    needed: int


@functools.cache
def calibrated(kind: str) -> tuple[CalibratedClass, ...]:
    """The defects of this kind of target that the shipped calibration always caught; none for other kinds."""
    document = json.loads(files("snapstorm.report").joinpath("calibrated.json").read_text(encoding="utf-8"))
    return tuple(
        CalibratedClass(found["name"], found["work"], found["needed"])
        for found in document["classes"]
        if found["kind"] == kind and found["caught"] == found["runs"]
    )


def would_have_caught(result: RunResult) -> list[str] | None:
    """The kinds of planted defects that a run like this one would have caught: those for which it did as much of the
    work that shows them as the calibration needed. None unless the run passed."""
    if result.verdict is not Verdict.PASS:
        return None
    return caught_by(work_done(result.tally, result.clients), calibrated(result.target.name))


def caught_by(done: Mapping[str, int], classes: Sequence[CalibratedClass]) -> list[str]:
    """The names of those of which as much work was done as was needed."""
    return [found.name for found in classes if done.get(found.work, 0) >= found.needed]


def power_line(result: RunResult) -> str | None:
    """The same as a line of the summary; None if there is nothing to report."""
    caught, there_are = would_have_caught(result), len(calibrated(result.target.name))
    if caught is None or not there_are:
        return None
    return f"power      would have caught {len(caught)} of {there_are} kinds of planted defects"
