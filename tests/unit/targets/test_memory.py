"""The simulated target, honest: what it takes comes back, survives a kill, and stays its owner's."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.unit.gateway.asking import KEY

import snapstorm
from snapstorm.errors import AccessDenied, HarnessError, OperationFailed, OperationPartial, TestbedError
from snapstorm.filesystem.allowances import ACCESS, draw_xattr_value
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.gateway.app import Served
from snapstorm.gateway.storage import BUCKET
from snapstorm.model.location import S3Storage
from snapstorm.model.manifest import EntryType, path_as_text
from snapstorm.model.protocols import ClientSnapshotter, Mode, Target, TargetPlace
from snapstorm.model.tree_differences import DifferenceKind, differences
from snapstorm.runtime.aws import KEY_VARIABLES
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.memory.store import Store
from snapstorm.targets.memory.target import MemoryServer
from snapstorm.targets.registry import find_target

pytestmark = pytest.mark.anyio

OLD_NS = 1_000_000_000_123_456_789


class Secrets:
    """Passwords that are easy to tell apart."""

    def get(self, name: str) -> str:
        return f"secret of {name}"


@dataclass
class Bench:
    """A served target, and clients with a small tree each."""

    target: Target
    place: TargetPlace
    server: MemoryServer
    gateway: Served | None = None
    """What serves its storage, where it is behind the gateway."""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def client(self, name: str = "ada@storm") -> Client:
        await self.server.add_clients([name])
        data = self.place.directory / "work" / name
        if not data.exists():
            make_tree(data)
        return Client(self, name, self.server.client(name), data)

    def free_path(self) -> Path:
        """A path at which there is nothing yet."""
        return self.place.directory / "work" / f"restored-{next(self._numbers)}"


@dataclass
class Client:
    """A client of a bench."""

    bench: Bench
    name: str
    snapshotter: ClientSnapshotter
    data: Path

    async def snapshot(self) -> str:
        return (await self.snapshotter.create_snapshot(self.data, "some-operation")).id

    async def restored(self, snapshot: str, sub_path: bytes = b"") -> Tree:
        destination = self.bench.free_path()
        await self.snapshotter.restore_snapshot(snapshot, destination, sub_path)
        return tree_of(destination)

    async def listed(self) -> list[str]:
        return [entry.id for entry in await self.snapshotter.list_snapshots()]


@asynccontextmanager
async def open_bench(
    directory: Path,
    defect: str | None = None,
    mode: Mode = Mode.SERVER,
    *,
    is_new: bool = True,
    seconds_max: float = 60.0,
    parameters: Mapping[str, str] | None = None,
    gateway: Served | None = None,
) -> AsyncIterator[Bench]:
    target = find_target(f"memory:{defect}" if defect else "memory")(ProcessRunner("none"))
    place = TargetPlace("the-testbed", directory, Secrets(), mode, is_new, seconds_max, parameters=parameters or {})
    if gateway is not None:
        bucket = S3Storage(BUCKET, endpoint=gateway.endpoint)
        place = replace(place, named_storage=bucket, storage_secrets={KEY_VARIABLES[0]: KEY})
    async with target.serve(place) as server:
        assert isinstance(server, MemoryServer)
        yield Bench(target, place, server, gateway)


def make_tree(root: Path) -> None:
    """All kinds of entries, with odd names, modes, owners and times."""
    (root / "d" / "deep").mkdir(parents=True)
    (root / "empty directory").mkdir()
    (root / "empty").touch()
    (root / "d" / "file").write_bytes(b"first content of the file" * 20)
    (root / "d" / "twin").write_bytes(b"other content of the same" * 20)
    (root / "d" / "deep" / "copy").write_bytes(b"first content of the file" * 20)
    with (root / "sparse").open("wb") as file:
        file.seek(300_000)
        file.write(b"after the hole")
        file.truncate(8 * 65_536)  # Ends with a hole.
    (root / "link").symlink_to("d/file")
    (root / "d" / "dangling").symlink_to("/no/such/thing")
    for name in (b"new\nline", b"not \xff utf-8", " ünï·☃".encode(), b"x" * 255):
        (root / "d" / os.fsdecode(name)).write_bytes(name)
    (root / "d" / "file").chmod(0o4751)
    (root / "d" / "twin").chmod(0o400)
    with contextlib.suppress(OSError):
        os.setxattr(root / "d" / "file", b"user.colour", b"\x00blue")
        os.setxattr(root / "d", b"user.kind", b"directory")
    with contextlib.suppress(OSError):
        os.chown(root / "d" / "deep" / "copy", 1000, 1001)
        os.chown(root / "link", 1000, 1001, follow_symlinks=False)
    (root / "d" / "deep").chmod(0o1555)
    for number, path in enumerate((root / "d" / "file", root / "link", root / "d" / "deep", root / "d", root)):
        os.utime(path, ns=(OLD_NS + number, OLD_NS + number), follow_symlinks=False)


WHOLE = {"trees": "whole"}


def add_special_entries(root: Path) -> None:
    """What only whole trees keep, as far as this process may make it."""
    os.link(root / "d" / "file", root / "d" / "linked")
    os.link(root / "d" / "file", root / "also linked")
    os.mkfifo(root / "d" / "fifo", 0o640)
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    os.setxattr(root / "d" / "twin", "system.posix_acl_access", draw_xattr_value(ACCESS, random.Random(1)))
    if os.geteuid() == 0:
        os.mknod(root / "block device", stat.S_IFBLK | 0o600, os.makedev(250, 1_000_000))
        for name in (".", "d/twin", "d/fifo", "link"):
            os.setxattr(root / name, "trusted.t", name.encode(), follow_symlinks=False)
    os.utime(root, ns=(OLD_NS, OLD_NS))


@pytest.mark.parametrize("sub_path", [b"", b"d", b"d/deep", b"d/fifo"])
async def test_whole_trees_come_back_where_they_are_kept(scratch: Path, sub_path: bytes) -> None:
    """Hard links within what is restored, special files, sockets and attributes of the system survive."""
    async with open_bench(scratch, parameters=WHOLE) as bench:
        client = await bench.client()
        add_special_entries(client.data)
        expected = scan_tree(client.data)
        assert expected.has_hard_links
        snapshot = await client.snapshot()
        destination = bench.free_path()
        await client.snapshotter.restore_snapshot(snapshot, destination, sub_path)
        restored = scan_tree(destination)
        table = bench.target.capabilities_with(WHOLE)
        assert differences(expected.below(sub_path), restored, table) == []
        assert restored.has_hard_links == (sub_path in (b"", b"d"))


async def test_plain_trees_are_what_is_kept_by_default(scratch: Path) -> None:
    """Hard links come back as copies; special files and attributes of the system don't come back."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        add_special_entries(client.data)
        expected, destination = scan_tree(client.data), bench.free_path()
        await client.snapshotter.restore_snapshot(await client.snapshot(), destination)
        restored = scan_tree(destination)
        assert differences(expected, restored, bench.target.capabilities) == []
        assert not restored.has_hard_links
        assert {entry.type for entry in restored} == {EntryType.DIRECTORY, EntryType.FILE, EntryType.SYMLINK}
        kinds = {one.kind for one in differences(expected, restored, bench.target.capabilities_with(WHOLE))}
        assert kinds == {DifferenceKind.HARD_LINK, DifferenceKind.MISSING, DifferenceKind.XATTRS}


