"""The engine drives one plain writer and snapshotter as it drives the multi-client pair."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.actions.multiclient import MultiClientFileWriter, MultiClientSnapshotter
from snapstorm.errors import HarnessError
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import DeleteSnapshot, RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import Mode
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.targets.memory import MemoryTarget
from snapstorm.testbed.identity import acting_as


@pytest.mark.anyio
async def test_the_standard_test_needs_no_multi_client_parts(scratch: Path) -> None:
    """One plain FileWriter and one plain Snapshotter, directly on a repository: write, snapshot, restore, delete."""
    run = OneRun(scratch)
    async with MemoryTarget().serve(run.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        engine = run.parts(writer, server.client(CLIENT), server).engine
        with acting_as(CLIENT):
            await engine.execute(WriteRandomFiles(count=5))
            taken = await engine.execute(SnapshotRoot())
            assert isinstance(taken, Ok)
            restored = await engine.execute(RestoreSnapshot(id=taken.value.id))
            assert isinstance(restored, Ok)
            assert restored.value.is_equal
            assert isinstance(await engine.execute(DeleteSnapshot(id=taken.value.id)), Ok)
            assert isinstance(await engine.execute(RestoreSnapshot(id=taken.value.id)), NoOp)
    run.ledger.close()
    assert run.tally.restores_verified == 1
    assert run.tally.violations == []


@pytest.mark.anyio
async def test_outside_a_clients_block_the_pair_is_a_clear_error(scratch: Path) -> None:
    """Using the multi-client pair with no client acting says what to do."""
    run = OneRun(scratch, Mode.SERVER)
    async with MemoryTarget().serve(run.place) as server:

        async def make(client: str) -> TreeFileWriter:
            return TreeFileWriter(data_directory=scratch / client / "data", capabilities=run.capabilities)

        writer, snapshotter = MultiClientFileWriter(make), MultiClientSnapshotter(server)
        await writer.add_client(CLIENT)
        await snapshotter.add_clients([CLIENT])
        engine = run.parts(writer, snapshotter, server).engine
        with pytest.raises(HarnessError, match="no client is acting"):
            await engine.execute(SnapshotRoot())
        with acting_as(CLIENT):
            assert isinstance(await engine.execute(SnapshotRoot()), Ok)
        with acting_as("client-9@snapstorm"), pytest.raises(HarnessError, match="not added"):
            await engine.execute(SnapshotRoot())
    run.ledger.close()


@pytest.mark.anyio
async def test_each_client_has_a_tree_and_draws_of_its_own(scratch: Path) -> None:
    """Two clients that do the same get different bytes, and a client's draws do not depend on the other's steps."""
    trees = []
    for order in (["a@s", "b@s"], ["b@s", "a@s"]):
        place = scratch / order[0]
        place.mkdir()
        run = OneRun(place, Mode.SERVER)
        async with MemoryTarget().serve(run.place) as server:

            async def make(client: str, place: Path = place, run: OneRun = run) -> TreeFileWriter:
                return TreeFileWriter(data_directory=place / client / "data", capabilities=run.capabilities)

            writer, snapshotter = MultiClientFileWriter(make), MultiClientSnapshotter(server)
            await snapshotter.add_clients(order)
            for client in order:
                await writer.add_client(client)
            engine = run.parts(writer, snapshotter, server).engine
            found = {}
            for client in order:
                with acting_as(client):
                    await engine.execute(WriteRandomFiles(count=8, odd_percent=0))
                    found[client] = {entry.path: entry.digest for entry in (await writer.scan()).entries}
        run.ledger.close()
        trees.append(found)
    assert trees[0] == trees[1]
    assert trees[0]["a@s"] != trees[0]["b@s"]


@pytest.mark.anyio
async def test_the_engine_of_a_harness_is_there_for_scripts(scratch: Path) -> None:
    """As `docs/writing-tests.md` says: it performs an action for the client that acts."""
    async with open_harness(HarnessOptions(testbed=scratch / "bed", target="memory")) as harness:
        (client,) = await harness.connect_clients(1)
        with pytest.raises(HarnessError, match="no client is acting"):
            await harness.engine.execute(WriteRandomFiles())
        with acting_as(client.name):
            assert isinstance(await harness.engine.execute(WriteRandomFiles()), Ok)
