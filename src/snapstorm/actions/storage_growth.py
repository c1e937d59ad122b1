"""Whether storage levels off: at the end of a run in virtual time, what is held against what can still be needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from snapstorm.actions.operations import Operations
from snapstorm.actions.step import Steps
from snapstorm.faults.fault import Fault
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import IntendedEffect, Ledger
from snapstorm.ledger.samples import Quantity
from snapstorm.ledger.upkeep_rows import CollectionRow
from snapstorm.model.actions import CheckStorage
from snapstorm.model.lived_time import SECONDS_PER_DAY
from snapstorm.model.observations import ObservationKind, encode_held
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import Server
from snapstorm.model.seen import HeldSeen
from snapstorm.model.stored_size import (
    COLLECTION_GAP_DAYS,
    COLLECTIONS_MAX,
    FLOOR_COLLECTIONS,
    Collection,
    last_apart,
    needed_bytes,
)
from snapstorm.runtime.clock import NS_PER_SECOND
from snapstorm.runtime.threads import run_file_work
from snapstorm.testbed.context import RunContext


@dataclass(frozen=True)
class StorageGrowth:
    """Judges how much one run's storage holds."""

    run: RunContext
    server: Server
    steps: Steps
    operations: Operations
    checker: Checker
    held_bytes: Callable[[], int | None] | None
    """How many bytes storage of ours holds, None while it must keep some of them; no function for any other storage."""
    is_exclusive: bool
    """Nobody else stores anything there."""

    async def judge(self, client: str) -> None:
        """Judge it, as this client, while nobody works and nothing is in doubt. Does nothing where it can't be told
        what may still be held."""
        collections: Sequence[Collection] = self._counted() if self.is_exclusive else []
        if len(collections) < COLLECTIONS_MAX:
            return
        trees = self.run.ledger.trees_since(collections[-1].began_tick)
        if trees is None:
            return
        needed = needed_bytes(map(self.run.ledger.manifest, trees))
        with self.steps.own(client, CheckStorage(), is_beside=True) as step:
            outcome, operation = await self.operations.operate(
                step, lambda _: self._now_bytes(), IntendedEffect({"needed": needed}), is_of_target=False
            )
            if not isinstance(outcome, Ok) or outcome.value is None:
                if not isinstance(outcome, (Ok, NoOp)):
                    await self.operations.judge_failure(step)
                return
            least = self._least_since(collections[FLOOR_COLLECTIONS - 1])
            seen = HeldSeen(held_bytes=min([outcome.value, *least]), needed_bytes=needed, collections=len(collections))
            self.run.ledger.observe(operation, ObservationKind.SIZE, encode_held(seen))
            self.checker.observe(replace(seen, client=client, operation=operation))

    async def _now_bytes(self) -> int | None:
        if self.held_bytes is None:
            return await self.server.storage_bytes()
        return await run_file_work(self.held_bytes)

    def _least_since(self, collection: Collection) -> list[int]:
        """The sizes of the storage that this run has sampled since this collection began."""
        since_seconds = collection.began_seconds if collection.run == self.run.number else 0.0
        return [
            int(sample.value)
            for sample in self.run.ledger.samples(self.run.number)
            if sample.name == Quantity.REPOSITORY_BYTES and sample.at_seconds >= since_seconds
        ]

    def _counted(self) -> Sequence[Collection]:
        """The last full collections after which nothing may be left of what was garbage before them; fewer than it
        takes where something has kept one of them from its work, or may have."""
        ledger = self.run.ledger
        if not ledger.is_virtual or ledger.gaps.unknown_runs() or _has_storage_suffered(ledger):
            return []
        rows, lived = ledger.collections(), ledger.lived_times(self.run.number)
        found = [
            Collection(row.began_tick, lived[row.run].at_ns(row.began_seconds), row.run, row.began_seconds)
            for row in rows
            if row.kind == "full" and row.outcome == Ok.key and row.run in lived
        ]
        # What a clock that is ahead has dated is spared for longer.
        skew_ns = max((abs(ahead) for one in lived.values() for ahead in one.ahead_ns_by_client.values()), default=0)
        counted = last_apart(found, round(COLLECTION_GAP_DAYS * SECONDS_PER_DAY * NS_PER_SECOND) + 2 * skew_ns)
        return counted if counted and not _has_failed(rows, counted[-1].began_tick) else []


def _has_failed(rows: Sequence[CollectionRow], since_tick: int) -> bool:
    """Whether a collection since then has not done its work."""
    return any(row.began_tick >= since_tick and row.outcome not in {Ok.key, NoOp.key} for row in rows)


def _has_storage_suffered(ledger: Ledger) -> bool:
    """Whether a fault in this testbed has ever damaged or hidden what is stored, which collections rely on."""
    kinds = {kind.key: kind for kind in Fault.defined}
    found = [kinds.get(key) for key in ledger.faults_ever()]
    return any(kind is None or kind.is_damage or kind.is_veil or kind.spoils_collections for kind in found)
