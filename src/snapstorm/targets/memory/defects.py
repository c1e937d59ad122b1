"""Planted defects: each breaks one promise on purpose, in one place, and names the guarantee that must catch it.

They count their opportunities and strike at every second or third, so that a short run is sure to meet them, whatever
the timing. `tests/power` shows that each one is caught.
"""

from __future__ import annotations

import difflib
import itertools
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio
import msgspec

from snapstorm.errors import ConfigError, OperationFailed, OperationPartial, OperationTimedOut, OperationUnknown
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import EntryType
from snapstorm.model.protocols import ListedSnapshot, SnapshotReceipt
from snapstorm.targets.memory.behaviour import Behaviour, Tree
from snapstorm.targets.memory.store import Item, Store, Stored

UNREQUESTED_ID = "f" * 32


class Every:
    """Says yes at every `period`-th call."""

    def __init__(self, period: int) -> None:
        self._period = period
        self._calls = 0

    def __call__(self) -> bool:
        self._calls += 1
        return self._calls % self._period == 0


class RestoreDefect(Behaviour):
    """Damages every second restored tree in which there is something to damage."""

    def __init__(self, damage: Callable[[Tree, Stored, Store], Tree | None]) -> None:
        self._damage = damage
        self._now = Every(2)

    def restored(self, tree: Tree, snapshot: Stored, store: Store) -> Tree:
        damaged = self._damage(tree, snapshot, store)
        return damaged if damaged is not None and self._now() else tree


def _files(tree: Tree, size_min: int = 1) -> list[Item]:
    return [item for item in tree.items if item.type is EntryType.FILE and item.path and item.size >= size_min]


def _with_content(tree: Tree, path: bytes, content: bytes) -> Tree:
    items = tuple(msgspec.structs.replace(i, size=len(content)) if i.path == path else i for i in tree.items)
    return Tree(items, {**tree.contents, path: content})


def _with_item(tree: Tree, changed: Item) -> Tree:
    return Tree(tuple(changed if item.path == changed.path else item for item in tree.items), tree.contents)


def _without(tree: Tree, path: bytes) -> Tree:
    return Tree(tuple(item for item in tree.items if item.path != path), tree.contents)