@dataclass(frozen=True)
class Seen:
    """What the operating system says of one entry."""

    type: int
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    content: bytes | None
    target: bytes | None
    xattrs: tuple[tuple[str, bytes], ...]


Tree = dict[bytes, Seen]


def tree_of(root: Path) -> Tree:
    """A whole tree by relative path; empty where there is nothing."""
    waiting, found = [b""], Tree()
    while waiting and os.path.lexists(root):
        path = waiting.pop()
        full = os.path.join(os.fsencode(root), path) if path else os.fsencode(root)
        found[path] = see(full)
        if stat.S_ISDIR(found[path].type):
            waiting.extend(os.path.join(path, name) for name in os.listdir(full))
    return found


def see(full: bytes) -> Seen:
    status = os.lstat(full)
    is_link = stat.S_ISLNK(status.st_mode)
    return Seen(
        type=stat.S_IFMT(status.st_mode),
        mode=stat.S_IMODE(status.st_mode),
        owner=(status.st_uid, status.st_gid),
        mtime_ns=status.st_mtime_ns,
        content=Path(os.fsdecode(full)).read_bytes() if stat.S_ISREG(status.st_mode) else None,
        target=os.readlink(full) if is_link else None,
        xattrs=() if is_link else tuple((name, os.getxattr(full, name)) for name in sorted(os.listxattr(full))),
    )


