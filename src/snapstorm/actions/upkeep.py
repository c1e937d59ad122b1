"""Upkeep: garbage is collected, as an action of a client, or to make room while nobody works."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import anyio

from snapstorm.actions.engine import Engine
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.quota import Quota
from snapstorm.actions.step import Step
from snapstorm.faults.weather import Weather
from snapstorm.ledger.ledger import IntendedEffect
from snapstorm.model.actions import RunGc
from snapstorm.model.outcomes import Outcome
from snapstorm.model.protocols import Server
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.identity import acting_as

COLLECTIONS_FOR_ROOM_MAX = 4
ROOM_GAINED_SHARE_MAX = 0.98
"""A collection that leaves more than this share of what was held is not worth another one."""


@performs(RunGc)
@dataclass(frozen=True)
class RunGcPerformer(Performer[None]):
    run: RunContext
    weather: Weather
    operations: Operations
    server: Server
    quota: Quota
    collecting: anyio.Lock = field(init=False, default_factory=anyio.Lock)

    async def perform(self, step: Step, action: RunGc) -> Outcome[None]:
        kind = step.draws.choice(("quick", "full")) if action.kind == "random" else action.kind
        return await self._collect(step, kind=kind, is_safe=action.safety == "full")

    async def _collect(self, step: Step, *, kind: str, is_safe: bool) -> Outcome[None]:
        step.redo = functools.partial(self._collect, kind=kind, is_safe=is_safe)
        began_seconds = self.run.now_seconds()

        async def collect(_: str) -> None:
            try:
                await self.server.collect_garbage(is_full=kind == "full", is_safe=is_safe)
            finally:  # Before its outcome is durable: a collection that has none yet is thought of after a kill.
                spoiler = self.weather.spoiler(began_seconds, is_safe=is_safe)
                if spoiler is not None:
                    self.run.ledger.taint_all(spoiler.number)

        # One at a time: of two collections at once Kopia lets one do nothing (measured), which would judge nothing.
        async with self.collecting:
            outcome, _ = await self.operations.operate(step, collect, IntendedEffect({"kind": kind}))
        await self.quota.measure()
        return outcome


async def make_room(quota: Quota, engine: Engine, client: str) -> None:
    """Collect garbage as this client while nobody works, as often as it helps, if room is short."""
    await quota.measure()
    with acting_as(client):
        for _ in range(COLLECTIONS_FOR_ROOM_MAX):
            action, held_bytes = RunGc(safety="none"), quota.used_bytes
            if not quota.is_near_limit or not engine.can_act(action):
                return
            await engine.perform(engine.steps.next(action, is_own=True), action)
            if quota.used_bytes > ROOM_GAINED_SHARE_MAX * held_bytes:
                return
