"""Each planted defect does what its sentence says, at the protocols, and nothing else.

`CHECKS` holds one check for each; a defect without one fails. The same checks must fail on the honest target, or they
would show nothing.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import anyio
import pytest
from tests.unit.gateway.asking import CLOCKS, KEY
from tests.unit.targets.test_memory import WHOLE, Bench, Client, Seen, Tree, add_special_entries, open_bench, tree_of

from snapstorm.defects import all_defects
from snapstorm.errors import (
    AccessDenied,
    ConfigError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    TargetError,
)
from snapstorm.faults.catalogue import FAULTS
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.rules import Operation, Rule, RuleEffect
from snapstorm.guarantees.panel import known_guarantees
from snapstorm.model.action_results import ListedSnapshot, Particulars
from snapstorm.model.retention import US_PER_DAY, KeepPolicy, Retention, kept_by
from snapstorm.model.tree_differences import DifferenceKind, differences
from snapstorm.targets.memory.planted import MEMORY_DEFECTS
from snapstorm.targets.registry import find_target

pytestmark = pytest.mark.anyio

SECONDS_MAX = 0.05
NEW_YEAR_2026 = (date(2026, 1, 1) - date(1970, 1, 1)).days

Check = Callable[[Bench], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def shows(name: str) -> Callable[[Check], Check]:
    """Register the check of a defect."""

    def register(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return register


def parameters_for(defect: str) -> dict[str, str]:
    """In which mode of the target it shows."""
    return WHOLE if MEMORY_DEFECTS[defect].needs_whole_trees else {}


@contextmanager
def gateway_for(defect: str, directory: Path) -> Iterator[Served | None]:
    """What serves the storage, where it shows only behind the gateway."""
    if not MEMORY_DEFECTS[defect].is_behind_gateway:
        yield None
        return
    with serving(directory / "gateway", CLOCKS) as gateway:
        gateway.admit("target", KEY)
        yield gateway


@asynccontextmanager
async def bench_for(defect: str, directory: Path, planted: str | None) -> AsyncIterator[Bench]:
    """Where this defect can show, with a target in which this one is planted."""
    with gateway_for(defect, directory) as gateway:
        parameters = parameters_for(defect)
        async with open_bench(
            directory, planted, seconds_max=SECONDS_MAX, parameters=parameters, gateway=gateway
        ) as bench:
            yield bench


@pytest.mark.parametrize("defect", sorted(MEMORY_DEFECTS))
async def test_defect_does_what_its_sentence_says(scratch: Path, defect: str) -> None:
    """Its effect is seen within a few operations, always at the same ones."""
    async with bench_for(defect, scratch, defect) as bench:
        await CHECKS[defect](bench)


@pytest.mark.parametrize("defect", sorted(MEMORY_DEFECTS))
async def test_honest_target_shows_no_defect(scratch: Path, defect: str) -> None:
    """The check of each defect tells the honest target from the defective one."""
    async with bench_for(defect, scratch, None) as bench:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await CHECKS[defect](bench)


def test_checks_are_of_known_defects() -> None:
    """No check outlives its defect."""
    assert set(CHECKS) - set(MEMORY_DEFECTS) <= {"restore-changes-an-owner", "restore-changes-a-device-number"}


@pytest.mark.parametrize("name", sorted(MEMORY_DEFECTS))
def test_each_defect_says_what_it_is(name: str) -> None:
    """In one sentence of one line. Where only a fault shows it, that is one that there is."""
    defect = MEMORY_DEFECTS[name]
    assert defect.sentence.endswith(".")
    assert "\n" not in defect.sentence
    assert (defect.work is None) == (defect.fault in FAULTS)
    assert defect.guarantee in known_guarantees()


def test_unknown_defect_is_refused_with_the_nearest_names() -> None:
    """A slip of the keyboard is answered with what was meant."""
    with pytest.raises(ConfigError, match="did you mean restore-flips-a-byte"):
        find_target("memory:restore-flip-a-byte")


def test_defect_that_needs_root_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root the owner defect is not offered, and asking for it is answered with the reason."""
    monkeypatch.delitem(all_defects.DEFECTS, "restore-changes-an-owner", raising=False)
    with pytest.raises(ConfigError, match="needs root"):
        find_target("memory:restore-changes-an-owner")


# Restores: every second one is damaged.

ALL_BELOW_THE_ROOT = "all below the root"

