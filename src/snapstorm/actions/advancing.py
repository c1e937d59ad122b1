"""Virtual time is advanced, as an action of a client, while the target is asked nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.step import Step
from snapstorm.errors import ConfigError
from snapstorm.faults.weather import Weather
from snapstorm.model.abilities import SeesJumps
from snapstorm.model.actions import AdvanceTime
from snapstorm.model.outcomes import Outcome
from snapstorm.model.protocols import Server
from snapstorm.runtime.clock import NS_PER_SECOND, VirtualClock
from snapstorm.testbed.context import REAL_TIME_STAYS, RunContext

_POLL_SECONDS = 0.05


@performs(AdvanceTime)
@dataclass(frozen=True)
class AdvanceTimePerformer(Performer[None]):
    run: RunContext
    weather: Weather
    operations: Operations
    server: Server

    def can_act(self, client: str, action: AdvanceTime) -> bool:
        return isinstance(self.run.clock, VirtualClock)

    async def perform(self, step: Step, action: AdvanceTime) -> Outcome[None]:
        """Raises ConfigError in real time."""
        if not isinstance(self.run.clock, VirtualClock):
            raise ConfigError(REAL_TIME_STAYS)

        async def advance(operation: str) -> None:
            await self.operations.alone(operation)
            self.run.advance_time(round(action.seconds * NS_PER_SECOND))
            if isinstance(self.server, SeesJumps):
                await self.server.see_jump()

        while self.weather.delays_something:
            await self.run.clock.sleep(_POLL_SECONDS)
        outcome, _ = await self.operations.operate(step, advance)
        return outcome
