"""What is judged while a fault lasts: implements the `Judge` that faults ask."""

from __future__ import annotations

from dataclasses import dataclass, field

from snapstorm.actions.multiclient import MultiClientSnapshotter
from snapstorm.actions.own_operations import OwnOperations
from snapstorm.actions.step import Failure
from snapstorm.faults.weather import Weather
from snapstorm.guarantees.access_checks import AccessChecks
from snapstorm.guarantees.checker import Checker
from snapstorm.model.manifest import path_as_text
from snapstorm.model.seen import DamagePassedOverSeen, LetInSeen
from snapstorm.testbed.context import RunContext

PROBED_SNAPSHOTS_MAX = 12
PROBE_SECONDS_MAX = 10.0
_PROBE = "probe"


@dataclass
class FaultJudge:
    """Judges for one run."""

    run: RunContext
    weather: Weather
    own_operations: OwnOperations
    snapshotter: MultiClientSnapshotter
    access: AccessChecks
    checker: Checker
    _probes: int = field(init=False, default=0)

    async def must_be_refused(self, client: str, who: str) -> None:
        """A client that has just lost its rights must get in nowhere."""
        await self.access.must_be_refused(self.snapshotter.of(client), client, who, connects=False)

    async def must_not_write(self, client: str) -> None:
        """A client that may only read must not get a snapshot acknowledged."""
        text = "a client that may only read must not get this snapshotted\n"
        if await self.own_operations.try_to_snapshot(client, _PROBE, text):
            words = f"{client} may only read, and was let take a snapshot"
            self.checker.observe(LetInSeen(client=client, words=words))

    async def must_not_delete(self, client: str) -> None:
        """A client that may not delete must not get a deletion acknowledged, of a snapshot taken for it that stays."""
        text = "nobody may delete the snapshot of this\n"
        if not await self.own_operations.try_to_snapshot(client, _PROBE, text):
            return
        tree = self.own_operations.tree_of_ours(client, _PROBE)
        taken = self.run.ledger.latest_live(client, path_as_text(tree))
        if taken is not None and await self.own_operations.try_to_delete(client, taken) is None:
            words = f"{client} may not delete, and was let delete snapshot {taken.snapshot}"
            self.checker.observe(
                LetInSeen(client=client, words=words, snapshot=taken.snapshot, expectation=taken.operation)
            )

    async def probe_damage(self) -> None:
        """Restore some snapshots, drawn, within a bounded time: what comes with success must be right, and what fails
        must name the damage. The target's own check must complain of the first that fails."""
        self._probes += 1
        live = self.run.ledger.live_operations()
        draws = self.run.stream("damage probe", self._probes)
        draws.shuffle(live)
        deadline, is_checked = self.run.now_seconds() + PROBE_SECONDS_MAX, False
        for client, operation in live[:PROBED_SNAPSHOTS_MAX]:
            if self.run.now_seconds() > deadline:
                return
            failure = await self.own_operations.probe(client, operation)
            if failure is not None and not is_checked:
                is_checked = await self._check_damaged(client, operation, failure)

    async def _check_damaged(self, client: str, operation: str, failure: Failure) -> bool:
        """The target's own check must not find this snapshot whole, which can't be restored because storage is damaged.

        Both read straight from the repository: a cache could hide the damage from the check. The restore is repeated
        after the check, so that the damage is known to have stood all the time. Returns whether the check has
        answered.

        Measured on Kopia 0.19.0, 0.22.3 and 0.23.1, directly and without caches: whatever flipped byte, truncation or
        loss of a pack makes a restore fail, `snapshot verify` with 100 % of the files reports, too, in packs of files
        (`p`) and in those of directories and manifests (`q`). A flipped byte that no restore notices it may pass over.
        """
        damage = self.weather.damage_behind(failure.error)
        if damage is None:
            return False
        complaint = await self.own_operations.check_snapshot_by_target(client, operation)
        if complaint is None:
            return False
        if complaint:
            return True
        again = await self.own_operations.probe(client, operation)
        if again is not None and self.weather.damage_behind(again.error) is damage:
            snapshot = self.run.ledger.expectations_of_operations([operation])[0].snapshot or "?"
            seen = DamagePassedOverSeen(
                client=client,
                operation=again.operation,
                snapshot=snapshot,
                fault=damage.fault.key,
                error=str(again.error),
                output=again.error.evidence,
            )
            self.checker.observe(seen)
        return True