DAMAGE: dict[str, list[set[str]]] = {
    "restore-flips-a-byte": [{"content"}],
    "restore-truncates-a-file": [{"content", "size"}],
    "restore-appends-a-byte": [{"content", "size"}],
    "restore-zeroes-the-tail": [{"content"}],
    "restore-loses-an-entry": [{"missing"}],
    "restore-adds-an-entry": [{"extra"}],
    "restore-renames-a-file": [{"missing"}, {"extra"}],
    "restore-changes-a-mode": [{"mode"}],
    "restore-changes-an-owner": [{"owner"}],
    "restore-changes-an-mtime": [{"mtime_ns"}],
    "restore-swaps-two-files": [{"content"}, {"content"}],
    "restore-follows-a-symlink": [{"type"}],
    "restore-changes-a-symlink-target": [{"target"}],
    "restore-loses-an-empty-directory": [{"missing"}],
    "restore-gives-a-stale-version": [{"content"}],
}
"""For each entry that is damaged, in which properties."""


def changes(expected: Tree, actual: Tree) -> dict[bytes, set[str]]:
    """In what each entry differs."""
    found = {path: {"missing"} for path in expected.keys() - actual.keys()}
    found |= {path: {"extra"} for path in actual.keys() - expected.keys()}
    for path in expected.keys() & actual.keys():
        if expected[path] != actual[path]:
            found[path] = properties_changed(expected[path], actual[path])
    return found


def properties_changed(expected: Seen, actual: Seen) -> set[str]:
    if expected.type != actual.type:
        return {"type"}
    changed = {name for name in Seen.__annotations__ if getattr(expected, name) != getattr(actual, name)}
    return changed | ({"size"} if len(expected.content or b"") != len(actual.content or b"") else set())


async def two_versions(client: Client) -> tuple[tuple[str, Tree], tuple[str, Tree]]:
    """Snapshots of the tree before and after a file was changed in place, with what each must be."""
    older = await client.snapshot(), tree_of(client.data)
    file = client.data / "d" / "file"
    file.write_bytes(file.read_bytes().replace(b"first", b"newer"))
    return older, (await client.snapshot(), tree_of(client.data))


async def restored_again_and_again(client: Client, snapshot: str) -> list[Tree]:
    return [await client.restored(snapshot) for _ in range(4)]


async def check_damage(bench: Bench, *, damage: list[set[str]]) -> None:
    client = await bench.client()
    _, (snapshot, expected) = await two_versions(client)
    restores = [changes(expected, restored) for restored in await restored_again_and_again(client, snapshot)]
    assert [list(found.values()) for found in restores] == [[], damage, [], damage]


CHECKS |= {name: functools.partial(check_damage, damage=damage) for name, damage in DAMAGE.items()}


DAMAGE_OF_WHOLE_TREES: dict[str, set[DifferenceKind]] = {
    "restore-copies-hard-links": {DifferenceKind.HARD_LINK},
    "restore-joins-two-files": {DifferenceKind.HARD_LINK, DifferenceKind.MTIME, DifferenceKind.SIZE},
    "restore-changes-a-device-number": {DifferenceKind.DEVICE_NUMBER},
    "restore-makes-a-fifo-a-file": {DifferenceKind.TYPE},
    "restore-loses-a-system-attribute": {DifferenceKind.XATTRS},
}
"""In what every second restored tree differs."""


async def check_damage_of_whole_trees(bench: Bench, *, kinds: set[DifferenceKind]) -> None:
    client = await bench.client()
    add_special_entries(client.data)
    expected, snapshot = scan_tree(client.data), await client.snapshot()
    found: list[set[DifferenceKind]] = []
    for _ in range(4):
        destination = bench.free_path()
        await client.snapshotter.restore_snapshot(snapshot, destination)
        restored = scan_tree(destination)
        found.append({one.kind for one in differences(expected, restored, bench.target.capabilities_with(WHOLE))})
    assert found == [set(), kinds, set(), kinds]


CHECKS |= {
    name: functools.partial(check_damage_of_whole_trees, kinds=kinds) for name, kinds in DAMAGE_OF_WHOLE_TREES.items()
}


@shows("restore-gives-another-snapshot")
async def check_another_snapshot(bench: Bench) -> None:
    client = await bench.client()
    (_, other), (snapshot, expected) = await two_versions(client)
    assert await restored_again_and_again(client, snapshot) == [expected, other, expected, other]