def flip_a_byte(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in _files(tree)[-1:]:
        content = bytearray(tree.contents[item.path])
        content[len(content) // 2] ^= 0x01
        return _with_content(tree, item.path, bytes(content))
    return None


def truncate(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in _files(tree)[-1:]:
        return _with_content(tree, item.path, tree.contents[item.path][: item.size // 2])
    return None


def zero_the_tail(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in _files(tree, 64)[-1:]:
        content = tree.contents[item.path]
        zeroed = content[: len(content) // 2].ljust(len(content), b"\0")
        return _with_content(tree, item.path, zeroed) if zeroed != content else None
    return None


def lose_an_entry(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    files = _files(tree, 0)
    return _without(tree, files[-1].path) if files else None


def add_an_entry(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    if tree.items[0].type is not EntryType.DIRECTORY:
        return None
    extra = Item(b"never-written", EntryType.FILE, 0o644, os.geteuid(), os.getegid(), 0)
    return Tree((*tree.items, extra), {**tree.contents, extra.path: b""})


def change_a_mode(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in _files(tree, 0)[-1:]:
        return _with_item(tree, msgspec.structs.replace(item, mode=item.mode ^ stat.S_IRGRP))
    return None


def change_an_owner(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in _files(tree, 0)[-1:]:
        return _with_item(tree, msgspec.structs.replace(item, uid=item.uid + 1))
    return None


def change_an_mtime(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in _files(tree, 0)[-1:]:
        return _with_item(tree, msgspec.structs.replace(item, mtime_ns=item.mtime_ns + 1))
    return None


def swap_two_files(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    files = _files(tree)
    for first, second in itertools.pairwise(files):
        if first.digest != second.digest:
            one, other = tree.contents[first.path], tree.contents[second.path]
            return _with_content(_with_content(tree, first.path, other), second.path, one)
    return None


def follow_a_symlink(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in tree.items:
        if item.type is EntryType.SYMLINK and item.path:
            file = msgspec.structs.replace(item, type=EntryType.FILE, mode=0o644, target=b"", size=4)
            return _with_content(_with_item(tree, file), item.path, b"seen")
    return None


def change_a_symlink(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for item in tree.items:
        if item.type is EntryType.SYMLINK and item.path:
            return _with_item(tree, msgspec.structs.replace(item, target=item.target[:200] + b"x"))
    return None


def lose_an_empty_directory(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    parents = {item.path.rpartition(b"/")[0] for item in tree.items if item.path}
    for item in tree.items:
        if item.type is EntryType.DIRECTORY and item.path and item.path not in parents:
            return _without(tree, item.path)
    return None


def give_another_snapshot(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    for other in store.of(snapshot.client):
        if other.items != snapshot.items and len(other.items) > 1 and len(tree.items) > 1:
            return Tree(other.items, {item.path: store.blob(item.digest) for item in other.items if item.digest})
    return None


def give_a_stale_version(tree: Tree, snapshot: Stored, store: Store) -> Tree | None:
    earlier = [one for one in store.of(snapshot.client, snapshot.source) if one.number < snapshot.number]
    for item in _files(tree):
        for older in (old for one in earlier for old in one.items if old.path == item.path and old.digest):
            if older.digest != item.digest:
                return _with_content(tree, item.path, store.blob(older.digest))
    return None


class RestoreNothing(Behaviour):
    def __init__(self) -> None:
        self._now = Every(2)

    def is_part_given(self) -> bool:
        return not self._now()


class Failing(Behaviour):
    """Every second operation of a kind fails."""

    def __init__(self, operation: str, error: Exception) -> None:
        self._operation, self._error, self._now = operation, error, Every(2)

    async def before(self, operation: str, seconds_max: float) -> None:
        if operation == self._operation and self._now():
            raise self._error


class Hanging(Behaviour):
    """Every second operation of a kind hangs until its time is up."""

    def __init__(self, operation: str) -> None:
        self._operation, self._now = operation, Every(2)

    async def before(self, operation: str, seconds_max: float) -> None:
        if operation == self._operation and self._now():
            await anyio.sleep(seconds_max)
            raise OperationTimedOut(f"{operation} was still running after {seconds_max:g} s")


class CreateLost(Behaviour):
    def __init__(self) -> None:
        self._now = Every(3)

    def is_kept(self, snapshot: Stored) -> bool:
        return not self._now()


class CreateSkips(Behaviour):
    """Leaves the last file out of every second snapshot; counts what was stored, or claims all."""

    def __init__(self, *, lies: bool) -> None:
        self._lies, self._now = lies, Every(2)
        self._claimed: dict[str, SnapshotReceipt] = {}

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        files = [item for item in snapshot.items if item.type is EntryType.FILE]
        if not files or not self._now():
            return snapshot
        if self._lies:
            self._claimed[snapshot.id] = receipt_of(snapshot)
        return msgspec.structs.replace(snapshot, items=tuple(item for item in snapshot.items if item is not files[-1]))

    def acknowledged(self, receipt: SnapshotReceipt, store: Store) -> SnapshotReceipt:
        return self._claimed.get(receipt.id, receipt)


class CreateWrongId(Behaviour):
    def __init__(self) -> None:
        self._now = Every(2)

    def acknowledged(self, receipt: SnapshotReceipt, store: Store) -> SnapshotReceipt:
        others = [one.id for one in store.snapshots.values() if one.id != receipt.id]
        return replace(receipt, id=others[0]) if others and self._now() else receipt


class CreateStale(Behaviour):
    """A file whose size has not changed since the last snapshot of its source is not read again."""

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        earlier = store.of(snapshot.client, snapshot.source)
        old = {item.path: item for item in earlier[-1].items} if earlier else {}
        return msgspec.structs.replace(
            snapshot,
            items=tuple(
                msgspec.structs.replace(item, digest=old[item.path].digest)
                if item.path in old and old[item.path].size == item.size and item.digest and old[item.path].digest
                else item
                for item in snapshot.items
            ),
        )


class DeleteIgnored(Behaviour):
    def deleted(self, snapshot: Stored, store: Store) -> Sequence[str]:
        return []


class DeleteTakesAnother(Behaviour):
    def deleted(self, snapshot: Stored, store: Store) -> Sequence[str]:
        return [snapshot.id, *[one.id for one in store.of(snapshot.client) if one.id != snapshot.id][:1]]


class DeleteComesBack(Behaviour):
    """A deleted snapshot is listed again after the next collection, or the fourth operation from then."""

    def __init__(self) -> None:
        self._gone: list[Stored] = []
        self._operations = 0
        self._store: Store | None = None

    def deleted(self, snapshot: Stored, store: Store) -> Sequence[str]:
        self._gone.append(snapshot)
        self._operations, self._store = 0, store
        return [snapshot.id]

    async def before(self, operation: str, seconds_max: float) -> None:
        self._operations += 1
        if self._store is not None and self._operations >= 4:
            self.collected(self._store)

    def collected(self, store: Store) -> None:
        for snapshot in self._gone:
            store.keep(snapshot)
        self._gone.clear()


class GcDropsSnapshot(Behaviour):
    def collected(self, store: Store) -> None:
        for snapshot in sorted(store.snapshots.values(), key=lambda one: one.number)[-1:]:
            store.drop(snapshot.id)


class GcDropsContent(Behaviour):
    def collected(self, store: Store) -> None:
        for snapshot in sorted(store.snapshots.values(), key=lambda one: one.number, reverse=True):
            for item in snapshot.items:
                if item.digest:
                    store.drop_blob(item.digest)
                    return


class ListOmits(Behaviour):
    def listed(self, own: Sequence[ListedSnapshot], others: Sequence[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return own[:-1]


class ListGhost(Behaviour):
    def listed(self, own: Sequence[ListedSnapshot], others: Sequence[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        ghosts = [replace(one, id=UNREQUESTED_ID, operation="r0-nobody-1") for one in own[:1]]
        return [*own, *ghosts]


class ListOthers(Behaviour):
    def listed(self, own: Sequence[ListedSnapshot], others: Sequence[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return [*own, *others]


class ExpireTooMany(Behaviour):
    def expired(self, doomed: Sequence[Stored], kept: Sequence[Stored]) -> Sequence[Stored]:
        return [*doomed, *kept[:1]]


class ExpireTooFew(Behaviour):
    def expired(self, doomed: Sequence[Stored], kept: Sequence[Stored]) -> Sequence[Stored]:
        return doomed[:-1]


class RemovedLetIn(Behaviour):
    def lets_in(self, *, is_known: bool, is_password_right: bool) -> bool:
        return is_password_right


class AnyPassword(Behaviour):
    def lets_in(self, *, is_known: bool, is_password_right: bool) -> bool:
        return is_known


class RestartForgets(Behaviour):
    def served_again(self, store: Store) -> None:
        for snapshot in sorted(store.snapshots.values(), key=lambda one: one.number)[-1:]:
            store.drop(snapshot.id)


def receipt_of(snapshot: Stored) -> SnapshotReceipt:
    """What an honest system says that it took."""
    return SnapshotReceipt(
        id=snapshot.id,
        files=sum(item.type is EntryType.FILE for item in snapshot.items),
        directories=sum(item.type is EntryType.DIRECTORY for item in snapshot.items),
        size_bytes=sum(item.size for item in snapshot.items),
    )


@dataclass(frozen=True)
class Defect:
    """A planted defect: what it does, and which guarantee it breaks."""

    sentence: str
    guarantee: Guarantee
    make: Callable[[], Behaviour]


def _restore(sentence: str, damage: Callable[[Tree, Stored, Store], Tree | None]) -> Defect:
    return Defect(sentence, Guarantee.RESTORED_EXACTLY, lambda: RestoreDefect(damage))


def _failing(operation: str, error: Exception) -> Defect:
    return Defect(f"Every second {operation} fails.", Guarantee.AVAILABLE, lambda: Failing(operation, error))


def _hanging(operation: str) -> Defect:
    return Defect(f"Every second {operation} hangs.", Guarantee.AVAILABLE, lambda: Hanging(operation))


DEFECTS: dict[str, Defect] = {
    "restore-flips-a-byte": _restore("One bit of one file comes back flipped.", flip_a_byte),
    "restore-truncates-a-file": _restore("One file comes back half as long.", truncate),
    "restore-zeroes-the-tail": _restore("The second half of one file comes back as zeros.", zero_the_tail),
    "restore-loses-an-entry": _restore("One file does not come back.", lose_an_entry),
    "restore-adds-an-entry": _restore("A file comes back that was never there.", add_an_entry),
    "restore-changes-a-mode": _restore("One file comes back with another mode.", change_a_mode),
    "restore-changes-an-mtime": _restore("One file comes back one nanosecond younger.", change_an_mtime),
    "restore-swaps-two-files": _restore("Two files come back with each other's content.", swap_two_files),
    "restore-follows-a-symlink": _restore("A link comes back as a file.", follow_a_symlink),
    "restore-changes-a-symlink": _restore("A link comes back pointing elsewhere.", change_a_symlink),
    "restore-loses-an-empty-directory": _restore("An empty directory does not come back.", lose_an_empty_directory),
    "restore-gives-another-snapshot": _restore("Another snapshot comes back.", give_another_snapshot),
    "restore-gives-a-stale-version": _restore("An older version of a file comes back.", give_a_stale_version),
    "restore-gives-nothing": Defect(
        "Every second restore succeeds and writes nothing.", Guarantee.RESTORED_EXACTLY, RestoreNothing
    ),
    "restore-fails": _failing("restore", OperationFailed("restore failed")),
    "restore-hangs": _hanging("restore"),
    "create-acknowledged-but-lost": Defect(
        "Every third snapshot is acknowledged and not kept.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, CreateLost
    ),
    "create-skips-a-file": Defect(
        "A file is left out, and the count says so; the status does not.",
        Guarantee.PARTIAL_IS_REPORTED,
        lambda: CreateSkips(lies=False),
    ),
    "create-skips-a-file-and-lies": Defect(
        "A file is left out, and the count claims all.",
        Guarantee.RESTORED_EXACTLY,
        lambda: CreateSkips(lies=True),
    ),
    "create-gives-a-wrong-id": Defect(
        "A new snapshot is acknowledged under another one's id.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, CreateWrongId
    ),
    "create-stores-stale-content": Defect(
        "A file that kept its size is not read again.", Guarantee.RESTORED_EXACTLY, CreateStale
    ),
    "create-fails": _failing("create", OperationUnknown("create failed")),
    "create-hangs": _hanging("create"),
    "delete-is-ignored": Defect(
        "A deletion is acknowledged and not done.", Guarantee.DELETED_STAYS_GONE, DeleteIgnored
    ),
    "delete-takes-another-too": Defect(
        "A deletion takes another snapshot of the client too.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, DeleteTakesAnother
    ),
    "delete-comes-back": Defect(
        "A deleted snapshot is listed again later.", Guarantee.DELETED_STAYS_GONE, DeleteComesBack
    ),
    "delete-fails": _failing("delete", OperationUnknown("delete failed")),
    "gc-drops-a-live-snapshot": Defect(
        "A collection drops the newest snapshot.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, GcDropsSnapshot
    ),
    "gc-drops-content": Defect(
        "A collection drops content that is in use.", Guarantee.RESTORED_EXACTLY, GcDropsContent
    ),
    "gc-fails": _failing("gc", OperationFailed("collection failed")),
    "gc-hangs": _hanging("gc"),
    "list-omits-a-snapshot": Defect(
        "A listing leaves the newest snapshot out.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, ListOmits
    ),
    "list-shows-a-ghost": Defect(
        "A listing shows a snapshot that nobody asked for.", Guarantee.NOTHING_UNREQUESTED, ListGhost
    ),
    "list-shows-others": Defect("A client is shown the snapshots of others.", Guarantee.CLIENTS_ISOLATED, ListOthers),
    "list-fails": _failing("list", OperationFailed("listing failed")),
    "expire-takes-one-too-many": Defect(
        "Retention takes one of those that it must keep.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, ExpireTooMany
    ),
    "expire-keeps-one-too-many": Defect(
        "Retention leaves one of those that it must take.", Guarantee.DELETED_STAYS_GONE, ExpireTooFew
    ),
    "removed-client-still-let-in": Defect(
        "A client that was removed is still let in.", Guarantee.CLIENTS_ISOLATED, RemovedLetIn
    ),
    "wrong-password-accepted": Defect("Any password is right.", Guarantee.CLIENTS_ISOLATED, AnyPassword),
    "verify-complains-about-good-data": _failing("verify", OperationPartial("verify found damage")),
    "restart-forgets-a-snapshot": Defect(
        "A server that starts again has forgotten the newest snapshot.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        RestartForgets,
    ),
}
"""Every planted defect by its name, as in `--target memory:NAME`."""

if os.geteuid() == 0:
    # Owners other than one's own can be neither written nor restored by anyone else.
    DEFECTS["restore-changes-an-owner"] = _restore("One file comes back with another owner.", change_an_owner)


def behaviour_of(name: str | None) -> Behaviour:
    """The behaviour with this defect, or the honest one. Raises ConfigError with the nearest names."""
    if name is None:
        return Behaviour()
    if name not in DEFECTS:
        near = difflib.get_close_matches(name, DEFECTS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"no defect is called {name!r}; {hint}there are: {', '.join(DEFECTS)}")
    return DEFECTS[name].make()
