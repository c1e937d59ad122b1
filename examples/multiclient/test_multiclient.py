"""The tests of Kopia's multi-client robustness suite, written with snapstorm.

Each test gets a server, a repository and clients of its own from the fixture `harness`. What the clients do stands in
`flow`; when it has ended, every live snapshot is restored and compared once more.

    pytest examples/multiclient                        small sizes and two clients, half a minute
    pytest examples/multiclient --original-sizes       what Kopia's own suite writes
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from snapstorm import (
    Client,
    DeleteFiles,
    DeleteRandomSnapshot,
    DeleteRandomSubdirectory,
    FileAction,
    Harness,
    ListSnapshots,
    ModifyFiles,
    RestoreRandomSnapshot,
    RestoreSnapshot,
    RunGc,
    Scenario,
    SnapshotRoot,
    Span,
    WriteRandomFiles,
)


@dataclass(frozen=True)
class Sizes:
    """How much the tests write."""

    clients: int
    small_files: int
    large_file_bytes: int
    tree_writes: int
    random_seconds: float
    random_file_bytes_max: int


SMALL = Sizes(
    clients=2,
    small_files=200,
    large_file_bytes=4 << 20,
    tree_writes=8,
    random_seconds=3,
    random_file_bytes_max=1 << 20,
)
ORIGINAL = Sizes(
    clients=4,
    small_files=10_000,
    large_file_bytes=40 << 20,
    tree_writes=100,
    random_seconds=300,
    random_file_bytes_max=64 << 20,
)


@pytest.fixture
def sizes(request: pytest.FixtureRequest) -> Sizes:
    """Small by default; what Kopia's own suite writes with --original-sizes."""
    return ORIGINAL if request.config.getoption("--original-sizes") else SMALL


async def write_snapshot_restore(client: Client, write: FileAction, *, times: int = 1) -> None:
    """Change what is there, write, snapshot, and restore what was snapshotted."""
    await client.execute(DeleteRandomSubdirectory())
    await client.execute(DeleteFiles(percent=50))
    for _ in range(times):
        await client.execute(write)
    snapshot = await client.execute(SnapshotRoot())
    await client.execute(RestoreSnapshot(id=snapshot.id))


async def test_many_small_files(harness: Harness, sizes: Sizes) -> None:
    """Clients write many files of 4 KiB each into one directory."""
    write = WriteRandomFiles(count=sizes.small_files, size_bytes=4096, depth=1, odd_percent=0)
    await harness.run_clients(sizes.clients, lambda client: write_snapshot_restore(client, write))


async def test_one_large_file(harness: Harness, sizes: Sizes) -> None:
    """Clients write one large file each."""
    write = WriteRandomFiles(count=1, size_bytes=sizes.large_file_bytes, depth=1, odd_percent=0)
    await harness.run_clients(sizes.clients, lambda client: write_snapshot_restore(client, write))


async def test_many_small_files_across_directory_tree(harness: Harness, sizes: Sizes) -> None:
    """Clients write files of 4 KiB, ten at a time, over a tree that is up to 15 deep."""
    write = WriteRandomFiles(count=10, size_bytes=4096, depth=Span(low=0, high=15), odd_percent=0)
    await harness.run_clients(
        sizes.clients, lambda client: write_snapshot_restore(client, write, times=sizes.tree_writes)
    )


async def test_randomized(harness: Harness, sizes: Sizes) -> None:
    """Clients do random actions, with the weights of Kopia's own suite."""
    scenario = Scenario.model_validate(
        {
            "name": "randomized",
            "clients": sizes.clients,
            "duration": sizes.random_seconds,
            "weights": {
                "snapshot-root": 2,
                "restore-random-snapshot": 2,
                "delete-random-snapshot": 1,
                "write-random-files": 2,
                "delete-random-subdirectory": 1,
                "delete-files": 1,
            },
            "options": {
                "write-random-files": {"count": "1..100", "size_bytes": f"0..{sizes.random_file_bytes_max}"},
            },
        }
    )
    await harness.run_scenario(scenario)


async def test_maintenance(harness: Harness, sizes: Sizes) -> None:
    """Garbage is collected directly on the repository while clients snapshot, delete and restore."""

    async def flow(client: Client) -> None:
        for _ in range(2):
            await client.execute(WriteRandomFiles(count=20))
            await client.execute(SnapshotRoot())
        await client.execute(DeleteRandomSnapshot())
        await client.execute(RunGc())
        await client.execute(RestoreRandomSnapshot())

    await harness.run_clients(sizes.clients, flow)


async def test_delete_random_snapshot(harness: Harness) -> None:
    """A deleted snapshot is gone, and the ones beside it restore as before."""

    async def flow(client: Client) -> None:
        await client.execute(WriteRandomFiles(count=10))
        await client.execute(SnapshotRoot())
        await client.execute(ModifyFiles(count=5))
        await client.execute(SnapshotRoot())
        await client.execute(DeleteRandomSnapshot())
        assert len(await client.execute(ListSnapshots())) == 1
        await client.execute(RestoreRandomSnapshot())

    await harness.run_clients(1, flow)
