"""The target `memory`: a simulated backup system behind the same protocols as the real one."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from snapstorm.errors import AccessDenied, OperationFailed, OperationPartial, OperationUnknown
from snapstorm.filesystem.scanner import bytes_below
from snapstorm.model.abilities import Blob, SnapshotMarks
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import Auditor, Mode, TargetDescription, TargetPlace
from snapstorm.runtime.clock import Clock
from snapstorm.targets.memory.behaviour import Behaviour
from snapstorm.targets.memory.defects import behaviour_of, receipt_of
from snapstorm.targets.memory.parameters import modes_of
from snapstorm.targets.memory.store import UNFINISHED, Store, Stored
from snapstorm.targets.memory.trees import HAS_XATTRS, Tree, in_turns, read_tree, write_tree
from snapstorm.targets.plain import PlainServer, PlainTarget


class MemoryTarget(PlainTarget):
    """A simulated backup system: honest, or with one named defect."""

    def __init__(self, defect: str | None = None) -> None:
        behaviour_of(defect)  # Complains about an unknown name before anything is made.
        self._defect = defect

    @property
    def description(self) -> TargetDescription:
        notes = (f"planted defect: {self._defect}",) if self._defect else ()
        return TargetDescription("memory", notes=notes)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(hard_links=False, special_files=False, xattrs=HAS_XATTRS, owner=os.geteuid() == 0)

    def capabilities_with(self, parameters: Mapping[str, str]) -> Capabilities:
        if not modes_of(parameters).keeps_whole_trees:
            return self.capabilities
        of_root = ("security.", "trusted.") if os.geteuid() == 0 else ()
        return Capabilities(
            sockets=True,
            xattrs=HAS_XATTRS,
            xattr_prefixes=(*of_root, "system.posix_acl_", "user."),
            owner=os.geteuid() == 0,
        )

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[MemoryServer]:
        """Serve the store in the repository's directory; no other storage is simulated."""
        behaviour = behaviour_of(self._defect)
        store = Store(place.repository, is_new=place.is_new, checks_blobs=behaviour.checks_blobs())
        with closing(store):
            if not place.is_new:
                behaviour.served_again(store)
            yield MemoryServer(place, store, behaviour)


