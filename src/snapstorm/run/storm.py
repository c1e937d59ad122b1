"""The storm: injects fault after fault while clients work, holds each for a while, and heals it.

Which fault comes next, when, and what it strikes follows from the seed. All that are possible come once, in a drawn
order, before any comes again.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from snapstorm.errors import HarnessError, TargetError
from snapstorm.faults.catalogue import FAULTS, weighted_deck
from snapstorm.faults.fault import Fault, NothingToBreak, Scene
from snapstorm.faults.weather import Injury
from snapstorm.ledger.fault_records import FaultRecord
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.events import FaultBegan, FaultEnded
from snapstorm.model.protocols import Server
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.tasks import beside_if
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.seeds import stream
from snapstorm.testbed.context import Run

CALM_SECONDS = (0.5, 3.0)
"""Between two faults: drawn from this range."""
TURNS_MAX = 3
"""A fault that was asked for and found nothing to break this many times is not waited for any longer."""

HEALED = "healed"


def split_by_possibility(keys: Sequence[str], scene: Scene) -> tuple[list[str], dict[str, str]]:
    """Of these faults, those that are possible here, and why the others are not."""
    reasons = {key: FAULTS[key].why_not_here() or FAULTS[key].why_not(scene) for key in keys}
    return [key for key, reason in reasons.items() if reason is None], {
        key: reason for key, reason in reasons.items() if reason is not None
    }


@dataclass(frozen=True)
class StormPlan:
    """Which faults strike, and how."""

    keys: Sequence[str]
    """Those that strike by themselves; none if only somebody who watches may ask for them."""
    is_each_awaited: bool
    """Clients are to work until each of these has struck, and not only until one has."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """In place of the faults' own."""
    pace: float = 1.0
    """So many times faster than by default."""
    faults: Mapping[str, type[Fault]] = field(default_factory=lambda: FAULTS)
    """All that there are."""
    heal_seconds_max: float = 120.0
    heal_again_seconds: float = 1.0
    """Between two tries."""


