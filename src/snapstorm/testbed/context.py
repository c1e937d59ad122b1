"""What all parts of one run share."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from snapstorm.errors import ConfigError
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.events import Listener, Noted
from snapstorm.model.lived_time import ClockJump
from snapstorm.model.verdict import Tally
from snapstorm.runtime.clock import Clock, VirtualClock
from snapstorm.runtime.meter import Meter
from snapstorm.scenario.seeds import stream

REAL_TIME_STAYS = "time can't be advanced in a run in real time; give the scenario a virtual_start, such as 2022-01-01"


@dataclass(frozen=True)
class RunContext:
    """One run: its number and seed, its clock, where it records and counts, and who watches.

    What only some parts need, they are given by themselves: see their constructors.
    """

    number: int
    seed: int
    clock: Clock
    began_seconds: float
    """On the monotonic clock."""
    ledger: Ledger
    meter: Meter
    """Where the time goes."""
    emit: Listener
    """Tells those who watch."""
    tally: Tally = field(default_factory=Tally)

    def now_seconds(self) -> float:
        """Seconds since the run began."""
        return self.clock.monotonic_seconds() - self.began_seconds

    def advance_time(self, by_ns: int) -> None:
        """Have this much virtual time pass at once. Durable before anybody can see it. Raises ConfigError in real time,
        ValueError for no time, or less."""
        if not isinstance(self.clock, VirtualClock):
            raise ConfigError(REAL_TIME_STAYS)
        self.ledger.jump_clock(self.number, ClockJump(self.now_seconds(), by_ns))
        self.clock.advance(by_ns)

    def note(self, words: str) -> None:
        """Tell those who watch, and those who read the summary."""
        self.tally.notes.append(words)
        self.emit(Noted(words))

    @functools.cached_property
    def stream(self) -> Callable[..., random.Random]:
        """Gives a stream of draws that depends on nothing but the seed, the number of the run, and its arguments, which
        are names (see `seeds`)."""
        return functools.partial(stream, self.seed, self.number)