@shows("restore-gives-nothing")
async def check_nothing(bench: Bench) -> None:
    client = await bench.client()
    snapshot, expected = await client.snapshot(), tree_of(client.data)
    empty = {b"": expected[b""]}
    assert await restored_again_and_again(client, snapshot) == [expected, empty, expected, empty]


@shows("restore-makes-no-destination")
async def check_no_destination(bench: Bench) -> None:
    client = await bench.client()
    snapshot, expected = await client.snapshot(), tree_of(client.data)
    assert await restored_again_and_again(client, snapshot) == [expected, {}, expected, {}]


@shows("restore-leaves-a-file-beside")
async def check_files_beside(bench: Bench) -> None:
    client = await bench.client()
    snapshot, expected = await client.snapshot(), tree_of(client.data)
    for number, left in enumerate(([], [".restore-journal"], [])):
        destination = client.data.parent / f"restore-{number}" / "tree"
        destination.parent.mkdir()
        await client.snapshotter.restore_snapshot(snapshot, destination)
        assert tree_of(destination) == expected
        assert [path.name for path in destination.parent.iterdir() if path != destination] == left


async def test_stale_version_is_one_of_the_same_path(scratch: Path) -> None:
    """When a part is restored, a file of the same name elsewhere in the tree is no older version."""
    async with open_bench(scratch, "restore-gives-a-stale-version") as bench:
        client = await bench.client()
        (client.data / "twin").write_text("not the twin in d")
        await client.snapshot()
        snapshot, expected = await client.snapshot(), tree_of(client.data / "d")
        assert [await client.restored(snapshot, b"d") for _ in range(4)] == [expected] * 4


async def test_another_snapshot_is_one_that_differs(scratch: Path) -> None:
    """An empty snapshot, or one equal to the part that is restored, is not given in its place."""
    async with open_bench(scratch, "restore-gives-another-snapshot") as bench:
        client = await bench.client()
        part = client.data / "d"
        for source in (part, client.data / "empty directory"):
            await client.snapshotter.create_snapshot(source, "another")
        snapshot, expected = await client.snapshot(), tree_of(part)
        assert [await client.restored(snapshot, b"d") for _ in range(4)] == [expected] * 4
        assert await restored_again_and_again(client, snapshot) == [tree_of(client.data), expected] * 2


async def test_damage_waits_for_something_to_damage(scratch: Path) -> None:
    """A restore without a link is no opportunity for a defect of links, and does not count as one."""
    async with open_bench(scratch, "restore-changes-a-symlink-target") as bench:
        client = await bench.client()
        snapshot, expected = await client.snapshot(), tree_of(client.data)
        for damaged in (False, True):
            for _ in range(3):
                assert await client.restored(snapshot, b"d/deep") == tree_of(client.data / "d" / "deep")
            assert (await client.restored(snapshot) != expected) is damaged


# Operations that fail or hang: every second one.


async def run_operation(bench: Bench, operation: str) -> None:
    client = await bench.client()
    kept = bench.place.directory / "kept"
    operations: dict[str, Callable[[], Awaitable[object]]] = {
        "create": client.snapshot,
        "list": client.listed,
        "expire": lambda: client.snapshotter.expire_snapshots(client.data, 2),
        "verify": client.snapshotter.verify_snapshots,
        "gc": bench.server.collect_garbage,
        "restore": lambda: client.restored(kept.read_text()),
        "delete": lambda: client.snapshotter.delete_snapshot(kept.read_text()),
    }
    if operation in ("restore", "delete"):
        kept.write_text(await client.snapshot())
    await operations[operation]()


async def check_failing(bench: Bench, *, operation: str, error: type[TargetError]) -> None:
    for _ in range(2):
        await run_operation(bench, operation)
        with pytest.raises(error) as caught:
            await run_operation(bench, operation)
        assert type(caught.value) is error


FAILING: dict[str, tuple[str, type[TargetError]]] = {
    "restore-fails": ("restore", OperationFailed),
    "create-fails": ("create", OperationUnknown),
    "delete-fails": ("delete", OperationUnknown),
    "gc-fails": ("gc", OperationFailed),
    "list-fails": ("list", OperationFailed),
    "expire-fails": ("expire", OperationFailed),
    "verify-complains-about-good-data": ("verify", OperationPartial),
    "restore-hangs": ("restore", OperationTimedOut),
    "create-hangs": ("create", OperationTimedOut),
    "gc-hangs": ("gc", OperationTimedOut),
}

CHECKS |= {
    name: functools.partial(check_failing, operation=operation, error=error)
    for name, (operation, error) in FAILING.items()
}


