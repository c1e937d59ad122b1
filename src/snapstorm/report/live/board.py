"""What is known of a run while it goes on, for readers in another thread."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@dataclass
class Patience:
    """How long viewers and the run wait for each other."""

    last_look_seconds_max: float = 3.0
    """How long the end waits for pages that have not got the verdict yet."""
    between_questions_seconds: float = 0.5
    """A page that is being loaded, or that reconnects, sends its next request within this time."""
    fresh_seconds: float = 1.0
    """What was read of the ledger is shown for at least so long."""
    reading_share_max: float = 0.05
    """At most this share of the time is spent on reading."""


class Viewers:
    """Counts the requests that are being answered, streams included."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._asking = 0
        self._asked_seconds = -math.inf

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count one request while the block lasts."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            self._asked_seconds = time.monotonic()

    def await_last_looks(self) -> None:
        """Wait until open pages have got the end: then they close their streams. A page that has just sent a request
        may be about to open its stream."""
        deadline = time.monotonic() + self._patience.last_look_seconds_max
        while time.monotonic() < deadline:
            quiet_seconds = time.monotonic() - self._asked_seconds
            if not self._asking and quiet_seconds >= self._patience.between_questions_seconds:
                return
            time.sleep(0.05)


class Board:
    """A listener that keeps the state of all runs of one command. Its other methods may be called from any thread."""

    def __init__(self, viewers: Viewers, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._viewers = viewers
        self._now_seconds = now_seconds
        self._began_seconds = now_seconds()
        self.metrics = Metrics()
        self._lock = threading.Lock()
        self._picture = Picture()
        self._lines: deque[tuple[int, str]] = deque(maxlen=LINES_KEPT)
        self._lines_count = 0
        self.run: CurrentRun | None = None
        """The run that goes on, or the one that ended last; None before there is one."""
        self.verdict: str | None = None
        """Of the current run; None while it goes on."""
        self._is_over = False
        self.control = Control()
        """The control of the current run."""
        self.is_stopped = False
        """Whether a viewer has ended a run. Then no further run is started."""

    def new_control(self) -> Control:
        """The control of the next run, through which viewers act on it."""
        with self._lock:
            self.control = Control()
            if self.is_stopped:  # Requested before there was a run.
                self.control.stop()
            return self.control

    def stop(self) -> None:
        """End the clients' work, and start no further run."""
        self.is_stopped = True
        self.control.stop()

    def end(self) -> None:
        """Announce that no further run will come. Returns once viewers have seen the last one, or could have."""
        if not self._is_over:
            self._is_over = True
            self._viewers.await_last_looks()

    def __call__(self, event: Event) -> None:
        """Process an event of the run."""
        self.metrics(event)
        with self._lock:
            if isinstance(event, RunBegan):
                self._picture, self._began_seconds = Picture(), self._now_seconds()
                self.run, self.verdict = CurrentRun(event.testbed, event.run), None
            elif isinstance(event, RunEnded):
                self.verdict = event.verdict
            self._picture.take(event)
            for line in lines_worth_keeping(event):
                self._lines_count += 1
                self._lines.append((self._lines_count, f"{self._seconds:.1f} s  {printable(line)[:2_000]}"))

    @property
    def _seconds(self) -> float:
        """Seconds since the current run began."""
        return self._now_seconds() - self._began_seconds

    def state(self) -> dict[str, Any]:
        """What the page shows at the top, for its script. Each fault has its key, its description, and the reason if it
        can't be injected."""
        control = self.control
        with self._lock:
            picture, run = self._picture, self.run
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
                "verdict": self.verdict,
                "isOver": self._is_over,
                "isWorking": control.is_working,
                "isPaused": control.is_paused,
                "isStopping": control.is_stopping,
                "faults": [
                    (key, (FAULTS[key].__doc__ or "").strip(), reason) for key, reason in control.faults.items()
                ],
                "waiting": control.waiting,
                "lines": list(self._lines),
            }
