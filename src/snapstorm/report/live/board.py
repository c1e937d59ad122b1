"""What is known of a run while it goes on, for readers in another thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapstorm.faults.catalogue import FAULTS
from snapstorm.model.events import Event, RunBegan, RunEnded
from snapstorm.report.live.metrics import Metrics
from snapstorm.report.progress import Picture, lines_worth_keeping
from snapstorm.report.text import printable
from snapstorm.testbed.control import Control

LINES_KEPT = 50


@dataclass(frozen=True)
class CurrentRun:
    """The run that goes on, or that has just ended."""

    testbed: Path
    number: int


class Board:
    """A listener that keeps the state of all runs of one command. Its other methods may be called from any thread."""

    def __init__(self, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._now_seconds = now_seconds
        self._began_seconds = now_seconds()
        self.metrics = Metrics()
        self._lock = threading.Lock()
        self._picture = Picture()
        self._lines: deque[tuple[int, str]] = deque(maxlen=LINES_KEPT)
        self._lines_count = 0
        self._run: CurrentRun | None = None
        self._verdict: str | None = None
        self._is_over = False
        self._control = Control()
        self._is_stopped = False
        self.await_last_looks: Callable[[], None] = lambda: None
        """Set by the server."""

    def new_control(self) -> Control:
        """The control of the next run, through which viewers act on it."""
        with self._lock:
            self._control = Control()
            if self._is_stopped:  # Requested before there was a run.
                self._control.stop()
            return self._control

    @property
    def control(self) -> Control:
        """The control of the current run."""
        return self._control

    @property
    def is_stopped(self) -> bool:
        """Whether a viewer has ended a run. Then no further run is started."""
        return self._is_stopped

    def stop(self) -> None:
        """End the clients' work, and start no further run."""
        self._is_stopped = True
        self._control.stop()

    def end(self) -> None:
        """Announce that no further run will come. Returns once viewers have seen the last one, or could have."""
        if not self._is_over:
            self._is_over = True
            self.await_last_looks()

    @property
    def has_verdict(self) -> bool:
        """Whether the current run has come to its verdict."""
        return self._verdict is not None

    @property
    def run(self) -> CurrentRun | None:
        """The run that goes on, or the one that ended last; None before there is one."""
        return self._run

    def __call__(self, event: Event) -> None:
        """Process an event of the run."""
        self.metrics(event)
        with self._lock:
            if isinstance(event, RunBegan):
                self._picture, self._began_seconds = Picture(), self._now_seconds()
                self._run, self._verdict = CurrentRun(event.testbed, event.run), None
            elif isinstance(event, RunEnded):
                self._verdict = event.verdict
            self._picture.take(event)
            for line in lines_worth_keeping(event):
                self._lines_count += 1
                self._lines.append((self._lines_count, f"{self._seconds:.1f} s  {printable(line)[:2_000]}"))

    @property
    def _seconds(self) -> float:
        """Seconds since the current run began."""
        return self._now_seconds() - self._began_seconds

    def state(self) -> dict[str, Any]:
        """What the page shows at the top, for its script."""
        control = self._control
        with self._lock:
            picture, run = self._picture, self._run
            return {
                "run": None if run is None else run.number,
                "seconds": int(self._seconds) if run is not None else 0,
                "phase": printable(picture.phase),
                "sweep": picture.sweep,
                "doing": {printable(client): key for client, key in sorted(picture.doing.items())},
                "actions": sum(sum(counts.values()) for counts in picture.counts.values()),
                "restores": picture.restores_verified,
                "violations": picture.violations,
                "fault": picture.fault,
                "verdict": self._verdict,
                "isOver": self._is_over,
                "isWorking": control.is_working,
                "isPaused": control.is_paused,
                "isStopping": control.is_stopping,
                "faults": self._faults(control),
                "waiting": control.waiting,
                "lines": list(self._lines),
            }

    @staticmethod
    def _faults(control: Control) -> list[tuple[str, str, str | None]]:
        """Each fault: its key, its description, and why it can't be injected; None if it can."""
        return [(key, (FAULTS[key].__doc__ or "").strip(), reason) for key, reason in control.faults.items()]