class Storm:
    """The faults of one run, one after the other."""

    def __init__(self, run: Run, scene: Scene, plan: StormPlan) -> None:
        self._run = run
        self._scene = scene
        self._plan = plan
        self._keys = list(plan.keys)
        self._struck = 0
        self._turns_left = dict.fromkeys(self._keys, TURNS_MAX)
        """Remaining tries of each fault that has not struck yet."""

    @property
    def is_awaited(self) -> bool:
        """Whether a fault for which clients are to work on has not struck yet, but still may."""
        return bool(self._turns_left) and (self._plan.is_each_awaited or not self._run.tally.faults)

    async def blow(self) -> None:
        """Inject and heal until cancelled. A fault that is active then heals first."""
        order = stream(self._run.seed, self._run.number, "storm")
        deck = self._shuffled(self._keys, order)
        while True:
            calm_seconds = order.uniform(*CALM_SECONDS) / self._plan.pace if self._keys else math.inf
            while (asked := await self._run.control.next_fault(calm_seconds)) is not None:
                await self._strike_asked(asked)
            if not deck:
                deck = self._shuffled(weighted_deck(self._keys, self._plan.weights, self._plan.faults), order)
            key = deck.pop()
            outcome = await self._strike_next(key)
            self._count_turn(key, outcome)
            if outcome != HEALED and key not in deck and len(self._keys) > 1:
                deck.insert(0, key)  # It found nothing to break: later it may.

    def _count_turn(self, key: str, outcome: str) -> None:
        """A fault that has struck is not waited for any longer, nor is one that has used up its turns."""
        turns_left = self._turns_left.pop(key, 0) - 1
        if outcome == HEALED or turns_left < 0:
            return
        if turns_left > 0:
            self._turns_left[key] = turns_left
        else:
            self._run.note(f"the fault {key} did not strike in {TURNS_MAX} tries: {outcome}")

    async def _strike_asked(self, key: str) -> None:
        """What somebody who watches asked for. It is drawn and recorded like every other fault."""
        outcome = await self._strike_next(key)
        if outcome != HEALED:
            self._run.note(f"the fault {key} that somebody asked for: {outcome}")

    async def _strike_next(self, key: str) -> str:
        """Inject one whose draws follow from how many there were before it."""
        self._struck += 1
        return await self.strike(key, stream(self._run.seed, self._run.number, "fault", self._struck))

    async def replay(self, recording: Recording, wait: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Inject the faults of a recording, each when the steps have ended after which it struck, until cancelled."""
        for fault in recording.faults:
            await wait(fault.after)
            if fault.key in self._keys:
                await self.strike(fault.key, recording.fault_draws(fault))

    @staticmethod
    def _shuffled(keys: Sequence[str], draws: random.Random) -> list[str]:
        deck = list(keys)
        draws.shuffle(deck)
        return deck

    async def strike(self, key: str, draws: random.Random) -> str:
        """Inject one fault, hold it, heal it. Returns what came of it: HEALED, or why it broke nothing."""
        number = self._run.ledger.begin_fault(
            self._run.number, key, tick=self._run.ledger.next_tick(), began_seconds=self._run.now_seconds()
        )
        fault = self._plan.faults[key](self._scene, draws)
        active = _Active(self._run, fault, number)
        outcome = "nothing: the storm was over before"
        try:
            try:
                await fault.inject(active.begin)
                await fault.judge()
                await fault.hold(draws.uniform(*fault.hold_seconds) / self._plan.pace)
                outcome = HEALED
            except NothingToBreak as error:
                outcome = f"nothing: {error}"
            except TargetError as error:
                outcome = f"failed: {error}"
        finally:
            with anyio.CancelScope(shield=True):
                if active.injury is not None:
                    await self._heal(fault)
                    outcome = outcome if outcome.startswith("failed") else HEALED
                active.end(outcome)
        return outcome

    async def _heal(self, fault: Fault) -> None:
        """Heal, again and again if need be: what a fault has broken may also be in the way of its healing."""
        deadline = anyio.current_time() + self._plan.heal_seconds_max
        while True:
            try:
                await fault.heal()
            except TargetError as error:
                if anyio.current_time() > deadline:
                    raise HarnessError(f"the fault {fault.key} could not be healed: {error}") from error
                await anyio.sleep(self._plan.heal_again_seconds)
            else:
                return


class _Active:
    """One fault as the run knows it: active from the moment at which it is recorded until it has healed."""

    def __init__(self, run: Run, fault: Fault, number: int) -> None:
        self._run = run
        self._fault = fault
        self._number = number
        self.injury: Injury | None = None

    def begin(self, details: Mapping[str, Any]) -> None:
        """Called by the fault right before it breaks something."""
        self._run.ledger.detail_fault(self._number, details)
        if self.injury is None:
            self.injury = self._run.weather.begin(self._number, self._fault)
            self._run.tally.count_fault(self._fault.key)
            self._run.emit(FaultBegan(self._fault.key))

    def end(self, outcome: str) -> None:
        run = self._run
        run.ledger.end_fault(self._number, outcome, tick=run.ledger.next_tick(), ended_seconds=run.now_seconds())
        if self.injury is not None:
            run.weather.end(self.injury)
            run.emit(FaultEnded(self._fault.key, outcome))


async def at_once() -> None:
    """Wait for nothing."""


@asynccontextmanager
async def blowing(storm: Storm | None, wait: Callable[[], Awaitable[None]] = at_once) -> AsyncIterator[None]:
    """A storm while the block lasts, once there is no more to wait for; with None, none. All has healed when the block
    is left."""

    async def blow_then() -> None:
        assert storm is not None
        await wait()
        await storm.blow()

    async with beside_if(blow_then if storm is not None else None):
        yield


def heal_what_is_left(ledger: Ledger, note: Callable[[str], None], faults: Mapping[str, type[Fault]] = FAULTS) -> None:
    """Heal what a killed run has left broken, before anything else runs on the testbed. Raises HarnessError.

    What takes a server to heal is left for `heal_with_server`.
    """
    for left in ledger.open_faults():
        fault = faults.get(left.key)
        if fault is None or not fault.heals_with_server:
            _close(ledger, left, fault.heal_left_over(left.details) if fault else None, note)


async def heal_with_server(ledger: Ledger, server: Server, note: Callable[[str], None]) -> None:
    """Heal what is still left, before clients connect. Raises TargetError."""
    for left in ledger.open_faults():
        _close(ledger, left, await FAULTS[left.key].heal_left_over_with(server, left.details), note)


def _close(ledger: Ledger, left: FaultRecord, done: str | None, note: Callable[[str], None]) -> None:
    if done is not None:
        note(f"{done}, which the fault {left.key} of the killed run {left.run} had left")
    ledger.end_fault(
        left.number,
        f"{HEALED} at {Clock().utc()}, after a kill",
        tick=ledger.next_tick(),
        ended_seconds=left.began_seconds,
    )
