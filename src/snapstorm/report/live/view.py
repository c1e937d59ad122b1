"""What the live page shows of a run, read from its ledger as far as it has come.

Reading takes longer the longer a run has gone on. To cost the run little, what was read is shown for at least twenty
times as long as reading it took.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from snapstorm.report.html import live_parts
from snapstorm.report.live.board import Board, CurrentRun, Patience
from snapstorm.report.run_data import RunData, read_run
from snapstorm.report.timeline import columns, details_of, overview

_GOING_ON = "the run is still going on; this is what is known so far"


@dataclass(frozen=True)
class _Seen:
    """A run as it was read."""

    current: CurrentRun
    data: RunData
    parts: dict[str, str]
    read_seconds: float
    """When it was read, on the clock."""
    took_seconds: float
    is_final: bool


class LiveView:
    """The current run, read again when the last reading is too old. Safe to use from many threads."""

    def __init__(self, board: Board, patience: Patience, now_seconds: Callable[[], float]) -> None:
        self._board = board
        self._patience = patience
        self._now_seconds = now_seconds
        self._lock = threading.Lock()
        self._seen: _Seen | None = None

    def run(self) -> tuple[RunData, dict[str, str]] | None:
        """The run that goes on, or the one that ended last, and its parts; None before there is one. Raises
        TestbedError if its testbed can't be read."""
        with self._lock:
            seen = self._look()
        return None if seen is None else (seen.data, seen.parts)

    def _look(self) -> _Seen | None:
        current, has_verdict = self._board.run, self._board.verdict is not None
        if current is None:
            return None
        seen, began = self._seen, self._now_seconds()
        if seen is not None and seen.current == current:
            shown_seconds = max(self._patience.fresh_seconds, seen.took_seconds / self._patience.reading_share_max)
            if seen.is_final or (not has_verdict and began - seen.read_seconds < shown_seconds):
                return seen
        data = read_run(current.testbed, current.number)
        if not data.has_ended:
            data = replace(data, reason=_GOING_ON, is_going_on=True)
        parts = live_parts(data)
        now = self._now_seconds()
        self._seen = _Seen(current, data, parts, now, now - began, has_verdict and data.has_ended)
        return self._seen

    def news(self, first: int) -> dict[str, Any] | None:
        """What the page's script needs to continue after the first operations; None before there is a run."""
        found = self.run()
        if found is None:
            return None
        data, parts = found
        shown = overview(data)
        first = min(max(0, first), shown["settled"])
        return {"overview": shown, "first": first, "columns": columns(data, first), "parts": parts}

    def details(self, number: int, run: str | None = None) -> list[Any] | None:
        """Details of one operation; None if it does not exist, or if another run is meant."""
        found = self.run()
        if found is None or not 0 <= number < len(found[0].operations) or run not in (None, str(found[0].number)):
            return None
        return details_of(found[0], found[0].operations[number])