class MemoryServer(PlainServer):
    """Serves one store."""

    def __init__(self, place: TargetPlace, store: Store, behaviour: Behaviour) -> None:
        self.place = place
        self.store = store
        self.behaviour = behaviour
        self.modes = modes_of(place.parameters)
        self.is_ended = False
        self._was_asked = False
        self.locked_out: set[str] = set()
        """Clients whose password was changed."""
        self.readers: set[str] = set()
        """Clients that may only read."""

    @property
    def repository_id(self) -> str:
        return self.store.id

    @property
    def has_permissions(self) -> bool:
        return self.place.mode is Mode.SERVER

    async def add_clients(self, clients: Sequence[str]) -> None:
        for client in clients:
            self.place.secrets.get(_secret_name(client))
        self.store.set_users(self.store.users.union(clients))

    async def remove_client(self, client: str) -> None:
        self.store.set_users(self.store.users - {client})

    def client(self, client: str) -> MemoryClient:
        return MemoryClient(self, client, self.place.secrets.get(_secret_name(client)))

    def impostor(self, client: str) -> MemoryClient:
        return MemoryClient(self, client, "wrong")

    @property
    def auditor(self) -> Auditor | None:
        """Restores everybody's snapshots, past all rights."""
        return MemoryAuditor(self)

    # Abilities: what can be looked at, and broken.

    async def irregularities(self) -> Sequence[str]:
        """Blobs that belong to nobody's layout."""
        return self.behaviour.irregularities()

    async def stored_snapshots(self) -> Mapping[str, SnapshotMarks] | None:
        return self.store.marks()

    async def open_sessions(self) -> int | None:
        return 0

    async def end_server(self, *, is_asked: bool) -> None:
        """From now on nobody is answered."""
        self.is_ended, self._was_asked = True, is_asked

    async def start_server(self) -> None:
        """Answer again."""
        if self.is_ended:
            self.is_ended = False
            self.behaviour.restarted(self.store, was_asked=self._was_asked)

    @property
    def storage_directory(self) -> Path | None:
        return self.place.repository

    @property
    def unfinished_suffix(self) -> str:
        return UNFINISHED

    async def content_blobs(self) -> Sequence[Blob]:
        return self.store.blobs()

    async def change_password(self, client: str) -> None:
        self.locked_out.add(client)

    async def restore_password(self, client: str) -> None:
        self.locked_out.discard(client)

    async def narrow_rights(self, client: str) -> None:
        self.readers.add(client)

    async def widen_rights(self, client: str) -> None:
        self.readers.discard(client)

    async def storage_bytes(self) -> int | None:
        return bytes_below(self.place.repository)

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        if self.is_ended:
            raise OperationFailed("the server has ended")
        await self.behaviour.before("gc", self.place.operation_seconds_max)
        self.store.tidy()
        if not is_full:
            return
        if self.behaviour.frees_storage():
            self.store.collect(is_safe=is_safe)
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
        self._check_may_write()
        # Pinned until it is kept: a collection may run at any turn of the reading.
        with self._store.pinned() as pins:
            snapshot = self._behaviour.taken(await self._take(source, operation, pins), self._store)
            self._check_answered()
            if self._behaviour.is_kept(snapshot):
                self._store.keep(snapshot)
        return self._behaviour.acknowledged(receipt_of(snapshot), self._store)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self._begin("restore")
        stored = self._find(snapshot)
        tree = Tree(stored.items, self._store).part(sub_path)
        if not tree.items:
            raise OperationFailed(f"there is no {sub_path!r} in snapshot {snapshot}")
        tree = self._behaviour.restored(tree, stored, self._store)
        await in_turns(write_tree(tree, os.fsencode(destination)))
        self._behaviour.wrote(destination)
        self._check_answered()

    async def delete_snapshot(self, snapshot: str) -> None:
        await self._begin("delete")
        self._check_may_write()
        for doomed in self._behaviour.deleted(self._find(snapshot), self._store):
            self._store.drop(doomed)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await self._begin("expire")
        self._check_may_write()
        snapshots = self._store.of(self._client, path_as_text(source))
        doomed, kept = snapshots[:-keep_latest], snapshots[-keep_latest:]
        for snapshot in self._behaviour.expired(doomed, kept):
            self._store.drop(snapshot)

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        await self._begin("list")
        own = list(self._store.listing(self._client))
        others = self._store.listing(self._client, is_own=False)
        return tuple(self._behaviour.listed(own, others))

    async def verify_snapshots(self) -> None:
        await self._verify(self._store.of(self._client))

    async def _verify(self, snapshots: Iterable[Stored]) -> None:
        await self._begin("verify")
        digests = {item.digest for snapshot in snapshots for item in snapshot.items if item.digest}
        try:
            await in_turns(self._check_blobs(sorted(digests)))
        except OperationFailed as error:
            if self._behaviour.complains():
                raise OperationPartial(f"verify found damage: {error}") from error

    def _check_blobs(self, digests: Iterable[str]) -> Iterator[None]:
        for digest in digests:
            self._store.blob(digest)
            yield

    async def _take(self, source: Path, operation: str, pins: set[str]) -> Stored:
        number, began_us = self._store.next_number(), _now_us()
        add_blob = functools.partial(self._store.add_blob, pins=pins)
        is_whole = self._server.modes.keeps_whole_trees
        items = await in_turns(read_tree(os.fsencode(source), add_blob, is_whole=is_whole))
        return Stored(
            id=secrets.token_hex(16),
            number=number,
            client=self._client,
            source=path_as_text(source),
            testbed=self._server.place.testbed,
            operation=operation,
            items=tuple(items),
            began_us=began_us,
            ended_us=_now_us(),
        )

    def _check_answered(self) -> None:
        if self._server.is_ended:
            raise OperationUnknown("the server has ended")

    def _check_may_write(self) -> None:
        if self._client in self._server.readers and self._behaviour.narrows():
            raise AccessDenied(f"{self._client} may only read")

    async def _begin(self, operation: str) -> None:
        self._check_answered()
        self._check_access()
        await self._behaviour.before(operation, self._server.place.operation_seconds_max)

    def _check_access(self) -> None:
        is_right = self._password == self._server.place.secrets.get(_secret_name(self._client))
        if self._client in self._server.locked_out and self._behaviour.password_changes():
            is_right = False
        is_known = self._client in self._store.users
        if self._server.has_permissions and not self._behaviour.lets_in(is_known=is_known, is_password_right=is_right):
            raise AccessDenied(f"{self._client} is not let in")

    def _may_see(self, snapshot: Stored) -> bool:
        return snapshot.client == self._client

    def _find(self, snapshot: str) -> Stored:
        found = self._store.get(snapshot)
        if found is None or not self._may_see(found):
            raise OperationFailed(f"there is no snapshot {snapshot}")
        return found


class MemoryAuditor(MemoryClient):
    """Restores everybody's snapshots, past all rights."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server, "auditor", "")

    async def verify_snapshot(self, snapshot: str) -> None:
        await self._verify([self._find(snapshot)])

    def _check_access(self) -> None:
        """There is nothing to check."""

    def _may_see(self, snapshot: Stored) -> bool:
        return True


def _now_us() -> int:
    return Clock().wall_ns() // 1000


def _secret_name(client: str) -> str:
    return f"client {client}"
