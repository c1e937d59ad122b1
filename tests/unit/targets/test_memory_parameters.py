"""The simulated target as other backup systems are: each parameter does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.unit.targets.test_memory import Bench, Client, open_bench, tree_of

from snapstorm.errors import AccessDenied, OperationFailed, OperationPartial, OperationTimedOut, RepositoryLocked
from snapstorm.model.abilities import ChecksWholeRepository
from snapstorm.model.protocols import Mode

pytestmark = pytest.mark.anyio
ADA, BOB = "ada@storm", "bob@storm"


def largest_blob(bench: Bench) -> Path:
    return max((bench.place.repository / "blobs").iterdir(), key=lambda blob: blob.stat().st_size)


@pytest.mark.parametrize("mode", Mode)
async def test_clients_of_a_shared_repository_reach_everything(mode: Mode, scratch: Path) -> None:
    """They list, restore and delete what others have taken; with a server, passwords count all the same."""
    async with open_bench(scratch, mode=mode, parameters={"clients": "shared"}) as bench:
        ada, bob = await bench.client(ADA), await bench.client(BOB)
        first, second = await ada.snapshot(), await bob.snapshot()
        assert await ada.listed() == await bob.listed() == [first, second]
        assert await bob.restored(first) == tree_of(ada.data)
        await bob.snapshotter.delete_snapshot(first)
        assert await ada.listed() == [second]
        await ada.snapshotter.expire_snapshots(bob.data, 1)
        await bob.snapshot()
        await ada.snapshotter.expire_snapshots(bob.data, 1)
        assert len(await ada.listed()) == 2, "retention is of a client's own snapshots"
        assert bench.server.authenticates == (mode is Mode.SERVER)
        assert not bench.server.isolates_clients
        if mode is Mode.SERVER:
            with pytest.raises(AccessDenied):
                await bench.server.impostor(ADA).connect()


async def test_an_open_repository_asks_for_no_password(scratch: Path) -> None:
    """Nor whether it knows the client."""
    async with open_bench(scratch, parameters={"clients": "open"}) as bench:
        ada = await bench.client(ADA)
        snapshot = await ada.snapshot()
        await bench.server.remove_client(ADA)
        for anybody in (bench.server.impostor(ADA), bench.server.client("nobody@added")):
            await anybody.connect()
            assert [entry.id for entry in await anybody.list_snapshots()] == [snapshot]
        assert not any((bench.server.authenticates, bench.server.isolates_clients, bench.server.manages_users))


@pytest.mark.parametrize("check", ["own", "whole"])
async def test_a_check_may_be_of_everybodys_snapshots(check: str, scratch: Path) -> None:
    """Who asks for it has lost nothing."""
    async with open_bench(scratch, parameters={"check": check}) as bench:
        ada, bob = await bench.client(ADA), await bench.client(BOB)
        (bob.data / "of bob").write_bytes(b"so large that it is the largest" * 100_000)
        await ada.snapshot()
        await bob.snapshot()
        largest_blob(bench).unlink()
        server: Any = bench.server
        assert isinstance(server, ChecksWholeRepository)
        assert server.checks_whole_repository == (check == "whole")
        if check == "whole":
            with pytest.raises(OperationPartial):
                await ada.snapshotter.verify_snapshots()
        else:
            await ada.snapshotter.verify_snapshots()


@pytest.mark.parametrize("damage", ["named", "unnamed"])
async def test_an_error_may_name_no_blob(damage: str, scratch: Path) -> None:
    """Then it is about one of those that the snapshot needs, in a restore and in a check."""
    async with open_bench(scratch, parameters={"damage": damage}) as bench:
        client = await bench.client()
        snapshot = await client.snapshot()
        lost = largest_blob(bench)
        (client.data / "later").write_bytes(b"in no snapshot that is restored")
        await client.snapshot()
        lost.unlink()
        with pytest.raises(OperationFailed) as failed:
            await client.restored(snapshot)
        with pytest.raises(OperationPartial) as partial:
            await client.snapshotter.verify_snapshots()
        for error in (failed.value, partial.value):
            assert lost.name in error.blobs
            assert (lost.name in str(error)) == (damage == "named")
        others = {path.name for path in largest_blob(bench).parent.iterdir()}
        concerned = [name for name in others if name in failed.value.blobs]
        assert len(concerned) == (0 if damage == "named" else len(others) - 1)


async def test_listings_may_tell_less_than_receipts(scratch: Path) -> None:
    """When, and not how much."""
    async with open_bench(scratch, parameters={"listings": "bare"}) as bench:
        client = await bench.client()
        receipt = await client.snapshotter.create_snapshot(client.data, "o")
        (listed,) = await client.snapshotter.list_snapshots()
        assert listed.particulars is not None
        assert receipt.files
        assert listed.particulars[:2] == (receipt.began_us, receipt.ended_us)
        assert set(listed.particulars[2:]) == {None}


async def create_beside(client: Client, other: Client) -> tuple[int, Exception | None]:
    """How many creations of the other client ended while one of this client went on, and why one was refused."""
    for number in range(200):
        (client.data / f"file-{number}").touch()  # So many that reading them takes some turns.
    count, why, is_over = 0, None, False

    async def create() -> None:
        nonlocal is_over
        await client.snapshot()
        is_over = True

    async with anyio.create_task_group() as group:
        group.start_soon(create)
        await anyio.lowlevel.checkpoint()
        try:
            await other.snapshot()
            count += not is_over
        except RepositoryLocked as error:
            why = error
    return count, why


@pytest.mark.parametrize("locks", ["none", "wait", "refuse"])
async def test_operations_may_exclude_each_other(locks: str, scratch: Path) -> None:
    """Then the second waits, or is refused, and goes on once the first has ended."""
    async with open_bench(scratch, parameters={"locks": locks}) as bench:
        ada, bob = await bench.client(ADA), await bench.client(BOB)
        count, why = await create_beside(ada, bob)
        assert count == (locks == "none")
        assert (why is not None) == (locks == "refuse")
        await bob.snapshot()
        await bench.server.collect_garbage()


async def test_who_waits_too_long_for_a_lock_gives_up(scratch: Path) -> None:
    """As any operation that is ended when its time is up."""
    async with open_bench(scratch, parameters={"locks": "wait"}, seconds_max=0.05) as bench:
        client, server = await bench.client(), bench.server
        async with server.lock.held():
            with pytest.raises(OperationTimedOut):
                await client.snapshot()
        await client.snapshot()
