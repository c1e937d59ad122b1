"""What every target promises the engine, the simulated one and the real Kopia alike."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.contract.bench import NEEDS_BORG, SERVED, Bench, Client, bench_id, open_bench, tree_of

from snapstorm.errors import AccessDenied, OperationFailed, TargetError
from snapstorm.model.protocols import Mode

pytestmark = pytest.mark.anyio

ODD_NAMES = [" sp ace ", "-dash", "new\nline", "ünï·☃", "@at", "a:b@c", "back\\slash", "'\"$*?", "x" * 255]


def write_tree(root: Path) -> None:
    """A small tree with what real ones have."""
    (root / "d" / "deep" / "deeper").mkdir(parents=True)
    (root / "empty directory").mkdir()
    (root / "empty").touch()
    (root / "d" / "file").write_bytes(os.urandom(100_000))
    (root / "d" / "deep" / "deeper" / "zeros").write_bytes(bytes(70_000))
    (root / "link").symlink_to("d/file")
    (root / "d" / "dangling").symlink_to("/no/such/thing")
    for name in ODD_NAMES:
        (root / "d" / name).write_text(name)
    (root / "d" / "file").chmod(0o4751)
    (root / "d" / "deep").chmod(0o1777)
    os.utime(root / "d" / "file", ns=(1_234_567_890_123_456_789, 1_234_567_890_123_456_789))


async def test_restored_tree_is_the_tree_that_was_snapshotted(client: Client) -> None:
    """Round trip: names, types, permissions, content and times come back, though the tree has changed since."""
    write_tree(client.data)
    expected = tree_of(client.data)
    snapshot, _ = await client.snapshot()
    (client.data / "d" / "file").unlink()
    restored = client.free_path()
    await client.snapshotter.restore_snapshot(snapshot, restored)
    assert tree_of(restored) == expected


async def test_receipt_says_what_was_taken(client: Client) -> None:
    """The counts that a target reports are those of the tree."""
    write_tree(client.data)
    receipt = await client.snapshotter.create_snapshot(client.data, "counted")
    assert receipt.files in (None, 3 + len(ODD_NAMES))
    assert receipt.directories in (None, 5)
    assert receipt.size_bytes is None or receipt.size_bytes >= 170_000


async def test_second_snapshot_of_an_unchanged_tree_restores_the_same(client: Client) -> None:
    """What is taken over from the snapshot before is taken over whole."""
    write_tree(client.data)
    expected = tree_of(client.data)
    await client.snapshot()
    (client.data / "new").write_text("new")
    expected["new"] = tree_of(client.data)["new"]
    snapshot, _ = await client.snapshot()
    restored = client.free_path()
    await client.snapshotter.restore_snapshot(snapshot, restored)
    assert tree_of(restored) == expected


async def test_listing_shows_who_took_what_and_for_which_operation(bench: Bench, client: Client) -> None:
    """The tags come back, so that a creation that was cut off can be found by its operation."""
    snapshot, operation = await client.snapshot()
    (entry,) = [entry for entry in await client.snapshotter.list_snapshots() if entry.id == snapshot]
    assert (entry.client, entry.source) == (client.name, str(client.data))
    assert (entry.testbed, entry.operation, entry.incomplete) == (bench.place.testbed, operation, None)


async def test_deleted_snapshot_is_gone(client: Client) -> None:
    """After a deletion it is listed no more and can't be restored; the other one is untouched."""
    (client.data / "file").write_text("one")
    first, _ = await client.snapshot()
    second, _ = await client.snapshot()
    await client.snapshotter.delete_snapshot(first)
    assert await client.listed() == {second}
    with pytest.raises(OperationFailed):
        await client.snapshotter.restore_snapshot(first, client.free_path())


async def test_unknown_snapshot_can_not_be_restored(client: Client) -> None:
    """That there is no such snapshot is a failure, and no question of rights."""
    with pytest.raises(OperationFailed) as caught:
        await client.snapshotter.restore_snapshot("deadbeef" * 4, client.free_path())
    assert not isinstance(caught.value, AccessDenied)