@pytest.mark.parametrize("mode", Mode)
async def test_whole_tree_comes_back_exactly(scratch: Path, mode: Mode) -> None:
    """Types, names, modes, owners, times, contents, links and attributes survive, also when the source has gone on."""
    async with open_bench(scratch, mode=mode) as bench:
        client = await bench.client()
        expected = tree_of(client.data)
        snapshot = await client.snapshot()
        (client.data / "d" / "file").write_bytes(b"later")
        assert await client.restored(snapshot) == expected


async def test_holes_come_back_as_holes(scratch: Path) -> None:
    """A sparse file takes no more room than it took."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        destination = bench.free_path()
        await client.snapshotter.restore_snapshot(await client.snapshot(), destination)
        assert (destination / "sparse").stat().st_blocks * 512 < 300_000


@pytest.mark.parametrize("sub_path", [b"d", b"d/deep", b"d/not \xff utf-8", b"link", b"empty directory"])
async def test_part_of_a_snapshot_comes_back_exactly(scratch: Path, sub_path: bytes) -> None:
    """Anything below the root can be restored as a tree of its own, whatever its name."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        restored = await client.restored(await client.snapshot(), sub_path)
        assert restored == tree_of(client.data / os.fsdecode(sub_path))


async def test_directory_below_can_be_a_source(scratch: Path) -> None:
    """A snapshot of a sub-path is a source of its own: it is listed as such, and retention tells them apart."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        whole = [await client.snapshot() for _ in range(3)]
        below = client.data / "d"
        receipt = await client.snapshotter.create_snapshot(below, "below")
        assert (receipt.files, receipt.directories) == (7, 2)
        await client.snapshotter.expire_snapshots(client.data, 1)
        entries = {entry.id: entry for entry in await client.snapshotter.list_snapshots()}
        assert set(entries) == {whole[-1], receipt.id}
        assert entries[receipt.id].source == path_as_text(below)
        assert (entries[receipt.id].testbed, entries[receipt.id].operation) == ("the-testbed", "below")
        assert await client.restored(receipt.id) == tree_of(below)


async def test_fifo_is_left_out(scratch: Path) -> None:
    """What the capabilities exclude is not opened, which would hang, and not restored."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        os.mkfifo(client.data / "fifo")
        assert b"fifo" not in await client.restored(await client.snapshot())


async def test_state_outlives_the_server(scratch: Path) -> None:
    """Served again on the same place, everything is there: id, clients, snapshots in order, contents."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        expected = tree_of(client.data)
        snapshots = [await client.snapshot() for _ in range(12)]
        repository_id = bench.server.repository_id
        await client.snapshotter.delete_snapshot(snapshots.pop(3))
    async with open_bench(scratch, is_new=False) as bench:
        assert bench.server.repository_id == repository_id
        snapshotter = bench.server.client(client.name)
        await snapshotter.connect()
        again = replace(client, bench=bench, snapshotter=snapshotter)
        assert await again.listed() == snapshots
        assert await again.restored(snapshots[0]) == expected


KILLED = """
import anyio, sys
from pathlib import Path
from tests.unit.targets.test_memory import open_bench

async def main():
    async with open_bench(Path(sys.argv[1])) as bench:
        client = await bench.client()
        while True:
            (client.data / "counter").write_text(snapshot := await client.snapshot())
            print(snapshot, flush=True)

anyio.run(main)
"""


def test_kill_loses_nothing_that_was_acknowledged(scratch: Path) -> None:
    """Killed in the midst of its work, it has every snapshot whose id was told, and each can be restored."""
    roots = (Path(snapstorm.__file__).parents[1], Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))}
    argv = [sys.executable, "-c", KILLED, str(scratch)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        told = [line.strip() for line in itertools.islice(process.stdout, 20)]
        process.kill()
        told += [line.strip() for line in process.stdout if line.endswith("\n")]

    async def check() -> None:
        async with open_bench(scratch, is_new=False) as bench:
            client = await bench.client()
            assert len(told) >= 20
            assert (await client.listed())[: len(told)] == told
            for before, snapshot in itertools.pairwise(told):
                assert (await client.restored(snapshot))[b"counter"].content == before.encode()

    anyio.run(check)


async def test_unfinished_files_of_a_killed_run_are_cleared_away(scratch: Path) -> None:
    """What a death in the midst of writing leaves is no snapshot, and goes."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        snapshot = await client.snapshot()
    repository = bench.place.repository
    leftover = repository / "blobs" / "abc.tmp"
    leftover.write_bytes(b"half")
    async with open_bench(scratch, is_new=False) as bench:
        assert await (await bench.client()).listed() == [snapshot]
        await bench.server.collect_garbage()
        assert not leftover.exists()


