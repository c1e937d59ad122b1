"""The simulated target behind the gateway: it tries again, believes nothing, and leaves nothing lying about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.gateway.asking import CLOCKS, KEY
from tests.unit.targets.test_memory import open_bench, tree_of

from snapstorm.errors import OperationFailed, OperationPartial
from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.rules import Operation, Rule, RuleEffect

pytestmark = pytest.mark.anyio
PUT, GET, DELETE = (frozenset({one}) for one in (Operation.PUT, Operation.GET, Operation.DELETE))


@pytest.fixture
def gateway(scratch: Path) -> Iterator[Served]:
    with serving(scratch / "gateway", CLOCKS) as served:
        served.admit("target", KEY)
        yield served


def objects_in(gateway: Served) -> int:
    return gateway.ask(lambda storage: len(storage.bucket))


async def test_trees_come_back_from_the_bucket(scratch: Path, gateway: Served) -> None:
    """Also once the target was started again."""
    async with open_bench(scratch, gateway=gateway) as bench:
        client = await bench.client()
        snapshot, expected = await client.snapshot(), tree_of(client.data)
        assert objects_in(gateway) > 0
        assert await bench.server.storage_bytes() == gateway.ask(lambda storage: storage.bucket.bytes_total)
        assert bench.place.named_storage is not None
    async with open_bench(scratch, is_new=False, gateway=gateway) as bench:
        client = await bench.client()
        assert await client.restored(snapshot) == expected
        await client.snapshotter.verify_snapshots()


@pytest.mark.parametrize(
    "effect", [RuleEffect.ERROR, RuleEffect.DROP, RuleEffect.LOST_ANSWER, RuleEffect.TORN, RuleEffect.DOUBLED]
)
async def test_what_fails_once_is_tried_again(effect: RuleEffect, scratch: Path, gateway: Served) -> None:
    async with open_bench(scratch, gateway=gateway) as bench:
        client = await bench.client()
        with gateway.misbehaving(Rule(effect, PUT, every=2)):
            snapshot = await client.snapshot()
        operations = GET if effect is not RuleEffect.DOUBLED else DELETE
        with gateway.misbehaving(Rule(effect, operations, every=2)):
            assert await client.restored(snapshot) == tree_of(client.data)


@pytest.mark.parametrize("effect", [RuleEffect.ERROR, RuleEffect.DROP])
async def test_what_is_refused_for_long_fails(effect: RuleEffect, scratch: Path, gateway: Served) -> None:
    """And nothing is listed that is not there; what the failure has left is collected."""
    async with open_bench(scratch, gateway=gateway) as bench:
        client = await bench.client()
        kept = await client.snapshot()
        (client.data / "new").write_bytes(b"new")
        (client.data / "more").write_bytes(b"more")
        with gateway.misbehaving(Rule(effect, PUT)), pytest.raises(OperationFailed, match="refuses PUT"):
            await client.snapshot()
        assert await client.listed() == [kept]
        with gateway.misbehaving(Rule(RuleEffect.LOST_ANSWER, PUT)), pytest.raises(OperationFailed):
            await client.snapshot()
        held = objects_in(gateway)
        await bench.server.collect_garbage()
        assert objects_in(gateway) < held
        await client.snapshotter.verify_snapshots()


async def test_what_is_deleted_is_collected(scratch: Path, gateway: Served) -> None:
    async with open_bench(scratch, gateway=gateway) as bench:
        client = await bench.client()
        await client.snapshotter.delete_snapshot(await client.snapshot())
        await bench.server.collect_garbage()
        assert objects_in(gateway) == 0
        assert await bench.server.storage_bytes() == 0


@pytest.mark.parametrize("effect", [RuleEffect.NOT_STORED, RuleEffect.HALF_STORED, RuleEffect.FLIPPED])
async def test_a_lie_is_noticed(effect: RuleEffect, scratch: Path, gateway: Served) -> None:
    """By a restore, and by the check; both name the blob."""
    async with open_bench(scratch, gateway=gateway) as bench:
        client = await bench.client()
        with gateway.misbehaving(Rule(effect, PUT)):
            snapshot = await client.snapshot()
        with pytest.raises(OperationFailed, match="is not there|is damaged") as failed:
            await client.restored(snapshot)
        assert failed.value.blobs
        with pytest.raises(OperationPartial):
            await client.snapshotter.verify_snapshots()


async def test_a_late_deletion_takes_nothing_that_came_since(scratch: Path, gateway: Served) -> None:
    """Each object has a name of its own."""
    async with open_bench(scratch, gateway=gateway) as bench:
        client = await bench.client()
        await client.snapshotter.delete_snapshot(await client.snapshot())
        with gateway.misbehaving(Rule(RuleEffect.LATE, DELETE, every=2, seconds=0.3)):
            await bench.server.collect_garbage()
            snapshot = await client.snapshot()
        assert await client.restored(snapshot) == tree_of(client.data)
