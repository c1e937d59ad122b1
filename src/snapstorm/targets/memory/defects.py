"""Planted defects: each breaks one promise on purpose, in one place, and names the guarantee that must catch it.

They count their opportunities and strike at every one, or every second or third, so that a short run is sure to meet
them, whatever the timing. `tests/power` shows that each one is caught. What happens to a tree on its way back stands in
`damage`.
"""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec

from snapstorm.errors import (
    ConfigError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    TargetError,
)
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import EntryType
from snapstorm.targets.memory import damage
from snapstorm.targets.memory.behaviour import Behaviour
from snapstorm.targets.memory.defect import Defect
from snapstorm.targets.memory.fault_defects import UNDER_FAULTS
from snapstorm.targets.memory.layout_defects import IN_WHAT_IS_STORED
from snapstorm.targets.memory.metadata_defects import IN_WHOLE_TREES, TELLING_WRONG
from snapstorm.targets.memory.store import Item, Store, Stored
from snapstorm.targets.memory.trees import Tree

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

    def __init__(self, damaged: damage.Damage) -> None:
        self._damaged = damaged
        self._now = Every(2)

    def restored(self, tree: Tree, snapshot: Stored, store: Store) -> Tree:
        damaged = self._damaged(tree, snapshot)
        return damaged if damaged is not None and self._now() else tree


class RestoreLitters(Behaviour):
    """Every second restore leaves a file beside the restored tree."""

    def __init__(self) -> None:
        self._now = Every(2)

    def wrote(self, destination: Path) -> None:
        if self._now():
            destination.with_name(".restore-journal").touch()


class Failing(Behaviour):
    """Every second operation of a kind fails."""

    def __init__(self, operation: str, make_error: Callable[[], TargetError]) -> None:
        self._operation, self._make_error, self._now = operation, make_error, Every(2)

    async def before(self, operation: str, seconds_max: float) -> None:
        if operation == self._operation and self._now():
            raise self._make_error()


class Hanging(Behaviour):
    """Every second operation of a kind hangs until its time is up."""

    def __init__(self, operation: str) -> None:
        self._operation, self._now = operation, Every(2)

    async def before(self, operation: str, seconds_max: float) -> None:
        if operation == self._operation and self._now():
            await anyio.sleep(seconds_max)
            raise OperationTimedOut(f"{operation} was still running after {seconds_max:g} s")


class CreateLost(Behaviour):
    """Every third snapshot is not kept."""

    def __init__(self) -> None:
        self._now = Every(3)

    def is_kept(self, snapshot: Stored) -> bool:
        return not self._now()


class CreateSkips(Behaviour):
    """Leaves a file out of every second snapshot that has one; counts what was stored, or claims all."""

    def __init__(self, *, lies: bool) -> None:
        self._lies, self._now = lies, Every(2)
        self._claimed: dict[str, SnapshotReceipt] = {}

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        files = [item for item in snapshot.items if item.type is EntryType.FILE and item.path]
        if not files or not self._now():
            return snapshot
        if self._lies:
            self._claimed[snapshot.id] = receipt_of(snapshot)
        return msgspec.structs.replace(snapshot, items=tuple(item for item in snapshot.items if item is not files[-1]))

    def acknowledged(self, receipt: SnapshotReceipt, store: Store) -> SnapshotReceipt:
        return self._claimed.get(receipt.id, receipt)

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return [
            msgspec.structs.replace(one, particulars=self._claimed[one.id].particulars)
            if one.id in self._claimed
            else one
            for one in own
        ]


class CreateEats(Behaviour):
    """Deletes a file of the client's own after every second snapshot that has one."""

    def __init__(self) -> None:
        self._now = Every(2)

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        files = [item.path for item in snapshot.items if item.type is EntryType.FILE and item.path]
        if files and self._now():
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(os.fsencode(snapshot.source), files[-1]))
        return snapshot


class CreateRewrites(Behaviour):
    """Changes a byte of a file of the client's own after every second snapshot that has one, and sets its times back.

    Size, mode and times are then what they were.
    """

    def __init__(self) -> None:
        self._now = Every(2)

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        files = [item for item in snapshot.items if item.type is EntryType.FILE and item.path and item.size]
        if files and self._now():
            with suppress(FileNotFoundError, PermissionError):
                _rewrite(os.path.join(os.fsencode(snapshot.source), files[-1].path))
        return snapshot


def _rewrite(path: bytes) -> None:
    before = os.stat(path)
    with open(path, "r+b") as file:
        first = file.read(1)[0]
        # Until the system's clock has ticked: nothing real is so quick that its change falls into the same tick.
        while os.stat(path).st_ctime_ns == before.st_ctime_ns:
            file.seek(0)
            file.write(bytes([first ^ 0x20]))
            file.flush()
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class CreateWrongId(Behaviour):
    """Every second snapshot beside others is acknowledged under the id of another one."""

    def __init__(self) -> None:
        self._now = Every(2)

    def acknowledged(self, receipt: SnapshotReceipt, store: Store) -> SnapshotReceipt:
        others = (snapshot.id for snapshot in store if snapshot.id != receipt.id)
        another = next(others, None)
        return replace(receipt, id=another) if another is not None and self._now() else receipt


