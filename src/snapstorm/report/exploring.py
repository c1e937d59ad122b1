"""How an exploration is shown: while it goes on, and at its end."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from snapstorm.exploration.exploration import ExploreListener, ExploreResult
from snapstorm.exploration.found_losses import FoundLoss
from snapstorm.exploration.plan import Plan
from snapstorm.exploration.states import Since, Tried
from snapstorm.report.progress import PLAIN_SECONDS_BETWEEN_LINES, ProgressKind, may_be_terminal
from snapstorm.report.summary import show_bytes
from snapstorm.report.text import printable, show_seconds

LOSSES_SHOWN_MAX = 10


@contextmanager
def exploring(kind: ProgressKind, stream: TextIO) -> Iterator[ExploreListener]:
    """A listener that shows on `stream` how far an exploration has come: in place on a terminal, as lines elsewhere."""
    if kind is ProgressKind.AUTO:
        kind = ProgressKind.RICH if may_be_terminal(stream) else ProgressKind.PLAIN
    if kind is not ProgressKind.RICH:
        yield _Lines(stream, is_silent=kind is ProgressKind.NONE).listener
        return
    # Imported only if needed: it takes a tenth of the time in which the command starts.
    from rich.console import Console  # noqa: PLC0415

    console = Console(file=stream, force_terminal=True)
    with console.status("opening the history") as status:
        lines = _Lines(
            stream,
            show=status.update,
            keep=lambda line: console.print(line, highlight=False, markup=False),
        )
        yield lines.listener


class _Lines:
    """A line at the beginning, one every few seconds, and one for each loss."""

    def __init__(
        self,
        stream: TextIO,
        *,
        is_silent: bool = False,
        show: Callable[[str], object] | None = None,
        keep: Callable[[str], object] | None = None,
    ) -> None:
        """`show` is for what changes and `keep` for what is to stay, where that is not the same."""
        self._stream = stream
        self._is_silent = is_silent
        self._show = show
        self._keep = keep or self._print
        self._began = self._last = time.monotonic()
        self._points = 0
        self._losses = 0

    @property
    def listener(self) -> ExploreListener:
        return ExploreListener(self._begin, self._go_on, self._find)

    def _begin(self, plan: Plan) -> None:
        self._points = len(plan.points)
        self._tell(
            f"{self._points} points, after each {plan.every}. write" if plan.every > 1 else f"{self._points} points"
        )

    def _go_on(self, tried: Tried) -> None:
        line = f"{tried.points}/{self._points} points · {tried.states} states · {self._losses} loss(es)"
        if self._show is not None:
            self._show(line)
        elif time.monotonic() - self._last >= PLAIN_SECONDS_BETWEEN_LINES:
            self._tell(line)

    def _find(self, finding: FoundLoss) -> None:
        self._losses += 1
        detail = printable(finding.violation.detail).partition("\n")[0]
        self._tell(f"VIOLATED {finding.violation.guarantee.value}: {detail}")

    def _tell(self, line: str) -> None:
        self._last = time.monotonic()
        if not self._is_silent:
            self._keep(f"{self._last - self._began:7.1f} s  {line}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def explored_lines(result: ExploreResult) -> Iterator[str]:
    """What an exploration has shown. The verdict is last. Text of the target in it can't affect the terminal."""
    plan, tried, counts = result.plan, result.tried, result.counts
    rate = f", {tried.points * 60 / result.seconds:.0f} points a minute" if tried.points and result.seconds else ""
    yield f"explored   run {result.options.run}, seed {result.options.depth.seed}, {show_seconds(result.seconds)}{rate}"
    yield (
        f"points     {tried.points} of {len(plan.points)}, after one of {plan.every} write(s); "
        f"{tried.states} states, {tried.in_flight_states} of them with writes under way"
        + (f"; gone on with {tried.went_on}, with full maintenance" if tried.went_on else "")
    )
    yield (
        f"read       {counts.snapshots_read} snapshots; {counts.restores} restored and compared, "
        f"{show_bytes(counts.bytes_compared)}"
    )
    for count, words in (
        (plan.without_promise, "points had nothing to lose yet, or nothing any more"),
        (plan.dropped, "points were left out: their bytes were dropped to make room (--history-bytes-max)"),
        (plan.after_lies, "points were left out: the storage had lied on purpose by then"),
        (counts.accepted_losses, "snapshots are known to be lost, so they were not looked for"),
        (result.points_left, "points were not tried; those that were are spread over the run"),
    ):
        if count:
            yield f"           {count} {words}"
    for finding in result.found[:LOSSES_SHOWN_MAX]:
        yield from _loss_lines(finding)
    if len(result.found) > LOSSES_SHOWN_MAX:
        yield f"           and {len(result.found) - LOSSES_SHOWN_MAX} more"
    verdict, reason = result.verdict
    yield f"{verdict.value.upper()}: {reason}"


def _loss_lines(finding: FoundLoss) -> Iterator[str]:
    one = finding.violation
    when = f"after write {finding.writes}, at event {finding.event}"
    first = "" if finding.since is Since.UNKNOWN else "first "
    later = "once maintenance had run, " if finding.has_gone_on else ""
    yield printable(f"VIOLATED   {one.guarantee.value} ({later}{first}{when}; in {finding.states} state(s))")
    for line in printable(one.detail).splitlines()[:4]:
        yield from textwrap.wrap(
            line, 110, initial_indent="           ", subsequent_indent="           ", break_long_words=False
        )
    if one.evidence:
        yield f"           evidence: {one.evidence}"