async def test_repository_of_an_older_snapstorm_goes_on(scratch: Path) -> None:
    """It has not stored when its snapshots were taken; they are listed as ever, and new ones with their times."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        await client.snapshot()
        path = bench.place.repository / "snapshots.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE snapshots DROP COLUMN particulars")
    async with open_bench(scratch, is_new=False) as bench:
        client = await bench.client()
        receipt = await client.snapshotter.create_snapshot(client.data, "new")
        old, new = await client.snapshotter.list_snapshots()
        assert (old.particulars, new.particulars) == (None, receipt.particulars)
        assert receipt.began_us is not None


async def test_repository_is_neither_made_twice_nor_missed(scratch: Path) -> None:
    """A new one does not overwrite an old one, and where none is, none is found."""
    async with open_bench(scratch):
        pass
    with pytest.raises(HarnessError, match="not empty"):
        async with open_bench(scratch):
            pass
    with pytest.raises(TestbedError):
        async with open_bench(scratch / "elsewhere", is_new=False):
            pass


async def test_clients_reach_their_own_snapshots_only(scratch: Path) -> None:
    """Another's snapshot is not listed, restored, deleted or expired, even by its id or source."""
    async with open_bench(scratch) as bench:
        ada, bob = await bench.client("ada@storm"), await bench.client("bob@storm")
        snapshots = [await ada.snapshot(), await ada.snapshot()]
        assert await bob.listed() == []
        with pytest.raises(OperationFailed):
            await bob.restored(snapshots[0])
        with pytest.raises(OperationFailed):
            await bob.snapshotter.delete_snapshot(snapshots[0])
        await bob.snapshotter.expire_snapshots(ada.data, 1)
        assert await ada.listed() == snapshots


async def refused(client: Client, snapshot: str) -> None:
    """Assert that each operation is refused."""
    snapshotter = client.snapshotter
    operations = {
        "connect": snapshotter.connect,
        "create": client.snapshot,
        "restore": lambda: client.restored(snapshot),
        "list": client.listed,
        "delete": lambda: snapshotter.delete_snapshot(snapshot),
        "expire": lambda: snapshotter.expire_snapshots(client.data, 1),
        "verify": snapshotter.verify_snapshots,
    }
    let_through = []
    for name, operation in operations.items():
        with contextlib.suppress(AccessDenied):
            await operation()
            let_through.append(name)
    assert let_through == []


async def test_removed_client_is_refused_everything(scratch: Path) -> None:
    """Also where it was connected already, and after a restart; added again, it finds its snapshots."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        await client.snapshotter.connect()
        snapshot = await client.snapshot()
        await bench.server.remove_client(client.name)
        await refused(client, snapshot)
    async with open_bench(scratch, is_new=False) as bench:
        await refused(replace(client, bench=bench, snapshotter=bench.server.client(client.name)), snapshot)
        assert await (await bench.client()).listed() == [snapshot]


async def test_impostor_is_refused_everything(scratch: Path) -> None:
    """A wrong password gets in nowhere, and changes nothing for the real client."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        snapshot = await client.snapshot()
        await refused(replace(client, snapshotter=bench.server.impostor(client.name)), snapshot)
        assert await client.listed() == [snapshot]


async def test_direct_mode_knows_no_permissions(scratch: Path) -> None:
    """Without a server there is nobody to refuse anyone."""
    async with open_bench(scratch, mode=Mode.DIRECT) as bench:
        assert not bench.server.authenticates
        await bench.server.client("nobody@added").connect()


def blobs_of(bench: Bench) -> set[Path]:
    return set((bench.place.repository / "blobs").iterdir())


