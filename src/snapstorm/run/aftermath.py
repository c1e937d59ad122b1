"""After a storm: clients must recover, and what the target says of its own data must be what restores show."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from snapstorm.actions.engine import Engine
from snapstorm.actions.own_operations import OwnOperations
from snapstorm.faults.weather import Weather
from snapstorm.guarantees.checker import Checker
from snapstorm.model.abilities import ChecksWholeRepository
from snapstorm.model.actions import RestoreSnapshot, SnapshotRoot, VerifyRepository
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import Server
from snapstorm.model.seen import OwnCheckSeen, RecoveryFailureSeen
from snapstorm.run.hangs import Hangs
from snapstorm.runtime.tasks import together
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.identity import acting_as

_AGAIN_SECONDS = 1.0
_LOSSES = (Guarantee.RESTORED_EXACTLY, Guarantee.IN_DOUBT_ABSENT_OR_EXACT)


@dataclass(frozen=True)
class Aftermath:
    """Judges one run once its storm is over."""

    run: RunContext
    weather: Weather
    engine: Engine
    own_operations: OwnOperations
    server: Server
    checker: Checker
    hangs: Hangs

    async def recover(self, clients: Sequence[str], seconds_max: float) -> None:
        """Each client must complete a snapshot and restore it within this time; until then, failures are still the
        faults'."""
        self.weather.begin_recovery()
        try:
            await together([functools.partial(self._recover_one, client, seconds_max) for client in clients])
        finally:
            self.weather.end_recovery()

    async def _recover_one(self, client: str, seconds_max: float) -> None:
        deadline = self.run.now_seconds() + seconds_max
        while True:
            with acting_as(client):
                taken = await self.engine.execute(SnapshotRoot())
                outcome = (
                    await self.engine.execute(RestoreSnapshot(id=taken.value.id)) if isinstance(taken, Ok) else taken
                )
                if isinstance(outcome, (Ok, NoOp)):
                    return
            # Looked at only after a try: on a busy machine the time may be up before the first one.
            if self.run.now_seconds() >= deadline:
                break
            await self.run.clock.sleep(_AGAIN_SECONDS)
        self.checker.observe(RecoveryFailureSeen(client=client, seconds_max=seconds_max, reason=outcome.reason))

    async def compare_with_own_check(self, clients: Sequence[str]) -> None:
        """Hold the target's own full check of each client's snapshots, or of all, against what the sweep has shown of
        them, with caches cleared first."""
        for client in clients:
            with acting_as(client):
                if not self.engine.can_act(VerifyRepository()) or not self.run.ledger.count_live(client):
                    continue
            await self.server.forget_caches([client])
            complaint = await self.own_operations.check_by_target(client)
            if complaint is None:  # The check itself could not be done, which is judged as such.
                await self.hangs.repeat_suspects()
                if self.hangs.is_confirmed(VerifyRepository.asks_for):
                    self.run.note("the target's own check hangs, so it was not compared with the rest of the sweep")
                    return
                continue
            checked = None if self._is_of_all else client
            lost = self.run.ledger.count_live_unverified(checked, self.run.number)
            seen = OwnCheckSeen(
                client=client, complaint=complaint, is_all_restored=not lost, has_lost=self._has_lost(checked)
            )
            self.checker.observe(seen)

    @property
    def _is_of_all(self) -> bool:
        """Whether the check that a client asks for is of everybody's snapshots."""
        return isinstance(self.server, ChecksWholeRepository) and self.server.checks_whole_repository

    def _has_lost(self, client: str | None) -> bool:
        """Whether restores have shown a loss of this client's, or of anybody's."""
        return any(found.guarantee in _LOSSES and client in (None, found.client) for found in self.run.tally.violations)