class CreateStale(Behaviour):
    """A file whose size has not changed since the last snapshot of its source is not read again."""

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        earlier = store.of(snapshot.client, snapshot.source)
        old = {item.path: item for item in earlier[-1].items} if earlier else {}
        return msgspec.structs.replace(snapshot, items=tuple(_not_read_again(item, old) for item in snapshot.items))


def _not_read_again(item: Item, old: dict[bytes, Item]) -> Item:
    before = old.get(item.path)
    if before is None or before.type is not item.type or before.size != item.size:
        return item
    return msgspec.structs.replace(item, digest=before.digest)


class DeleteIgnored(Behaviour):
    """No deletion is done."""

    def deleted(self, snapshot: Stored, store: Store) -> Sequence[Stored]:
        return []


class DeleteTakesAnother(Behaviour):
    """Each deletion takes the client's oldest other snapshot along."""

    def deleted(self, snapshot: Stored, store: Store) -> Sequence[Stored]:
        return [snapshot, *[one for one in store.of(snapshot.client) if one.id != snapshot.id][:1]]


class DeleteComesBack(Behaviour):
    """A deleted snapshot is listed again, whole, from the next collection or the fourth operation after it."""

    def __init__(self) -> None:
        self._gone: list[Stored] = []
        self._operations = 0
        self._store: Store | None = None

    def deleted(self, snapshot: Stored, store: Store) -> Sequence[Stored]:
        self._gone.append(snapshot)
        self._operations, self._store = 0, store
        return [snapshot]

    async def before(self, operation: str, seconds_max: float) -> None:
        self._operations += 1
        # Before a collection, not after it, which would take the content.
        if self._store is not None and (operation == "gc" or self._operations >= 4):
            for snapshot in self._gone:
                self._store.keep(snapshot)
            self._gone.clear()


class GcDropsSnapshot(Behaviour):
    """Each collection drops the newest snapshot."""

    def collected(self, store: Store) -> None:
        newest = store.newest()
        if newest is not None:
            store.drop(newest)


class GcDropsContent(Behaviour):
    """Each collection drops the content of one file of the newest snapshot that has any."""

    def collected(self, store: Store) -> None:
        store.drop_newest_content()


class GcFreesNothing(Behaviour):
    """No collection takes anything."""

    def frees_storage(self) -> bool:
        return False


class ListOmits(Behaviour):
    """Each listing omits the newest snapshot."""

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return own[:-1]


class ListGhost(Behaviour):
    """Each listing that is not empty shows one more."""

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        ghosts = [msgspec.structs.replace(one, id=UNREQUESTED_ID, operation="r0-nobody-1") for one in own[:1]]
        return [*own, *ghosts]


class ListOthers(Behaviour):
    """Each listing shows everything."""

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return [*own, *others]


class ExpireTooMany(Behaviour):
    """Each expiry takes the oldest snapshot of those to be kept, too."""

    def expired(self, doomed: Sequence[Stored], kept: Sequence[Stored]) -> Sequence[Stored]:
        return [*doomed, *kept[:1]]


class ExpireTooFew(Behaviour):
    """Each expiry leaves the newest of those that are to go."""

    def expired(self, doomed: Sequence[Stored], kept: Sequence[Stored]) -> Sequence[Stored]:
        return doomed[:-1]


class RemovedLetIn(Behaviour):
    """Only the password is asked for."""

    def lets_in(self, *, is_known: bool, is_password_right: bool) -> bool:
        return is_password_right


class AnyPassword(Behaviour):
    """Only the name is asked for."""

    def lets_in(self, *, is_known: bool, is_password_right: bool) -> bool:
        return is_known


class RestartForgets(Behaviour):
    """The newest snapshot is dropped whenever the repository is served again."""

    def served_again(self, store: Store) -> None:
        newest = store.newest()
        if newest is not None:
            store.drop(newest)


