"""Driving a scenario: each client does its steps, then random actions until the budget is used up."""

from __future__ import annotations

from dataclasses import dataclass

from anyio.lowlevel import checkpoint

from snapstorm.engine.client import Client
from snapstorm.engine.engine import Engine
from snapstorm.engine.multiclient import acting_as
from snapstorm.engine.run import Run
from snapstorm.plan.scenarios import Scenario


@dataclass
class Budget:
    """How much random work is left for all clients together."""

    run: Run
    deadline_seconds: float | None
    """On the run's own clock."""
    actions_left: int | None

    def take(self) -> bool:
        """Whether one more action may begin; counts it if so."""
        if self.deadline_seconds is not None and self.run.now_seconds() >= self.deadline_seconds:
            return False
        if self.actions_left is not None:
            if self.actions_left <= 0:
                return False
            self.actions_left -= 1
        return True


def may_go_on(run: Run) -> bool:
    """A violation ends the clients' work, so that what it left can be seen, unless the run is to keep going."""
    return run.keep_going or not run.tally.violations


async def drive_client(client: Client, scenario: Scenario, engine: Engine, run: Run, budget: Budget) -> None:
    """Do one client's part of a scenario. Outcomes are recorded and judged by the engine; none ends the others."""
    with acting_as(client.name):
        for step in scenario.steps:
            action = step.make()
            for _ in range(step.repeat):
                if not may_go_on(run):
                    return
                await engine.execute(action)
                await checkpoint()
        while scenario.is_random and may_go_on(run) and budget.take():
            await engine.execute_random(scenario.weights, scenario.options)
            await checkpoint()  # A no-op waits for nothing, and would keep signals and other clients waiting.
