"""Figures of a run: sums over its operations. Pure; the work grows linearly with the number of operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from snapstorm.ledger.run_rows import OperationRow
from snapstorm.report.run_data import RunData

BINS_MAX = 60
"""The maximum number of periods into which charts divide the run."""
PERCENTILES = (50, 90, 99)
OUTCOMES = ("ok", "no_op", "failed", "unknown", "open")
"""How an operation ended, from the least to the most remarkable; `open` means that it has not."""


def outcome_of(operation: OperationRow) -> str:
    """One that was locked out has failed; its reason says why."""
    return "failed" if operation.outcome == "locked" else operation.outcome or "open"


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile of sorted values."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass
class ActionFigures:
    """One kind of action: how its operations ended, and how long those took that did something."""

    action: str
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    seconds: list[float] = field(default_factory=list)
    """Sorted durations."""
    by_bin: dict[int, list[float]] = field(default_factory=dict)
    """Sorted durations by the period in which the operations began."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def percentiles(self) -> dict[str, float | None]:
        """Percentiles by name, in seconds; None if nothing was measured."""
        percents = {**{f"p{percent}": percent for percent in PERCENTILES}, "max": 100}
        return {name: percentile(self.seconds, percent) if self.seconds else None for name, percent in percents.items()}

    def over_time(self, percent: float) -> dict[int, float]:
        """One percentile for each period in which something was measured."""
        return {number: percentile(seconds, percent) for number, seconds in sorted(self.by_bin.items())}


@dataclass
class Figures:
    """Sums over a run's operations."""

    bin_seconds: float
    actions: list[ActionFigures]
    """The most frequent first."""
    ended_by_bin: dict[str, list[int]]
    """By outcome: how many operations ended in each period."""

    @property
    def has_ended(self) -> bool:
        """Whether any operation has ended."""
        return any(map(any, self.ended_by_bin.values()))

    @property
    def bins(self) -> int:
        return len(self.ended_by_bin["ok"])


def figures_of(run: RunData) -> Figures:
    """Compute the figures of a run."""
    end_seconds = max(run.seconds, 1e-3)
    bin_seconds = _bin_seconds(end_seconds)
    bins = max(1, math.ceil(end_seconds / bin_seconds))
    actions: dict[str, ActionFigures] = {}
    ended = {outcome: [0] * bins for outcome in OUTCOMES if outcome != "open"}
    for operation in run.operations:
        found = actions.setdefault(operation.action, ActionFigures(operation.action))
        outcome = outcome_of(operation)
        found.counts[outcome] += 1
        if operation.seconds is None or outcome == "open":
            continue
        ended_bin = min(bins - 1, int((operation.began_seconds + operation.seconds) / bin_seconds))
        ended[outcome][ended_bin] += 1
        if outcome != "no_op":
            found.seconds.append(operation.seconds)
            began_bin = min(bins - 1, int(operation.began_seconds / bin_seconds))
            found.by_bin.setdefault(began_bin, []).append(operation.seconds)
    for action, counts in run.summary.get("actions", {}).items():
        if counts.get("no_op"):  # The ledger has no operation for an action that found nothing.
            actions.setdefault(action, ActionFigures(action)).counts["no_op"] = counts["no_op"]
    for found in actions.values():
        for seconds in (found.seconds, *found.by_bin.values()):
            seconds.sort()
    return Figures(bin_seconds, sorted(actions.values(), key=lambda found: (-found.total, found.action)), ended)


def _bin_seconds(seconds: float) -> float:
    """A round length of a period, so that there are at most BINS_MAX of them."""
    for length in (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200):
        if seconds / length <= BINS_MAX:
            return float(length)
    return seconds / BINS_MAX