async def test_hanging_operation_can_be_cancelled(scratch: Path) -> None:
    """It ends at once when its caller gives up, long before its own time is up."""
    async with open_bench(scratch, "gc-hangs", seconds_max=600) as bench:
        await bench.server.collect_garbage()
        with anyio.move_on_after(0.02) as scope:
            await bench.server.collect_garbage()
        assert scope.cancelled_caught


# Creations.


@shows("create-acknowledged-but-lost")
async def check_lost(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(3)]
    assert await client.listed() == snapshots[:2]
    with pytest.raises(OperationFailed):
        await client.restored(snapshots[2])


async def check_skipped(bench: Bench, *, lies: bool) -> None:
    client = await bench.client()
    expected = tree_of(client.data)
    honest, skipping = [await client.snapshotter.create_snapshot(client.data, name) for name in ("one", "two")]
    assert await client.restored(honest.id) == expected
    assert list(changes(expected, await client.restored(skipping.id)).values()) == [{"missing"}]
    assert honest.files is not None
    assert skipping.files == (honest.files if lies else honest.files - 1)


CHECKS["create-skips-a-file"] = functools.partial(check_skipped, lies=False)
CHECKS["create-skips-a-file-and-lies"] = functools.partial(check_skipped, lies=True)


@shows("create-gives-a-wrong-id")
async def check_wrong_id(bench: Bench) -> None:
    client = await bench.client()
    told = [await client.snapshot() for _ in range(3)]
    assert told[2] == told[0]
    assert len(await client.listed()) == 3


@shows("create-stores-stale-content")
async def check_stale_content(bench: Bench) -> None:
    client = await bench.client()
    _, (snapshot, expected) = await two_versions(client)
    assert changes(expected, await client.restored(snapshot)) == {b"d/file": {"content"}}


@shows("create-acknowledges-and-does-nothing")
async def check_never_taken(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(3)]
    assert await client.listed() == snapshots[:2]
    assert len(set(snapshots)) == 3


@shows("create-counts-one-too-many")
async def check_counts_too_many(bench: Bench) -> None:
    ((receipt, listed),) = await told_twice(await bench.client(), 1)
    assert listed is not None
    assert receipt == listed._replace(files=(listed.files or 0) + 1)


@shows("create-takes-two")
async def check_takes_two(bench: Bench) -> None:
    client = await bench.client()
    snapshots = {await client.snapshot() for _ in range(2)}
    entries = await client.snapshotter.list_snapshots()
    assert len(entries) == 3
    assert snapshots < {entry.id for entry in entries}
    assert {entry.operation for entry in entries} == {"some-operation"}


@shows("create-takes-two-for-another")
async def check_takes_two_for_another(bench: Bench) -> None:
    client = await bench.client()
    snapshots = {await client.snapshot() for _ in range(2)}
    for _ in range(2):
        entries = await client.snapshotter.list_snapshots()
        others = [entry for entry in entries if entry.id not in snapshots]
        assert [(entry.testbed, entry.operation) for entry in others] == [("another", None)]


@shows("create-loses-tags")
async def check_loses_tags(bench: Bench) -> None:
    client = await bench.client()
    for _ in range(2):
        await client.snapshot()
    for _ in range(2):
        entries = await client.snapshotter.list_snapshots()
        assert [(entry.testbed, entry.operation) for entry in entries] == [
            ("the-testbed", "some-operation"),
            (None, None),
        ]


@shows("create-fails-though-done")
async def check_fails_though_done(bench: Bench) -> None:
    client = await bench.client()
    await client.snapshot()
    with pytest.raises(OperationUnknown):
        await client.snapshot()
    assert len(await client.listed()) == 2


# Deletions, retention, collections.


@shows("delete-takes-another-instead")
async def check_delete_takes_another_instead(bench: Bench) -> None:
    client, bystander = await bench.client(), await bench.client("bob@storm")
    kept, snapshots = await bystander.snapshot(), [await client.snapshot() for _ in range(3)]
    await client.snapshotter.delete_snapshot(snapshots[1])
    assert await client.listed() == snapshots[1:]
    assert await bystander.listed() == [kept]


@shows("delete-fails-though-done")
async def check_delete_fails_though_done(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(2)]
    with pytest.raises(OperationUnknown):
        await client.snapshotter.delete_snapshot(snapshots[0])
    assert await client.listed() == snapshots[1:]


