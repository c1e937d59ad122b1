"""What whoever watches a run may ask of it: to pause, to end its clients' work, to break something now.

Those who ask sit in other threads (a web page), so that nothing here waits for them: what goes on looks, several times
a second, whether something has been asked for, and only where somebody can ask.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import anyio

from snapstorm.errors import ConfigError

POLL_SECONDS = 0.1
INJECTIONS_WAITING_MAX = 8


class Control:
    """The wishes of those who watch one run. `pause`, `resume`, `stop` and `inject` may be called from any thread."""

    def __init__(self) -> None:
        self._is_paused = False
        self._is_stopping = False
        self._wishes: deque[str] = deque()
        self._pauses_seconds = 0.0
        self._paused_since_seconds: float | None = None
        self._now_seconds: Callable[[], float] | None = None
        self._note: Callable[[str], None] = lambda _: None
        self._is_working = False
        self.faults: Mapping[str, str | None] = {}
        """Each fault by its key, and why it is not possible in this run; None for one that can be asked for."""

    def watch(self, now_seconds: Callable[[], float], note: Callable[[str], None]) -> None:
        """Take wishes from now on. Without this, a run looks for none."""
        self._now_seconds, self._note = now_seconds, note

    @property
    def is_watched(self) -> bool:
        """Whether there is anybody who could ask for something."""
        return self._now_seconds is not None

    @property
    def is_working(self) -> bool:
        """Whether clients are at work, so that there is something to ask for."""
        return self._is_working

    @contextmanager
    def working(self) -> Iterator[None]:
        """While the block lasts, clients are at work."""
        self._is_working = True
        try:
            yield
        finally:
            self._is_working = False
            if self._is_stopping and self._now_seconds is not None:
                self._note(f"somebody ended the clients' work, {self._now_seconds():.1f} s after the run began")

    @property
    def is_paused(self) -> bool:
        """Whether clients begin nothing new."""
        return self._is_paused

    @property
    def is_stopping(self) -> bool:
        """Whether the clients' work is to end before its time."""
        return self._is_stopping

    def pause(self) -> None:
        """Have clients end what they are doing, and begin nothing new."""
        self._is_paused = True

    def resume(self) -> None:
        """Have clients go on."""
        self._is_paused = False

    def stop(self) -> None:
        """End the clients' work as if its time were over: all is judged as ever."""
        self._is_stopping = True

    def inject(self, key: str) -> None:
        """Break this next, once what is broken now has healed. Raises ConfigError for what is not possible."""
        if not self._is_working:
            raise ConfigError("faults are injected only while clients are at work")
        if key not in self.faults:
            raise ConfigError(f"no fault is called {key!r}")
        reason = self.faults[key]
        if reason is not None:
            raise ConfigError(f"the fault {key} is not possible here: {reason}")
        if len(self._wishes) >= INJECTIONS_WAITING_MAX:
            raise ConfigError(f"{INJECTIONS_WAITING_MAX} faults are waiting already")
        self._wishes.append(key)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The faults that were asked for and have not struck yet."""
        return tuple(self._wishes)

    @property
    def paused_seconds(self) -> float:
        """For how long the run has been paused so far. Clients' time does not go on meanwhile."""
        since, now = self._paused_since_seconds, self._now_seconds
        return self._pauses_seconds + (now() - since if since is not None and now is not None else 0.0)

    async def may_begin(self) -> None:
        """Return when a client may begin something new: at once, unless the run is paused."""
        while self._is_paused and not self._is_stopping and self._now_seconds is not None:
            if self._paused_since_seconds is None:
                self._paused_since_seconds = self._now_seconds()
            await anyio.sleep(POLL_SECONDS)
        self._end_pause()

    def _end_pause(self) -> None:
        """Count the pause, once for all who waited."""
        if self._paused_since_seconds is None or self._now_seconds is None:
            return
        seconds = self._now_seconds() - self._paused_since_seconds
        self._paused_since_seconds = None
        self._pauses_seconds += seconds
        self._note(f"somebody paused the run for {seconds:.1f} s")

    async def next_fault(self, seconds_max: float) -> str | None:
        """The next fault that somebody asks for; None once so many seconds have passed without one. While the run is
        paused, they don't."""
        if self._now_seconds is None:
            await anyio.sleep(seconds_max)
            return None
        left_seconds = seconds_max
        while not self._wishes:
            if left_seconds <= 0:
                return None
            pause_seconds = min(POLL_SECONDS, left_seconds)
            await anyio.sleep(pause_seconds)
            left_seconds -= 0 if self._is_paused else pause_seconds
        return self._wishes.popleft()