async def test_part_of_a_snapshot_can_be_restored(client: Client) -> None:
    """A directory, a file or a link below the root, whatever its name, is restored as a tree of its own."""
    write_tree(client.data)
    snapshot, _ = await client.snapshot()
    plain = ["d", "d/deep/deeper", "d/file", "d/dangling", "empty directory"]
    for sub_path in (*plain, *(f"d/{name}" for name in ODD_NAMES)):
        restored = client.free_path()
        await client.snapshotter.restore_snapshot(snapshot, restored, os.fsencode(sub_path))
        assert tree_of(restored) == tree_of(client.data / sub_path), sub_path


async def test_part_that_is_not_there_can_not_be_restored(client: Client) -> None:
    """A path that the snapshot does not hold is a failure, not an empty tree."""
    snapshot, _ = await client.snapshot()
    with pytest.raises(OperationFailed):
        await client.snapshotter.restore_snapshot(snapshot, client.free_path(), b"no/such/entry")


async def test_expiry_leaves_exactly_the_latest(client: Client) -> None:
    """All but the latest of that source go, nothing of another source, and nothing at the next snapshot."""
    part = client.data / "part"
    part.mkdir()
    of_root = [(await client.snapshot())[0] for _ in range(4)]
    of_part = [(await client.snapshot(part))[0] for _ in range(2)]
    await client.snapshotter.expire_snapshots(client.data, 2)
    assert await client.listed() == {*of_root[-2:], *of_part}
    later = [(await client.snapshot())[0] for _ in range(2)]
    assert await client.listed() == {*of_root[-2:], *of_part, *later}


async def test_garbage_collection_keeps_live_snapshots(bench: Bench, client: Client) -> None:
    """Collecting what deleted snapshots have left takes nothing from those that live."""
    write_tree(client.data)
    expected = tree_of(client.data)
    doomed, _ = await client.snapshot()
    (client.data / "more").write_bytes(os.urandom(50_000))
    live, _ = await client.snapshot()
    expected["more"] = tree_of(client.data)["more"]
    await client.snapshotter.delete_snapshot(doomed)
    await bench.server.collect_garbage()
    assert await client.listed() == {live}
    restored = client.free_path()
    await client.snapshotter.restore_snapshot(live, restored)
    assert tree_of(restored) == expected


@pytest.mark.parametrize(
    ("is_full", "is_safe"),
    [
        (False, True),
        (True, False),
        pytest.param(True, True, marks=pytest.mark.long),  # As `test_garbage_collection_keeps_live_snapshots`.
        pytest.param(False, False, marks=pytest.mark.long),
    ],
)
async def test_each_kind_of_collection_keeps_live_snapshots(
    bench: Bench, client: Client, *, is_full: bool, is_safe: bool
) -> None:
    """Quick or full, safe or, while nobody is at work, not: what lives is whole, and the next snapshot, too."""
    write_tree(client.data)
    doomed, _ = await client.snapshot()
    (client.data / "more").write_bytes(os.urandom(50_000))
    kept = [(await client.snapshot())[0]]
    await client.snapshotter.delete_snapshot(doomed)
    for _ in range(2):
        await bench.server.collect_garbage(is_full=is_full, is_safe=is_safe)
        kept.append((await client.snapshot())[0])
    assert await client.listed() == set(kept)
    for snapshot in kept:
        restored = client.free_path()
        await client.snapshotter.restore_snapshot(snapshot, restored)
        assert tree_of(restored) == tree_of(client.data)


async def test_own_check_finds_nothing_wrong(client: Client) -> None:
    """The target's own check is content with what it has just taken."""
    write_tree(client.data)
    await client.snapshot()
    await client.snapshotter.verify_snapshots()