def _read_name(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the name of a defect can't be read from {path}: {error}") from error


def receipt_of(snapshot: Stored) -> SnapshotReceipt:
    """What an honest system says that it took."""
    return SnapshotReceipt(id=snapshot.id, **snapshot.particulars._asdict())


def _restore(sentence: str, damaged: damage.Damage, *, needs_root: bool = False) -> Defect:
    return Defect(sentence, Guarantee.RESTORED_EXACTLY, lambda: RestoreDefect(damaged), needs_root)


def _failing(operation: str, error: type[TargetError], message: str) -> Defect:
    make_error = functools.partial(error, message)
    return Defect(f"Every second {operation} fails.", Guarantee.AVAILABLE, lambda: Failing(operation, make_error))


def _hanging(operation: str) -> Defect:
    return Defect(f"Every second {operation} hangs.", Guarantee.AVAILABLE, lambda: Hanging(operation))


_ALL_DEFECTS: dict[str, Defect] = {
    "restore-flips-a-byte": _restore("One bit of one file comes back flipped.", damage.flip_a_byte),
    "restore-truncates-a-file": _restore("One file comes back half as long.", damage.truncate),
    "restore-zeroes-the-tail": _restore("The second half of one file comes back as zeros.", damage.zero_the_tail),
    "restore-loses-an-entry": _restore("One file does not come back.", damage.lose_an_entry),
    "restore-adds-an-entry": _restore("A file comes back that was never there.", damage.add_an_entry),
    "restore-changes-a-mode": _restore("One file comes back with another mode.", damage.change_a_mode),
    "restore-changes-an-owner": _restore(
        "One file comes back with another owner; only root can restore owners.", damage.change_an_owner, needs_root=True
    ),
    "restore-changes-an-mtime": _restore("One file comes back one nanosecond younger.", damage.change_an_mtime),
    "restore-swaps-two-files": _restore("Two files come back with each other's content.", damage.swap_two_files),
    "restore-follows-a-symlink": _restore(
        "A link to a file comes back as a copy of that file.", damage.follow_a_symlink
    ),
    "restore-changes-a-symlink-target": _restore("A link comes back pointing elsewhere.", damage.change_a_symlink),
    "restore-loses-an-empty-directory": _restore(
        "An empty directory does not come back.", damage.lose_an_empty_directory
    ),
    "restore-gives-another-snapshot": _restore(
        "Another snapshot of the client comes back.", damage.give_another_snapshot
    ),
    "restore-gives-a-stale-version": _restore("An older version of a file comes back.", damage.give_a_stale_version),
    "restore-gives-nothing": _restore("A restore succeeds, and its directory is empty.", damage.give_nothing),
    "restore-makes-no-destination": _restore("A restore succeeds and writes nothing at all.", damage.make_nothing),
    "restore-leaves-a-file-beside": Defect(
        "A restore leaves a file beside the restored tree.", Guarantee.NO_LEAK, RestoreLitters
    ),
    "restore-fails": _failing("restore", OperationFailed, "restore failed"),
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
    "create-eats-a-file": Defect(
        "One of the client's own files is gone afterwards.", Guarantee.SOURCE_UNTOUCHED, CreateEats
    ),
    "create-rewrites-a-file": Defect(
        "A byte of one of the client's own files is another one afterwards, and its times are as before.",
        Guarantee.SOURCE_UNTOUCHED,
        CreateRewrites,
    ),
    "create-fails": _failing("create", OperationUnknown, "create failed"),
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
    "delete-fails": _failing("delete", OperationUnknown, "delete failed"),
    "gc-drops-a-live-snapshot": Defect(
        "A collection drops the newest snapshot.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, GcDropsSnapshot
    ),
    "gc-drops-content": Defect(
        "A collection drops content that is in use.", Guarantee.RESTORED_EXACTLY, GcDropsContent
    ),
    "collection-frees-nothing": Defect(
        "A collection leaves what no snapshot needs any more.", Guarantee.NO_LEAK, GcFreesNothing
    ),
    "gc-fails": _failing("gc", OperationFailed, "collection failed"),
    "gc-hangs": _hanging("gc"),
    "list-omits-a-snapshot": Defect(
        "A listing leaves the newest snapshot out.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, ListOmits
    ),
    "list-shows-a-ghost": Defect(
        "A listing shows a snapshot that nobody asked for.", Guarantee.NOTHING_UNREQUESTED, ListGhost
    ),
    "list-shows-others": Defect("A client is shown the snapshots of others.", Guarantee.CLIENTS_ISOLATED, ListOthers),
    "list-fails": _failing("list", OperationFailed, "listing failed"),
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
    # Not `verify-agrees`, which takes a restore to contradict: a check that fails on good data is not available.
    "verify-complains-about-good-data": _failing("verify", OperationPartial, "verify found damage"),
    "restart-forgets-a-snapshot": Defect(
        "A server that starts again has forgotten the newest snapshot.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        RestartForgets,
    ),
}

_ALL_DEFECTS |= IN_WHAT_IS_STORED | UNDER_FAULTS | TELLING_WRONG | IN_WHOLE_TREES

DEFECTS: dict[str, Defect] = {
    name: defect for name, defect in _ALL_DEFECTS.items() if os.geteuid() == 0 or not defect.needs_root
}
"""Every planted defect that can be seen by the user of this process, by its name, as in `--target memory:NAME`."""


def behaviour_of(name: str | None) -> Behaviour:
    """The behaviour with this defect, or the honest one. Raises ConfigError with the nearest names.

    An absolute path is that of a file that holds the name, so that who runs and judges need not know it.
    """
    if name is not None and name.startswith("/"):
        name = _read_name(Path(name))
    if not name:
        return Behaviour()
    if name in DEFECTS:
        return DEFECTS[name].make()
    if name in _ALL_DEFECTS:
        raise ConfigError(f"the defect {name} needs root: nobody else can see it")
    near = difflib.get_close_matches(name, DEFECTS, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"no defect is called {name!r}; {hint}there are: {', '.join(DEFECTS)}")