@shows("expire-does-nothing")
async def check_expire_does_nothing(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(4)]
    await client.snapshotter.expire_snapshots(client.data, 2)
    assert await client.listed() == snapshots


@shows("delete-is-ignored")
async def check_delete_ignored(bench: Bench) -> None:
    client = await bench.client()
    snapshot = await client.snapshot()
    await client.snapshotter.delete_snapshot(snapshot)
    assert await client.listed() == [snapshot]


@shows("delete-takes-another-too")
async def check_delete_takes_another(bench: Bench) -> None:
    client, bystander = await bench.client(), await bench.client("bob@storm")
    kept, snapshots = await bystander.snapshot(), [await client.snapshot() for _ in range(3)]
    await client.snapshotter.delete_snapshot(snapshots[1])
    assert await client.listed() == snapshots[2:]
    assert await bystander.listed() == [kept]


@shows("delete-comes-back")
async def check_delete_comes_back(bench: Bench) -> None:
    client = await bench.client()
    expected, snapshot = tree_of(client.data), await client.snapshot()
    await client.snapshotter.delete_snapshot(snapshot)
    assert [await client.listed() for _ in range(4)] == [[], [], [], [snapshot]]
    await client.snapshotter.delete_snapshot(snapshot)
    assert await client.listed() == []
    await bench.server.collect_garbage()
    assert await client.listed() == [snapshot]
    assert await client.restored(snapshot) == expected


@shows("expire-takes-one-too-many")
async def check_expire_too_many(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(4)]
    await client.snapshotter.expire_snapshots(client.data, 2)
    assert await client.listed() == snapshots[3:]


@shows("expire-keeps-one-too-many")
async def check_expire_too_few(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(4)]
    await client.snapshotter.expire_snapshots(client.data, 2)
    assert await client.listed() == snapshots[1:]


@shows("gc-drops-a-live-snapshot")
async def check_gc_drops_snapshot(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(2)]
    await bench.server.collect_garbage()
    assert await client.listed() == snapshots[:1]


@shows("collection-frees-nothing")
async def check_collection_frees_nothing(bench: Bench) -> None:
    client = await bench.client()
    (client.data / "large").write_bytes(bytes(100_001))
    await client.snapshotter.delete_snapshot(await client.snapshot())
    await bench.server.collect_garbage()
    held_bytes = await bench.server.storage_bytes()
    assert held_bytes is not None
    assert held_bytes > 100_000


@shows("gc-drops-content")
async def check_gc_drops_content(bench: Bench) -> None:
    client = await bench.client()
    snapshot = await client.snapshot()
    await bench.server.collect_garbage()
    assert await client.listed() == [snapshot]
    with pytest.raises(OperationFailed):
        await client.restored(snapshot)
    with pytest.raises(OperationPartial):
        await client.snapshotter.verify_snapshots()


# Listings, permissions, restarts.


@shows("list-omits-a-snapshot")
async def check_list_omits(bench: Bench) -> None:
    client = await bench.client()
    expected, snapshots = tree_of(client.data), [await client.snapshot() for _ in range(2)]
    assert await client.listed() == snapshots[:1]
    assert await client.restored(snapshots[1]) == expected


@shows("list-is-empty")
async def check_list_empty(bench: Bench) -> None:
    client = await bench.client()
    expected, snapshot = tree_of(client.data), await client.snapshot()
    assert await client.listed() == []
    assert await client.restored(snapshot) == expected


async def listed_twice(bench: Bench) -> tuple[list[str], tuple[ListedSnapshot, ...]]:
    """Two snapshots, and how they are listed."""
    client = await bench.client()
    return [await client.snapshot() for _ in range(2)], await client.snapshotter.list_snapshots()


@shows("list-shows-duplicates")
async def check_list_duplicates(bench: Bench) -> None:
    (first, second), entries = await listed_twice(bench)
    assert [entry.id for entry in entries] == [first, second, second]


@shows("list-changes-an-id")
async def check_list_changes_id(bench: Bench) -> None:
    snapshots, entries = await listed_twice(bench)
    assert [entry.id in snapshots for entry in entries] == [True, False]


@shows("list-moves-a-snapshot")
async def check_list_moves(bench: Bench) -> None:
    _, (first, second) = await listed_twice(bench)
    assert second.source == f"{first.source}/elsewhere"


@shows("list-calls-it-incomplete")
async def check_list_incomplete(bench: Bench) -> None:
    _, (first, second) = await listed_twice(bench)
    assert first.incomplete is None
    assert second.incomplete == "checkpoint"