@pytest.mark.parametrize("ruin", [Path.unlink, lambda blob: blob.write_bytes(b"x"), Path.touch])
async def test_damage_in_the_store_never_comes_with_success(scratch: Path, ruin) -> None:
    """A lost or changed blob makes the check complain and the restore fail; an untouched one does neither."""
    is_damage = ruin is not Path.touch
    async with open_bench(scratch) as bench:
        client = await bench.client()
        snapshot = await client.snapshot()
        ruin(max(blobs_of(bench), key=lambda blob: blob.stat().st_size))
        with pytest.raises(OperationPartial) if is_damage else contextlib.nullcontext():
            await client.snapshotter.verify_snapshots()
        with pytest.raises(OperationFailed) if is_damage else contextlib.nullcontext():
            await client.restored(snapshot)


async def test_collection_takes_what_is_unused_and_nothing_else(scratch: Path) -> None:
    """Blobs of a deleted snapshot go, those that another one shares stay."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        doomed = await client.snapshot()
        (client.data / "d" / "twin").unlink()
        expected, live = tree_of(client.data), await client.snapshot()
        before = blobs_of(bench)
        await client.snapshotter.delete_snapshot(doomed)
        assert blobs_of(bench) == before
        of_others = next(iter(before)).with_name(".of-others")
        of_others.touch()
        await bench.server.collect_garbage()
        assert of_others.exists()
        assert len(before - blobs_of(bench)) == 1
        assert await client.restored(live) == expected


async def test_quick_collection_takes_unfinished_files_only(scratch: Path) -> None:
    """What a deleted snapshot has left waits for a full collection; what a killed process was writing does not."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        await client.snapshotter.delete_snapshot(await client.snapshot())
        before = blobs_of(bench)
        unfinished = next(iter(before)).with_name("unfinished.tmp")
        unfinished.touch()
        await bench.server.collect_garbage(is_full=False)
        assert blobs_of(bench) == before
        await bench.server.collect_garbage()
        assert blobs_of(bench) == set()


def test_unsafe_collection_takes_what_is_being_written(scratch: Path) -> None:
    """Without safety a pin shields nothing, as in a real backup system."""
    store = Store(scratch / "repository", is_new=True)
    with store.pinned() as pins:
        digest = store.add_blob(b"being written", pins)
        store.collect(is_safe=False)
    with pytest.raises(OperationFailed):
        store.blob(digest)
    store.close()


async def test_collections_amid_creations_take_nothing_from_them(scratch: Path) -> None:
    """Snapshots during whose taking garbage was collected again and again, with blobs in common, are whole."""
    async with open_bench(scratch) as bench:
        clients = [await bench.client(f"client-{number}@storm") for number in range(3)]
        snapshots: dict[str, str] = {}
        collections = 0

        async def create(client: Client) -> None:
            for number in range(100):
                (client.data / f"file-{number}").write_text(f"{number} of {client.name if number % 2 else 'all'}")
            snapshots[client.name] = await client.snapshot()

        async with anyio.create_task_group() as group:
            for client in clients:
                group.start_soon(create, client)
            while len(snapshots) < len(clients):
                await bench.server.collect_garbage()
                collections += 1
                await anyio.lowlevel.checkpoint()
        assert collections > 3, "nothing was collected while snapshots were taken"
        for client in clients:
            assert await client.restored(snapshots[client.name]) == tree_of(client.data)


def test_blob_stays_pinned_while_one_of_its_creations_goes_on(scratch: Path) -> None:
    """Of two snapshots being taken with the same content, the end of one does not free it for collection."""
    store = Store(scratch / "repository", is_new=True)
    with store.pinned() as pins:
        with store.pinned() as other_pins:
            digest = store.add_blob(b"shared", other_pins)
            assert store.add_blob(b"shared", pins) == digest
        store.collect()
        assert store.blob(digest) == b"shared"
    store.collect()
    with pytest.raises(OperationFailed):
        store.blob(digest)


async def test_creation_that_was_cut_off_leaves_nothing(scratch: Path) -> None:
    """A cancelled creation is not listed, and what it has stored is collected."""
    async with open_bench(scratch) as bench:
        client = await bench.client()
        for number in range(100):  # So many that reading them takes some turns.
            (client.data / f"file-{number}").touch()
        async with anyio.create_task_group() as group:
            group.start_soon(client.snapshot)
            while not blobs_of(bench):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert await client.listed() == []
        await bench.server.collect_garbage()
        assert blobs_of(bench) == set()
