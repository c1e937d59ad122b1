"""The target `memory`: a simulated backup system behind the same protocols as the real one."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from snapstorm.errors import AccessDenied, HarnessError, NoSpaceError, OperationFailed
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.manifest import EntryType, path_as_text
from snapstorm.model.protocols import ListedSnapshot, Mode, SnapshotReceipt, TargetDescription, TargetPlace
from snapstorm.targets.memory.behaviour import Behaviour, Tree
from snapstorm.targets.memory.defects import behaviour_of, receipt_of
from snapstorm.targets.memory.store import Item, Store, Stored, write_tree


class MemoryTarget:
    """A simulated backup system: honest, or with one named defect."""

    def __init__(self, defect: str | None = None) -> None:
        behaviour_of(defect)  # Complains about an unknown name before anything is made.
        self._defect = defect

    @property
    def description(self) -> TargetDescription:
        notes = (f"planted defect: {self._defect}",) if self._defect else ()
        return TargetDescription("memory", (), notes=notes)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(hard_links=False, special_files=False, owner=os.geteuid() == 0)

    @property
    def modes(self) -> frozenset[Mode]:
        return frozenset(Mode)

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[MemoryServer]:
        store = Store(place.repository, is_new=place.is_new)
        behaviour = behaviour_of(self._defect)
        if not place.is_new:
            behaviour.served_again(store)
        yield MemoryServer(place, store, behaviour)


class MemoryServer:
    """Serves one store."""

    def __init__(self, place: TargetPlace, store: Store, behaviour: Behaviour) -> None:
        self.place = place
        self.store = store
        self.behaviour = behaviour

    @property
    def repository_id(self) -> str:
        return self.store.id

    @property
    def has_permissions(self) -> bool:
        return self.place.mode is Mode.SERVER

    async def add_clients(self, clients: Sequence[str]) -> None:
        for client in clients:
            self.place.secrets.get(f"client {client}")
        self.store.set_users(self.store.users | set(clients))

    async def remove_client(self, client: str) -> None:
        self.store.set_users(self.store.users - {client})

    def client(self, client: str) -> MemoryClient:
        return MemoryClient(self, client, self.place.secrets.get(f"client {client}"))

    def impostor(self, client: str) -> MemoryClient:
        return MemoryClient(self, client, "wrong")

    async def refresh(self) -> None:
        """Nothing is cached, so there is nothing to see anew."""

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Nothing is cached."""

    async def collect_garbage(self) -> None:
        await self.behaviour.before("gc", self.place.operation_seconds_max)
        self.store.collect()
        self.behaviour.collected(self.store)


class MemoryClient:
    """One identity's way into a store."""

    def __init__(self, server: MemoryServer, client: str, password: str) -> None:
        self._server = server
        self._client = client
        self._password = password
        self._store = server.store
        self._behaviour = server.behaviour

    async def connect(self) -> None:
        self._check_access()

    async def disconnect(self) -> None:
        """No connection is kept."""

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        await self._begin("create")
        snapshot = self._store.take(
            source, client=self._client, testbed=self._server.place.testbed, operation=operation
        )
        snapshot = self._behaviour.taken(snapshot, self._store)
        if self._behaviour.is_kept(snapshot):
            self._store.keep(snapshot)
        return self._behaviour.acknowledged(receipt_of(snapshot), self._store)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self._begin("restore")
        stored = self._find(snapshot)
        items = _part(stored.items, sub_path)
        if not items:
            raise OperationFailed(f"there is no {sub_path!r} in snapshot {snapshot}")
        contents = {item.path: self._store.blob(item.digest) for item in items if item.type is EntryType.FILE}
        tree = self._behaviour.restored(Tree(items, contents), stored, self._store)
        if self._behaviour.is_part_given():
            _write(tree, destination)

    async def delete_snapshot(self, snapshot: str) -> None:
        await self._begin("delete")
        for doomed in self._behaviour.deleted(self._find(snapshot), self._store):
            self._store.drop(doomed)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await self._begin("expire")
        snapshots = self._store.of(self._client, path_as_text(source))
        doomed, kept = snapshots[:-keep_latest], snapshots[-keep_latest:]
        for snapshot in self._behaviour.expired(doomed, kept):
            self._store.drop(snapshot.id)

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        await self._begin("list")
        own, others = list[ListedSnapshot](), list[ListedSnapshot]()
        for snapshot in self._store.snapshots.values():
            (own if snapshot.client == self._client else others).append(_listed(snapshot))
        return tuple(self._behaviour.listed(own, others))

    async def verify_snapshots(self) -> None:
        await self._begin("verify")
        for snapshot in self._store.of(self._client):
            for item in snapshot.items:
                if item.digest:
                    self._store.blob(item.digest)

    async def _begin(self, operation: str) -> None:
        self._check_access()
        await self._behaviour.before(operation, self._server.place.operation_seconds_max)

    def _check_access(self) -> None:
        is_right = self._password == self._server.place.secrets.get(f"client {self._client}")
        is_known = self._client in self._store.users
        if self._server.has_permissions and not self._behaviour.lets_in(is_known=is_known, is_password_right=is_right):
            raise AccessDenied(f"{self._client} is not let in")

    def _find(self, snapshot: str) -> Stored:
        found = self._store.snapshots.get(snapshot)
        if found is None or found.client != self._client:
            raise OperationFailed(f"there is no snapshot {snapshot}")
        return found


def _write(tree: Tree, destination: Path) -> None:
    try:
        write_tree(tree.items, tree.contents, destination)
    except OSError as error:
        kind = NoSpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else HarnessError
        raise kind(f"{destination} can't be written: {error.strerror}") from error


def _part(items: tuple[Item, ...], sub_path: bytes) -> tuple[Item, ...]:
    """The entries at and below a path, as a tree of their own."""
    if not sub_path:
        return items
    prefix = sub_path + b"/"
    return tuple(
        msgspec.structs.replace(item, path=item.path[len(prefix) :])
        for item in items
        if item.path == sub_path or item.path.startswith(prefix)
    )


def _listed(snapshot: Stored) -> ListedSnapshot:
    return ListedSnapshot(
        snapshot.id, snapshot.client, snapshot.source, snapshot.testbed, snapshot.operation, incomplete=None
    )