@shows("list-shows-a-ghost")
async def check_list_ghost(bench: Bench) -> None:
    client = await bench.client()
    snapshot = await client.snapshot()
    entries = await client.snapshotter.list_snapshots()
    assert len(entries) == 2
    first, ghost = entries
    assert first.id == snapshot != ghost.id
    assert (ghost.client, ghost.testbed) == (first.client, first.testbed)
    assert ghost.operation != first.operation


@shows("list-shows-others")
async def check_list_others(bench: Bench) -> None:
    ada, bob = await bench.client(), await bench.client("bob@storm")
    snapshots = [await ada.snapshot(), await bob.snapshot()]
    assert await ada.listed() == snapshots
    with pytest.raises(OperationFailed):
        await ada.restored(snapshots[1])


async def told_twice(client: Client, snapshots: int) -> list[tuple[Particulars, Particulars | None]]:
    """What receipts and the listing after them tell of each snapshot."""
    receipts = [await client.snapshotter.create_snapshot(client.data, f"o{number}") for number in range(snapshots)]
    listed = await client.snapshotter.list_snapshots()
    return [(receipt.particulars, entry.particulars) for receipt, entry in zip(receipts, listed, strict=True)]


@shows("create-misdates")
async def check_create_misdates(bench: Bench) -> None:
    told = await told_twice(await bench.client(), 3)
    years = [round((receipt.began_us or 0) / 31_556_952e6) + 1970 for receipt, _ in told]
    assert years[2] == 2001 < years[0]
    assert all(receipt == listed for receipt, listed in told)


@shows("list-misdates-a-snapshot")
async def check_list_misdates(bench: Bench) -> None:
    (first, first_listed), (last, last_listed) = await told_twice(await bench.client(), 2)
    assert first_listed == first
    assert last_listed == last._replace(began_us=(last.began_us or 0) - 3_600_000_000)


@shows("list-miscounts-a-snapshot")
async def check_list_miscounts(bench: Bench) -> None:
    (first, first_listed), (last, last_listed) = await told_twice(await bench.client(), 2)
    assert first_listed == first
    assert last_listed == last._replace(files=(last.files or 0) + 1)


@shows("create-miscounts-links")
async def check_create_miscounts_links(bench: Bench) -> None:
    ((receipt, listed),) = await told_twice(await bench.client(), 1)
    assert listed is not None
    assert listed.symlinks
    assert receipt == listed._replace(symlinks=0)


@shows("list-says-that-it-left-something-out")
async def check_list_leaves_out(bench: Bench) -> None:
    client = await bench.client()
    for number in range(2):
        receipt = await client.snapshotter.create_snapshot(client.data, f"o{number}")
        assert not receipt.excluded_entries
    listed = await client.snapshotter.list_snapshots()
    assert [entry.excluded_entries for entry in listed] == [0, 1]


@shows("create-rewrites-a-file")
async def check_create_rewrites(bench: Bench) -> None:
    client = await bench.client()
    before = tree_of(client.data)
    await client.snapshot()
    assert tree_of(client.data) == before
    await client.snapshot()
    assert list(changes(before, tree_of(client.data)).values()) == [{"content"}]


@shows("create-leaves-a-file")
async def check_create_litters(bench: Bench) -> None:
    client = await bench.client()
    before = tree_of(client.data)
    await client.snapshot()
    assert tree_of(client.data) == before
    await client.snapshot()
    assert {"extra"} in changes(before, tree_of(client.data)).values()


@shows("restore-overwrites-the-source")
async def check_restore_overwrites(bench: Bench) -> None:
    client = await bench.client()
    snapshot, before = await client.snapshot(), tree_of(client.data)
    assert await client.restored(snapshot) == before
    assert tree_of(client.data) == before
    assert await client.restored(snapshot) == before
    changed = list(changes(before, tree_of(client.data)).values())
    assert len(changed) == 1
    assert "content" in changed[0]


@shows("restore-leaves-a-file-beside")
async def check_restore_litters(bench: Bench) -> None:
    client = await bench.client()
    snapshot, expected = await client.snapshot(), tree_of(client.data)
    for places in (1, 3):  # The second restore leaves something beside its own tree.
        assert await client.restored(snapshot) == expected
        assert len(list((bench.place.directory / "work").glob("*"))) == places + 1


@shows("removed-client-still-let-in")
async def check_removed_let_in(bench: Bench) -> None:
    client = await bench.client()
    with pytest.raises(AccessDenied):
        await bench.server.impostor(client.name).connect()
    await bench.server.remove_client(client.name)
    await let_in(client)


