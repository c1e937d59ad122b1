"""While storage does not show all that was done, listings are held to what was done before, and retention waits."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.tricked import TrickedTarget
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.actions.parts import Parts
from snapstorm.errors import OperationFailed, OperationUnknown
from snapstorm.faults.fault import Fault, FaultKind, Record
from snapstorm.faults.weather import Injury
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.guarantees.rejudging import recheck
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.actions import (
    DeleteSnapshot,
    Expire,
    ListSnapshots,
    RestoreSnapshot,
    RunGc,
    SnapshotRoot,
    WriteRandomFiles,
)
from snapstorm.model.expectations import State
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.outcomes import NoOp, Ok, Unknown
from snapstorm.model.protocols import Server
from snapstorm.model.retention import KeepPolicy, Retention
from snapstorm.targets.memory.target import MemoryClient
from snapstorm.testbed.identity import acting_as

pytestmark = pytest.mark.anyio


class Misleading(Fault):
    """Storage does not show all."""

    key = "misleading"
    kind = FaultKind.LAGS
    is_veil = True

    async def inject(self, record: Record) -> None:
        record({})


class Lying(Misleading):
    """Storage does not keep all."""

    key = "lying"
    spoils_collections = True


class Client(MemoryClient):
    """Shows some snapshots, and others not."""

    hidden: set[str] = set()  # noqa: RUF012 - cleared for each test
    during_expire: Any = None
    failing_listings = 0
    failing_restores = 0
    is_cut_off = False

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create_snapshot(source, operation)
        if Client.is_cut_off:
            raise OperationUnknown("cut off")
        return receipt

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        if Client.failing_listings:
            Client.failing_listings -= 1
            raise OperationFailed("nothing can be listed")
        return tuple(entry for entry in await super().list_snapshots() if entry.id not in self.hidden)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        if Client.failing_restores:
            Client.failing_restores -= 1
            raise OperationFailed("it can't be read")
        await super().restore_snapshot(snapshot, destination, sub_path)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await super().expire_snapshots(source, keep_latest)
        if Client.during_expire is not None:
            Client.during_expire()


class Run:
    """A run with a client at work."""

    def __init__(self, one: OneRun, parts: Parts, server: Server) -> None:
        self.one, self.parts, self.engine, self.server = one, parts, parts.engine, server
        self.injuries: dict[int, Injury] = {}

    def begin(self, kind: type[Fault]) -> int:
        ledger, scene = self.one.ledger, None
        tick = ledger.next_tick()
        number = ledger.begin_fault(1, kind.key, tick=tick, began_seconds=0.0)
        made: Any = kind
        self.injuries[number] = self.parts.weather.begin(number, made(scene, random.Random(1)), tick)
        return number

    def heal(self, number: int) -> None:
        self.parts.weather.end(self.injuries[number])

    async def snapshot(self) -> str:
        await self.engine.execute(WriteRandomFiles(count=1))
        taken = await self.engine.execute(SnapshotRoot())
        assert isinstance(taken, Ok)
        return taken.value.id

    @property
    def broken(self) -> list[tuple[Guarantee, str | None]]:
        return [(found.guarantee, found.snapshot) for found in self.one.tally.violations]


@asynccontextmanager
async def at_work(scratch: Path) -> AsyncIterator[Run]:
    one = OneRun(scratch)
    Client.hidden, Client.during_expire = set(), None
    Client.failing_listings = Client.failing_restores = 0
    Client.is_cut_off = False
    async with TrickedTarget(client=Client).serve(one.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=one.capabilities)
        run = Run(one, one.parts(writer, server.client(CLIENT), server), server)
        with acting_as(CLIENT):
            await server.add_clients([CLIENT])
            yield run
    one.ledger.close()


async def test_a_listing_is_held_to_what_was_there_before(scratch: Path) -> None:
    """A snapshot that is younger than the fault may be missing; an older one must be there."""
    async with at_work(scratch) as run:
        old = await run.snapshot()
        run.begin(Misleading)
        new = await run.snapshot()
        Client.hidden = {new}
        await run.engine.execute(ListSnapshots())
        assert run.broken == []
        Client.hidden = {old}
        await run.engine.execute(ListSnapshots())
        assert run.broken == [(Guarantee.ACKNOWLEDGED_STAYS_LISTED, old)]


async def test_a_deletion_may_not_show_yet(scratch: Path) -> None:
    """One from before the fault must."""
    async with at_work(scratch) as run:
        kept = [await run.snapshot() for _ in range(2)]
        listed = await run.parts.snapshotter.list_snapshots()
        await run.engine.execute(DeleteSnapshot(id=kept[0]))
        run.begin(Misleading)
        await run.engine.execute(DeleteSnapshot(id=kept[1]))

        async def show(self: MemoryClient) -> tuple[ListedSnapshot, ...]:
            return listed

        honest, Client.list_snapshots = Client.list_snapshots, show
        try:
            await run.engine.execute(ListSnapshots())
        finally:
            Client.list_snapshots = honest
        assert run.broken == [(Guarantee.DELETED_STAYS_GONE, kept[0])]


async def test_without_the_fault_nothing_may_be_missing(scratch: Path) -> None:
    async with at_work(scratch) as run:
        Client.hidden = {await run.snapshot()}
        await run.engine.execute(ListSnapshots())
        assert [guarantee for guarantee, _ in run.broken] == [Guarantee.ACKNOWLEDGED_STAYS_LISTED]


async def test_a_misleading_listing_settles_no_doubt(scratch: Path) -> None:
    """What is not shown may still be there."""
    async with at_work(scratch) as run:
        snapshot = await run.snapshot()
        (found,) = run.one.ledger.expectations(CLIENT, {State.LIVE})
        run.begin(Misleading)
        run.one.ledger.begin_operation(_doubted_deletion(run, found.operation))
        run.one.ledger.end_operation("doubt", outcome="unknown", reason="", seconds=0.0)
        Client.hidden = {snapshot}
        await run.engine.execute(ListSnapshots())
        assert len(run.one.ledger.expectations(CLIENT, {State.DELETION_IN_DOUBT})) == 1


async def test_judging_again_settles_no_doubt_by_a_misleading_listing(scratch: Path) -> None:
    """As the run did not."""
    async with at_work(scratch) as run:
        snapshot, ledger = await run.snapshot(), run.one.ledger
        (found,) = ledger.expectations(CLIENT, {State.LIVE})
        injury = run.begin(Misleading)
        ledger.begin_operation(_doubted_deletion(run, found.operation))
        ledger.end_operation("doubt", outcome="unknown", reason="", seconds=0.0)
        Client.hidden = {snapshot}
        await run.engine.execute(ListSnapshots())
        Client.hidden = set()
        run.heal(injury)
        with run.engine.steps.own(CLIENT, ListSnapshots()) as step:
            await run.parts.inspections.list(step, is_quiescent=True)
        await run.engine.execute(ListSnapshots())
        assert len(ledger.expectations(CLIENT, {State.LIVE})) == 1
        assert run.broken == []
        again = recheck(ledger, 1)
        assert again.violations == []
        assert again.notes == []


def _doubted_deletion(run: Run, operation: str) -> Any:
    from snapstorm.ledger.ledger import IntendedEffect, OperationIntent  # noqa: PLC0415

    effect = IntendedEffect({"deletes": [operation]}, deletes=[operation])
    return OperationIntent(
        operation="doubt", run=1, client=CLIENT, step=0, action="delete-snapshot", options="{}",
        began_seconds=0.0, effect=effect, is_own=True,
    )  # fmt: skip


async def test_retention_waits_until_all_is_shown(scratch: Path) -> None:
    """Where the fault begins meanwhile, it is in doubt what has gone, and a listing after the fault tells."""
    async with at_work(scratch) as run:
        for _ in range(3):
            await run.snapshot()
        Client.during_expire = lambda: run.begin(Misleading)
        outcome = await run.engine.execute(Expire(keep_latest=2))
        assert isinstance(outcome, Unknown)
        assert len(run.one.ledger.expectations(CLIENT, {State.DELETION_IN_DOUBT})) == 1
        assert isinstance(await run.engine.execute(Expire(keep_latest=1)), NoOp)
        assert run.broken == []
        assert run.one.tally.failed_under_faults == 1


async def test_the_latest_is_the_one_with_the_latest_date(scratch: Path) -> None:
    """Retention goes by dates. A clock that was ahead, and is right now, has dated an earlier snapshot later."""
    async with at_work(scratch) as run:
        client: Any = run.parts.snapshotter
        right, client._now_ns = client._now_ns, lambda who: right(who) + 60 * 10**9
        ahead = await run.snapshot()
        client._now_ns = right
        await run.snapshot()
        assert isinstance(await run.engine.execute(Expire(keep_latest=1)), Ok)
        await run.engine.execute(ListSnapshots())
        assert run.broken == []
        assert [found.snapshot for found in run.one.ledger.expectations(CLIENT, {State.LIVE})] == [ahead]


@pytest.mark.parametrize(
    ("kind", "safety", "is_tainted"),
    [
        (Misleading, "full", False),
        (Misleading, "none", True),
        (Lying, "full", True),
        (None, "none", False),
    ],
)
async def test_a_collection_taints_what_it_may_have_taken(
    kind: type[Fault] | None, safety: str, is_tainted: bool, scratch: Path
) -> None:
    async with at_work(scratch) as run:
        await run.snapshot()
        number = None if kind is None else run.begin(kind)
        action = RunGc.model_validate({"kind": "full", "safety": safety})
        assert isinstance(await run.engine.execute(action), Ok)
        (found,) = run.one.ledger.expectations(CLIENT, {State.LIVE})
        assert found.tainted_by == (number if is_tainted else None)


@pytest.mark.parametrize(
    ("is_past_caches", "has_healed", "is_judged"), [(True, True, True), (False, True, False), (True, False, False)]
)
async def test_a_tainted_snapshot_that_has_come_back_whole_must_do_so_again(
    is_past_caches: bool, has_healed: bool, is_judged: bool, scratch: Path
) -> None:
    """Until then a loss may be the fault's. A cache of its client could hide it, and storage that does not show what is
    there."""
    async with at_work(scratch) as run:
        await run.snapshot()
        injury = run.begin(Lying)
        await run.engine.execute(RunGc(kind="full", safety="full"))
        if has_healed:
            run.heal(injury)
        (found,) = run.one.ledger.expectations(CLIENT, {State.LIVE})
        assert found.tainted_by == injury
        restores, steps = run.parts.restores, run.engine.steps
        past_caches = run.server.client(CLIENT)
        with steps.own(CLIENT, RestoreSnapshot(id=found.snapshot or "")) as step:
            outcome = await restores.restore(step, found, through=past_caches if is_past_caches else None)
        assert isinstance(outcome, Ok)
        assert outcome.value.is_equal
        run.heal(injury)
        run.parts.weather.end_recovery()
        Client.failing_restores = 2
        await run.engine.execute(RestoreSnapshot(id=found.snapshot or ""))
        assert run.broken == ([(Guarantee.RESTORED_EXACTLY, found.snapshot)] if is_judged else [])
        assert run.one.tally.tainted_lost == (0 if is_judged else 1)


async def test_no_doubt_about_one_snapshot_hides_the_loss_of_another(scratch: Path) -> None:
    """Where a listing that was to settle the doubt fails, nothing is taken that retention would act upon."""
    async with at_work(scratch) as run:
        policy = KeepPolicy(latest=9)
        run.one.ledger.expiries.set_retention(Retention(policy=policy, ends_at_latest=True))
        kept = await run.snapshot()
        Client.is_cut_off = True
        assert isinstance(await run.engine.execute(SnapshotRoot()), Unknown)
        Client.is_cut_off, Client.failing_listings = False, 1
        assert isinstance(await run.engine.execute(SnapshotRoot()), NoOp)
        Client.hidden = {kept}
        await run.engine.execute(ListSnapshots())
        lost = [guarantee for guarantee, snapshot in run.broken if snapshot == kept]
        assert lost == [Guarantee.KEPT_AS_PROMISED]
        assert isinstance(await run.engine.execute(SnapshotRoot()), Ok)
