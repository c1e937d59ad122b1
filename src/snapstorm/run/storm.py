"""The storm: injects fault after fault while clients work, holds each for a while, and heals it.

Which fault comes next, when, and what it strikes follows from the seed. All that are possible come once, in a drawn
order, before any comes again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anyio

from snapstorm.errors import FaultNotPossible, HarnessError, TargetError
from snapstorm.faults.catalogue import ALL, FAULTS, read_keys, weighted_deck
from snapstorm.faults.fault import Fault, NothingToBreak, Scene
from snapstorm.faults.weather import Injury, Weather
from snapstorm.ledger.fault_records import FaultRecord
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import RunGc
from snapstorm.model.events import FaultBegan, FaultEnded
from snapstorm.model.protocols import Server
from snapstorm.run.options import HarnessOptions
from snapstorm.runtime.clock import Clock, VirtualClock
from snapstorm.scenario.recording import Recording
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.control import Control, Steering

CALM_SECONDS = (0.5, 3.0)
"""Between two faults: drawn from this range."""
CALM_SECONDS_IN_VIRTUAL_TIME = (0.05, 0.3)
"""A day takes about half a second there, and some faults heal at its end."""
TURNS_MAX = 3
"""A fault that was asked for and found nothing to break this many times is not waited for any longer."""

HEALED = "healed"


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
    calm_seconds: tuple[float, float] = CALM_SECONDS
    """Between two faults."""
    faults: Mapping[str, type[Fault]] = field(default_factory=lambda: FAULTS)
    """All that there are."""
    heal_seconds_max: float = 120.0
    heal_again_seconds: float = 1.0
    """Between two tries."""


class Storm:
    """The faults of one run, one after the other."""

    def __init__(self, run: RunContext, weather: Weather, steering: Steering, scene: Scene, plan: StormPlan) -> None:
        """`steering` tells which faults those who watch ask for."""
        self._run = run
        self._weather = weather
        self._steering = steering
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
        order, deck = self._run.stream("storm"), list(self._keys)
        order.shuffle(deck)
        while True:
            calm_seconds = order.uniform(*self._plan.calm_seconds) / self._plan.pace if self._keys else math.inf
            while (asked := await self._steering.next_fault(calm_seconds)) is not None:
                outcome = await self._strike_next(asked)
                if outcome != HEALED:
                    self._run.note(f"the fault {asked} that somebody asked for: {outcome}")
            if not deck:
                deck = weighted_deck(self._keys, self._plan.weights, self._plan.faults)
                order.shuffle(deck)
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

    async def _strike_next(self, key: str) -> str:
        """Inject one whose draws follow from how many there were before it."""
        self._struck += 1
        return await self.strike(key, self._run.stream("fault", self._struck))

    async def replay(self, recording: Recording, wait: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Inject the faults of a recording, each when the steps have ended after which it struck, until cancelled."""
        for fault in recording.faults:
            await wait(fault.after)
            if fault.key in self._keys:
                await self.strike(fault.key, recording.fault_draws(fault))

    async def strike(self, key: str, draws: random.Random) -> str:
        """Inject one fault, hold it, heal it. Returns what came of it: HEALED, or why it broke nothing."""
        run = self._run
        began_tick = run.ledger.next_tick()
        number = run.ledger.begin_fault(run.number, key, tick=began_tick, began_seconds=run.now_seconds())
        fault = self._plan.faults[key](self._scene, draws)
        injury: Injury | None = None
        is_counted = False

        def count() -> None:
            """Count it once something has met it."""
            nonlocal is_counted
            if injury is not None and fault.has_struck and not is_counted:
                is_counted = True
                run.tally.count_fault(key)

        def begin(details: Mapping[str, Any]) -> None:
            """Called by the fault right before it breaks something."""
            nonlocal injury
            run.ledger.detail_fault(number, details)
            if injury is None:
                injury = self._weather.begin(number, fault, began_tick)
                run.emit(FaultBegan(key))

        outcome = "nothing: the storm was over before"
        try:
            try:
                await fault.inject(begin)
                count()
                await fault.judge()
                await fault.hold(draws.uniform(*fault.hold_seconds) / self._plan.pace)
                outcome = HEALED
            except NothingToBreak as error:
                outcome = f"nothing: {error}"
            except TargetError as error:
                outcome = f"failed: {error}"
        finally:
            count()
            with anyio.CancelScope(shield=True):
                if injury is not None:
                    await self._heal(fault)
                    if fault.has_struck and not outcome.startswith("failed"):
                        outcome = HEALED
                run.ledger.end_fault(number, outcome, tick=run.ledger.next_tick(), ended_seconds=run.now_seconds())
                if injury is not None:
                    self._weather.end(injury)
                    run.emit(FaultEnded(key, outcome))
        return outcome

    async def _heal(self, fault: Fault) -> None:
        """Heal, again and again if need be: what a fault has broken may also be in the way of its healing."""
        deadline_seconds = self._run.now_seconds() + self._plan.heal_seconds_max
        while True:
            try:
                return await fault.heal()
            except TargetError as error:
                if self._run.now_seconds() > deadline_seconds:
                    raise HarnessError(f"the fault {fault.key} could not be healed: {error}") from error
                await self._run.clock.sleep(self._plan.heal_again_seconds)