@shows("wrong-password-accepted")
async def check_wrong_password(bench: Bench) -> None:
    client = await bench.client()
    await let_in(Client(bench, client.name, bench.server.impostor(client.name), client.data))
    await bench.server.remove_client(client.name)
    with pytest.raises(AccessDenied):
        await client.snapshotter.connect()


@shows("removal-shuts-others-out")
async def check_removal_shuts_others_out(bench: Bench) -> None:
    client, bystander = await bench.client(), await bench.client("bob@storm")
    await bench.server.remove_client(client.name)
    for one in (client, bystander):
        with pytest.raises(AccessDenied):
            await one.snapshotter.connect()


async def let_in(client: Client) -> None:
    try:
        await client.snapshotter.connect()
        await client.snapshot()
    except AccessDenied as error:
        pytest.fail(str(error))


@shows("restart-forgets-a-snapshot")
async def check_restart_forgets(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(2)]
    description = bench.target.description
    defect = description.notes[0].partition(": ")[2] if description.notes else None
    async with open_bench(bench.place.directory, defect, is_new=False) as again:
        assert await (await again.client()).listed() == snapshots[:1]


# In what is stored.


@shows("deletion-only-hides")
async def check_only_hidden(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(2)]
    await client.snapshotter.delete_snapshot(snapshots[0])
    assert await client.listed() == snapshots[1:]
    assert set(await bench.server.stored_snapshots() or ()) == set(snapshots)


@shows("collection-breaks-the-layout")
async def check_layout_broken(bench: Bench) -> None:
    assert not await bench.server.irregularities()
    await bench.server.collect_garbage()
    assert await bench.server.irregularities()


# Under faults.


@shows("kill-forgets-a-snapshot")
async def check_kill_forgets(bench: Bench) -> None:
    client = await bench.client()
    snapshots = [await client.snapshot() for _ in range(3)]
    for is_asked, expected in ((True, snapshots), (False, snapshots[:2])):
        await bench.server.end_server(is_asked=is_asked)
        with pytest.raises(OperationUnknown):
            await client.listed()
        await bench.server.start_server()
        assert await client.listed() == expected


@shows("restart-takes-no-snapshots")
async def check_never_recovers(bench: Bench) -> None:
    client = await bench.client()
    snapshot = await client.snapshot()
    await bench.server.end_server(is_asked=True)
    await bench.server.start_server()
    assert await client.listed() == [snapshot]
    with pytest.raises(OperationUnknown):
        await client.snapshot()


class Calendar:
    """A time that goes on only when it is told to."""

    def __init__(self, day: int) -> None:
        self.day = day

    def now_ns(self, actor: str) -> int:
        return self.day * US_PER_DAY * 1000

    def url(self, actor: str, valid_seconds: float) -> str:
        raise NotImplementedError


async def days_kept(bench: Bench, **counts: int) -> tuple[set[str], set[str]]:
    """Of a snapshot on each day around a new year, by a client of its own for each policy, those that are there in the
    end, and those that must be."""
    calendar, policy = Calendar(NEW_YEAR_2026 - 20), KeepPolicy(**counts)
    bench.server.place = replace(bench.server.place, time=calendar, retention=policy)
    client, taken_us = await bench.client(f"{'-'.join(counts)}@storm"), dict[str, int]()
    for _ in range(40):
        taken_us[await client.snapshot()] = calendar.now_ns("") // 1000
        calendar.day += 1
    found = {entry.id for entry in await client.snapshotter.list_snapshots()}
    return found, set(kept_by(Retention(policy=policy, ends_at_latest=True), taken_us))


@shows("retention-ends-one-too-many")
async def check_one_too_few_kept(bench: Bench) -> None:
    found, kept = await days_kept(bench, daily=4)
    assert found < kept


@shows("retention-leaves-one")
async def check_one_left(bench: Bench) -> None:
    found, kept = await days_kept(bench, daily=4)
    assert found > kept
    assert len(found) == len(kept) + 1


@shows("retention-counts-weeks-from-sunday")
async def check_weeks_from_sunday(bench: Bench) -> None:
    found, kept = await days_kept(bench, weekly=4)
    assert found != kept


@shows("retention-mixes-weeks-and-months")
async def check_weeks_like_months(bench: Bench) -> None:
    """Each alone is right."""
    for alone in ({"weekly": 6}, {"monthly": 3}):
        found, kept = await days_kept(bench, **alone)
        assert len(found & kept) == len(kept)
    found, kept = await days_kept(bench, weekly=6, monthly=3)
    assert not kept <= found


