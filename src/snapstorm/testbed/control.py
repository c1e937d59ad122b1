"""What those who watch a run may ask of it: to pause, to end its clients' work, to inject a fault.

They ask from other threads (a web page). So nothing waits for them here: the run looks several times a second whether
something was asked for, and only if somebody can ask.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from snapstorm.errors import ConfigError
from snapstorm.testbed.context import RunContext

POLL_SECONDS = 0.1
INJECTIONS_WAITING_MAX = 8


class Control:
    """What was asked of one run. `pause`, `resume`, `stop` and `inject` may be called from any thread."""

    def __init__(self, *, is_watched: bool = True) -> None:
        """`is_watched`: whether there is anybody who could ask for something."""
        self.is_watched = is_watched
        self.is_paused = False
        """Clients begin nothing new."""
        self.is_stopping = False
        """The clients' work is to end before its time."""
        self.is_working = False
        """Clients are at work, so that there is something to ask for."""
        self.faults: Mapping[str, str | None] = {}
        """Each fault by its key, and why it is not possible in this run; None for one that can be asked for."""
        self._asked: deque[str] = deque()

    @contextmanager
    def working(self) -> Iterator[None]:
        """While the block lasts, clients are at work."""
        self.is_working = True
        try:
            yield
        finally:
            self.is_working = False

    def pause(self) -> None:
        """Have clients end what they are doing, and begin nothing new."""
        self.is_paused = True

    def resume(self) -> None:
        """Have clients go on."""
        self.is_paused = False

    def stop(self) -> None:
        """End the clients' work as if its time were over. What they did is judged as usual."""
        self.is_stopping = True

    def inject(self, key: str) -> None:
        """Inject this fault next, once the current one has healed. Raises ConfigError for what is not possible."""
        if not self.is_working:
            raise ConfigError("faults are injected only while clients are at work")
        if key not in self.faults:
            raise ConfigError(f"no fault is called {key!r}")
        reason = self.faults[key]
        if reason is not None:
            raise ConfigError(f"the fault {key} is not possible here: {reason}")
        if len(self._asked) >= INJECTIONS_WAITING_MAX:
            raise ConfigError(f"{INJECTIONS_WAITING_MAX} faults are waiting already")
        self._asked.append(key)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The faults that were asked for and have not struck yet."""
        return tuple(self._asked)

    def take(self) -> str | None:
        """The fault that was asked for first, which then waits no more; None if none waits."""
        return self._asked.popleft() if self._asked else None


class Steering:
    """Has one run do what is asked through its control."""

    def __init__(self, run: RunContext, control: Control, *, keep_going: bool) -> None:
        """`keep_going`: clients work on after a violation."""
        self._run = run
        self._control = control
        self._keep_going = keep_going
        self._pauses_seconds = 0.0
        self._paused_since_seconds: float | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """While the block lasts, clients are at work."""
        with self._control.working():
            try:
                yield
            finally:
                if self._control.is_stopping:
                    seconds = self._run.now_seconds()
                    self._run.note(f"somebody ended the clients' work, {seconds:.1f} s after the run began")

    @property
    def worked_seconds(self) -> float:
        """Seconds since the run began, without those in which it was paused."""
        now_seconds = self._run.now_seconds()
        since_seconds = now_seconds if self._paused_since_seconds is None else self._paused_since_seconds
        return since_seconds - self._pauses_seconds

    async def may_go_on(self) -> bool:
        """Whether a client may begin its next action: not after a violation, so that what it left can be seen, unless
        the run keeps going; nor once those who watch have ended the work. Waits while the run is paused."""
        if self._control.is_paused and self._control.is_watched:
            await self._sit_out_pause()
        return not self._control.is_stopping and (self._keep_going or not self._run.tally.violations)

    async def _sit_out_pause(self) -> None:
        """Wait until the run goes on, and count the pause, once for all who waited."""
        while self._control.is_paused and not self._control.is_stopping:
            if self._paused_since_seconds is None:
                self._paused_since_seconds = self._run.now_seconds()
            await self._run.clock.sleep(POLL_SECONDS)
        if self._paused_since_seconds is not None:
            seconds = self._run.now_seconds() - self._paused_since_seconds
            self._paused_since_seconds = None
            self._pauses_seconds += seconds
            self._run.note(f"somebody paused the run for {seconds:.1f} s")

    async def next_fault(self, seconds_max: float) -> str | None:
        """The next fault that somebody asks for; None once so many seconds have passed without one. While the run is
        paused, they don't."""
        if not self._control.is_watched:
            await self._run.clock.sleep(seconds_max)
            return None
        left_seconds = seconds_max
        while (asked := self._control.take()) is None and left_seconds > 0:
            pause_seconds = min(POLL_SECONDS, left_seconds)
            await self._run.clock.sleep(pause_seconds)
            left_seconds -= 0 if self._control.is_paused else pause_seconds
        return asked