async def test_known_clients_can_be_added_again(bench: Bench, client: Client) -> None:
    """Clients of earlier runs are added again so that their snapshots can be swept; they keep their password."""
    snapshot, _ = await client.snapshot()
    await bench.server.add_clients([client.name])
    assert snapshot in await client.listed()


async def test_forgotten_caches_are_not_missed(bench: Bench, client: Client) -> None:
    """Without what server and client had cached, everything still comes from the repository."""
    write_tree(client.data)
    snapshot, _ = await client.snapshot()
    await bench.server.forget_caches([client.name])
    restored = client.free_path()
    await client.snapshotter.restore_snapshot(snapshot, restored)
    assert tree_of(restored) == tree_of(client.data)


async def test_clients_see_their_own_snapshots_only(bench: Bench, client: Client) -> None:
    """Where a target keeps clients apart, one can neither list nor delete another's snapshots."""
    if not bench.server.isolates_clients:
        return
    other = await bench.client()
    snapshot, _ = await client.snapshot()
    assert await other.snapshotter.list_snapshots() == ()
    with pytest.raises(TargetError):
        await other.snapshotter.delete_snapshot(snapshot)
    assert await client.listed() == {snapshot}


async def test_removed_client_is_refused(bench: Bench) -> None:
    """A client that was removed gets in no more, with the connection it has or a new one; added again, it does."""
    if not bench.server.authenticates:
        return
    client = await bench.client()
    snapshot, _ = await client.snapshot()
    await bench.server.remove_client(client.name)
    with pytest.raises(AccessDenied):
        await client.snapshotter.list_snapshots()
    with pytest.raises(AccessDenied):
        await client.snapshotter.restore_snapshot(snapshot, client.free_path())
    with pytest.raises(AccessDenied):
        await client.snapshotter.connect()
    await bench.server.add_clients([client.name])
    await client.snapshotter.connect()
    assert await client.listed() == {snapshot}


@pytest.mark.parametrize("name", ["memory", "kopia", "restic", pytest.param("borg", marks=NEEDS_BORG)])
async def test_a_client_that_was_foreseen_is_like_any_other(scratch: Path, name: str) -> None:
    """It may be added before anybody asks for it; but once it is removed, it is refused until it is added again."""
    foreseen = ["ahead@storm"]
    async with open_bench(name, scratch, clients_ahead=foreseen) as bench:
        for _ in range(2):
            await bench.server.add_clients(foreseen)
            for client in foreseen:
                snapshotter = bench.server.client(client)
                await snapshotter.connect()
                assert await snapshotter.list_snapshots() == ()
            for client in foreseen:
                await bench.server.remove_client(client)
                with pytest.raises(AccessDenied):
                    await bench.server.client(client).list_snapshots()


async def test_impostor_is_refused(bench: Bench, client: Client) -> None:
    """A wrong password gets in nowhere, and does not disturb the real client."""
    if not bench.server.authenticates:
        return
    impostor = bench.server.impostor(client.name)
    with pytest.raises(AccessDenied):
        await impostor.connect()
    await impostor.disconnect()
    await client.snapshot()


@pytest.mark.parametrize("served", SERVED, ids=bench_id)
async def test_testbed_that_is_served_again_is_the_same(served: tuple[str, Mode], scratch: Path) -> None:
    """A second run finds the repository, the clients with their passwords, and the snapshots of the first."""
    name, mode = served
    async with open_bench(name, scratch, mode) as bench:
        client = await bench.client()
        write_tree(client.data)
        expected = tree_of(client.data)
        snapshot, _ = await client.snapshot()
        repository_id = bench.server.repository_id
    async with open_bench(name, scratch, mode, is_new=False) as bench:
        assert bench.server.repository_id == repository_id
        await bench.server.add_clients([client.name])
        again = Client(client.name, bench.server.client(client.name), client.directory)
        await again.snapshotter.connect()
        assert await again.listed() == {snapshot}
        restored = again.free_path()
        await again.snapshotter.restore_snapshot(snapshot, restored)
        assert tree_of(restored) == expected