@shows("damage-is-not-noticed")
async def check_damage_unnoticed(bench: Bench) -> None:
    client = await bench.client()
    snapshot, expected = await client.snapshot(), tree_of(client.data)
    for blob in await bench.server.content_blobs():
        blob.path.write_bytes(b"?" * blob.size_bytes)
    try:
        restored = await client.restored(snapshot)
    except OperationFailed as error:
        pytest.fail(str(error))
    assert {"content"} in changes(expected, restored).values()


@shows("storage-error-is-passed-over")
async def check_error_passed_over(bench: Bench) -> None:
    client, gateway = await bench.client(), bench.gateway
    assert gateway is not None
    with gateway.misbehaving(Rule(RuleEffect.ERROR, frozenset({Operation.PUT}))):
        try:
            snapshot = await client.snapshot()
        except OperationFailed as error:
            pytest.fail(str(error))
    assert await client.listed() == [snapshot]
    with pytest.raises(OperationFailed, match="is not there"):
        await client.restored(snapshot)


@shows("hidden-object-is-taken-for-empty")
async def check_hidden_taken_for_empty(bench: Bench) -> None:
    client, gateway = await bench.client(), bench.gateway
    assert gateway is not None
    snapshot, expected = await client.snapshot(), tree_of(client.data)
    with gateway.misbehaving(Rule(RuleEffect.STALE, frozenset({Operation.GET}), seconds=60.0)):
        try:
            restored = await client.restored(snapshot)
        except OperationFailed as error:
            pytest.fail(str(error))
    assert {"content", "size"} in changes(expected, restored).values()
    assert await client.restored(snapshot) == expected


@shows("storage-lie-is-believed")
async def check_lie_believed(bench: Bench) -> None:
    client, gateway = await bench.client(), bench.gateway
    assert gateway is not None
    with gateway.misbehaving(Rule(RuleEffect.FLIPPED, frozenset({Operation.PUT}))):
        snapshot = await client.snapshot()
    try:
        restored = await client.restored(snapshot)
    except OperationFailed as error:
        pytest.fail(str(error))
    assert {"content"} in changes(tree_of(client.data), restored).values()


@shows("create-keeps-two")
async def check_two_are_kept(bench: Bench) -> None:
    client = await bench.client()
    taken = {await client.snapshot() for _ in range(2)}
    assert set(await client.listed()) == taken
    stored = await bench.server.stored_snapshots() or {}
    assert [marks.client for snapshot, marks in stored.items() if snapshot not in taken] == ["root@elsewhere"]


@shows("create-eats-a-file")
async def check_eater(bench: Bench) -> None:
    client = await bench.client()
    before = tree_of(client.data)
    for _ in range(2):
        await client.snapshot()
    assert {"missing"} in changes(before, tree_of(client.data)).values()


@shows("verify-says-nothing")
async def check_silent_verify(bench: Bench) -> None:
    client = await bench.client()
    snapshot = await client.snapshot()
    await bench.server.collect_garbage()
    with pytest.raises(OperationFailed):
        await client.restored(snapshot)
    await client.snapshotter.verify_snapshots()


@shows("verify-passes-over-damage")
async def check_verify_passes_over(bench: Bench) -> None:
    client = await bench.client()
    snapshot = await client.snapshot()
    for blob in await bench.server.content_blobs():
        blob.path.write_bytes(b"?" * blob.size_bytes)
    with pytest.raises(OperationFailed):
        await client.restored(snapshot)
    try:
        await client.snapshotter.verify_snapshots()
    except TargetError as error:
        pytest.fail(str(error))


@shows("old-password-still-good")
async def check_old_password(bench: Bench) -> None:
    client = await bench.client()
    await bench.server.change_password(client.name)
    await let_in(client)


@shows("append-only-deletes")
async def check_append_only_deletes(bench: Bench) -> None:
    client = await bench.client()
    snapshot = await client.snapshot()
    await bench.server.refuse_deletions()
    try:
        await client.snapshotter.delete_snapshot(snapshot)
    except AccessDenied as error:
        pytest.fail(str(error))


@shows("reader-may-write")
async def check_reader_writes(bench: Bench) -> None:
    client = await bench.client()
    await bench.server.narrow_rights(client.name)
    await client.listed()
    await let_in(client)