class NoStorm:
    """The storm of a run in which nothing is broken on purpose."""

    is_awaited = False

    async def blow(self) -> None:
        """Nothing strikes."""

    async def replay(self, recording: Recording, wait: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Nothing strikes, whatever was recorded."""


AnyStorm: TypeAlias = Storm | NoStorm


def storm_for(
    options: HarnessOptions, run: RunContext, weather: Weather, steering: Steering, control: Control, scene: Scene
) -> AnyStorm:
    """The storm of a run: with those of the faults that were asked for that are possible here. Notes which are not, and
    tells those who watch what they may ask for.

    Raises HarnessError for a fault that was asked for by name and is not possible, and when none is possible.
    """
    asked = read_keys(options.faults)
    offered = tuple(FAULTS) if control.is_watched else asked
    reasons = {key: FAULTS[key].why_not_here() or FAULTS[key].why_not(scene) for key in offered}
    if control.is_watched:
        control.faults = reasons
    chosen = _possible(options, run, {key: reasons[key] for key in asked}) if asked else []
    if all(reasons.values()):
        return NoStorm()
    plan = StormPlan(
        chosen,
        # All that is possible takes minutes, which whoever gives a shorter time does not want.
        is_each_awaited=options.is_each_fault_awaited and ALL not in options.faults,
        weights=options.fault_weights,
        pace=options.fault_pace,
        calm_seconds=CALM_SECONDS_IN_VIRTUAL_TIME if isinstance(run.clock, VirtualClock) else CALM_SECONDS,
    )
    return Storm(run, weather, steering, scene, plan)


def _possible(options: HarnessOptions, run: RunContext, reasons: Mapping[str, str | None]) -> list[str]:
    """Of the faults that were asked for, those for which there is no reason against it. Raises HarnessError as
    `storm_for` does."""
    possible = [key for key, reason in reasons.items() if reason is None]
    left_out: dict[str, list[str]] = {}
    for key, reason in reasons.items():
        if reason is None:
            continue
        if ALL not in options.faults and not options.are_faults_optional:
            raise FaultNotPossible(key, reason)
        left_out.setdefault(reason, []).append(key)
    for reason, keys in left_out.items():
        run.note(f"left out of the faults, because {reason}: {', '.join(keys)}")
    if not possible and not options.are_faults_optional:
        raise HarnessError("no fault is possible here")
    run.tally.faults_asked = bool(possible)
    return possible


def heal_what_is_left(
    ledger: Ledger, clock: Clock, note: Callable[[str], None], faults: Mapping[str, type[Fault]] = FAULTS
) -> None:
    """Heal what a killed run has left broken, before anything else runs on the testbed. Raises HarnessError.

    What takes a server to heal is left for `heal_with_server`.
    """
    for left in ledger.open_faults():
        fault = faults.get(left.key)
        if fault is not None and _may_have_misled_a_collection(ledger, left, fault):
            ledger.taint_all(left.number)
        if fault is None or not fault.heals_with_server:
            _close(ledger, clock, left, fault.heal_left_over(left.details) if fault else None, note)


def _may_have_misled_a_collection(ledger: Ledger, left: FaultRecord, fault: type[Fault]) -> bool:
    """Whether a collection of garbage was under way when the run was killed that may have taken what is needed."""
    return (fault.spoils_collections or fault.is_veil) and any(
        one.action == RunGc.key and (fault.spoils_collections or one.options.get("safety") == "none")
        for one in ledger.record.open_operations(left.run)
    )


async def heal_with_server(ledger: Ledger, clock: Clock, server: Server, note: Callable[[str], None]) -> None:
    """Heal what is still left, before clients connect. Raises TargetError."""
    for left in ledger.open_faults():
        _close(ledger, clock, left, await FAULTS[left.key].heal_left_over_with(server, left.details), note)


def _close(ledger: Ledger, clock: Clock, left: FaultRecord, done: str | None, note: Callable[[str], None]) -> None:
    if done is not None:
        note(f"{done}, which the fault {left.key} of the killed run {left.run} had left")
    ledger.end_fault(
        left.number,
        f"{HEALED} at {clock.utc()}, after a kill",
        tick=ledger.next_tick(),
        ended_seconds=left.began_seconds,
    )
