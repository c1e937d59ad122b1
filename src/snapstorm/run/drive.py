"""Driving a scenario: each client does its steps, then random actions until the budget is used up.

A client begins its steps once it is connected, those with its own files once it has these. Clients wait for one another
around a step that is to be done alone, and before random work, which is for all of them together.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from snapstorm.actions.client import Client
from snapstorm.actions.engine import Engine
from snapstorm.run.arrivals import Arrivals
from snapstorm.run.storm import AnyStorm
from snapstorm.runtime.tasks import together
from snapstorm.scenario.generator import Deck
from snapstorm.scenario.scenarios import Scenario, ScenarioStep
from snapstorm.testbed.control import Steering
from snapstorm.testbed.identity import acting_as


@dataclass
class Budget:
    """How much random work is left for all clients together."""

    seconds: float | None
    """From the first random action on; pauses don't count."""
    actions_left: int | None
    steering: Steering
    storm: AnyStorm
    """While it is awaited, work goes on when the budget is used up: however slow the machine is, each fault that was
    asked for strikes while clients work."""
    note: Callable[[str], None]
    decks: Sequence[Deck] = ()
    """The first actions of all clients. Those that are still to be done are kept of `actions_left` for their client,
    however slow it is; who has done its own ends when only these are left."""
    _began_seconds: float | None = None
    _is_prolonged: bool = False

    def take(self, deck: Deck | None = None) -> bool:
        """Whether the client of this deck may begin one more action; counts it if so."""
        if self._is_left(deck):
            return True
        if not self.storm.is_awaited:
            return False
        if not self._is_prolonged:
            self._is_prolonged = True
            self.note("clients go on beyond --duration or --actions, until the faults that were asked for have struck")
        return True

    def _is_left(self, deck: Deck | None) -> bool:
        worked_seconds = self.steering.worked_seconds
        if self._began_seconds is None:
            self._began_seconds = worked_seconds
        if self.seconds is not None and worked_seconds - self._began_seconds >= self.seconds:
            return False
        if self.actions_left is not None:
            if self.actions_left <= (0 if deck is not None and deck.left else sum(other.left for other in self.decks)):
                return False
            self.actions_left -= 1
        return True


class Barrier:
    """Where all clients wait for one another, again and again. Who leaves is waited for no more."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting = 0
        self._opened = anyio.Event()

    async def wait(self) -> None:
        """Return once everybody who has not left waits here."""
        opened = self._opened
        self._waiting += 1
        self._open_if_all_wait()
        try:
            await opened.wait()
        except anyio.get_cancelled_exc_class():
            if not opened.is_set():
                self._waiting -= 1
            raise

    def leave(self) -> None:
        """Come here no more. For each party once, when it doesn't wait."""
        self._count -= 1
        self._open_if_all_wait()

    def _open_if_all_wait(self) -> None:
        if self._waiting >= self._count:
            self._waiting = 0
            self._opened.set()
            self._opened = anyio.Event()


EndRound: TypeAlias = Callable[[int], Awaitable[object]]


async def _go_on(_: int) -> None:
    await checkpoint()


async def drive(
    clients: Sequence[Client],
    scenario: Scenario,
    engine: Engine,
    steering: Steering,
    arrivals: Arrivals,
    storm: AnyStorm,
    note: Callable[[str], None],
    end_round: EndRound = _go_on,
) -> None:
    """Have all clients do a scenario, side by side. The first one calls `end_round` with the number of each round that
    it has done."""
    decks = [engine.deal(scenario.weights, place, scenario.clients) for place in range(len(clients))]
    budget = Budget(scenario.random_seconds, scenario.actions, steering, storm, note, decks)
    driver = _Driver(scenario, engine, steering, arrivals, budget, Barrier(len(clients)), end_round)
    await together([functools.partial(driver.drive, client.name, place) for place, client in enumerate(clients)])


@dataclass(frozen=True)
class _Driver:
    """Drives clients, of which the one at place 0 does what is to be done alone."""

    scenario: Scenario
    engine: Engine
    steering: Steering
    arrivals: Arrivals
    budget: Budget
    barrier: Barrier
    end_round: EndRound

    async def drive(self, client: str, place: int) -> None:
        """Have one client do its part. Outcomes are recorded and judged by the engine; none ends the others."""
        with acting_as(client):
            try:
                await self.arrivals.wait_for(client, only_files=True)
                for number in range(1, self.scenario.rounds + 1):
                    await self._do_round(number, client, place)
            finally:
                # However its steps ended: the others must not wait for it for ever.
                self.barrier.leave()
            await self.arrivals.wait_for_all()
            if self.scenario.is_random:
                await self._do_random(self.budget.decks[place])

    async def _do_round(self, number: int, client: str, place: int) -> None:
        for step in self.scenario.steps:
            if number % step.every:
                continue
            if step.alone or self.engine.asks_target(step.make(), client):
                await self.arrivals.wait_for(client)
            await self._do_alone(step, place) if step.alone else await self._do(step)
        if place == 0:
            await self.end_round(number)

    async def _do_random(self, deck: Deck) -> None:
        weights, options = self.scenario.weights, self.scenario.options
        while await self.steering.may_go_on() and self.budget.take(deck):
            await self.engine.execute_random(weights, options, deck)
            await checkpoint()  # A no-op waits for nothing, and would keep signals and other clients waiting.

    async def _do(self, step: ScenarioStep) -> None:
        action = step.make()
        for _ in range(step.repeat):
            if not await self.steering.may_go_on():
                return
            await self.engine.execute(action)
            await checkpoint()

    async def _do_alone(self, step: ScenarioStep, place: int) -> None:
        """Do the step while every other client waits. Also a client that may not go on waits with them, so that
        nobody begins the next step while this one is being done."""
        await self.barrier.wait()
        if place == 0:
            await self._do(step)
        await self.barrier.wait()
