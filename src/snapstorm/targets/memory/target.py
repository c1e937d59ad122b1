"""The target `memory`: a simulated backup system behind the same protocols as the real one."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec

from snapstorm.errors import AccessDenied, OperationFailed, OperationPartial, OperationUnknown
from snapstorm.filesystem.scanner import bytes_below
from snapstorm.model.abilities import Blob, SnapshotMarks
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.location import S3Storage
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import Auditor, TargetDescription, TargetPlace
from snapstorm.model.retention import Retention, kept_by
from snapstorm.runtime.aws import KEY_VARIABLES
from snapstorm.runtime.clock import Clock
from snapstorm.targets.memory.bucket_store import CAREFUL, BucketStore, Credulity
from snapstorm.targets.memory.exclusion import ExclusiveLock
from snapstorm.targets.memory.parameters import modes_of
from snapstorm.targets.memory.store import UNFINISHED, Store, Stored
from snapstorm.targets.memory.trees import HAS_XATTRS, Tree, in_turns, read_tree, write_tree
from snapstorm.targets.plain import PlainServer, PlainTarget

Keep: TypeAlias = Callable[[Retention, Mapping[str, int]], Collection[str]]
"""Which snapshots a retention keeps, of those of one source, with the times at which they were taken."""


class MemoryTarget(PlainTarget):
    """A simulated backup system, as credulous as it is made."""

    def __init__(self, credulity: Credulity = CAREFUL, keep: Keep = kept_by) -> None:
        """`keep`: what its retention keeps of a source's snapshots."""
        self._credulity = credulity
        self._keep = keep

    @property
    def description(self) -> TargetDescription:
        return TargetDescription("memory")

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
        """Serve the store in the repository's directory, or with its blobs in the gateway's bucket."""
        with closing(self._open(place)) as store:
            yield MemoryServer(place, store, self._keep)

    def _open(self, place: TargetPlace) -> Store:
        bucket, is_new, credulity = place.storage, place.is_new, self._credulity
        if not isinstance(bucket, S3Storage):
            return Store(place.repository, is_new=is_new, checks_blobs=credulity.checks_blobs)
        access_key = (place.storage_secrets or {})[KEY_VARIABLES[0]]
        return BucketStore(place.directory / "repository", bucket, access_key, is_new=is_new, credulity=credulity)


class MemoryServer(PlainServer):
    """Serves one store."""

    def __init__(self, place: TargetPlace, store: Store, keep: Keep = kept_by) -> None:
        self.place = place
        self.keep = keep
        self.store = store
        self.modes = modes_of(place.parameters, place.mode)
        self.lock = ExclusiveLock(self.modes.locks, place.operation_seconds_max)
        self.is_ended = False
        self.locked_out: set[str] = set()
        """Clients whose password was changed."""
        self.readers: set[str] = set()
        """Clients that may only read."""
        self.deletes = True

    @property
    def repository_id(self) -> str:
        return self.store.id

    @property
    def authenticates(self) -> bool:
        return self.modes.authenticates

    @property
    def isolates_clients(self) -> bool:
        return self.modes.isolates_clients

    @property
    def checks_whole_repository(self) -> bool:
        return self.modes.checks_whole_repository

    async def add_clients(self, clients: Sequence[str]) -> None:
        for client in clients:
            self.place.secrets.get(f"client {client}")
        self.store.set_users(self.store.users.union(clients))

    async def remove_client(self, client: str) -> None:
        self.store.set_users(self.store.users - {client})

    def client(self, client: str) -> MemoryClient:
        return MemoryClient(self, client)

    def impostor(self, client: str) -> MemoryClient:
        return MemoryClient(self, client, knows_password=False)

    @property
    def auditor(self) -> Auditor | None:
        """Restores everybody's snapshots, past all rights."""
        return MemoryAuditor(self)

    # Abilities: what can be looked at, and broken.

    async def irregularities(self) -> Sequence[str]:
        """Blobs that belong to nobody's layout."""
        return ()

    async def stored_snapshots(self) -> Mapping[str, SnapshotMarks] | None:
        return self.store.marks()

    async def open_sessions(self) -> int | None:
        return 0

    async def end_server(self, *, is_asked: bool) -> None:
        """From now on nobody is answered."""
        self.is_ended = True

    async def start_server(self) -> None:
        """Answer again."""
        self.is_ended = False

    @property
    def storage_directory(self) -> Path | None:
        return None if isinstance(self.store, BucketStore) else self.place.repository

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

    async def refuse_deletions(self) -> None:
        self.deletes = False

    async def allow_deletions(self) -> None:
        self.deletes = True

    async def storage_bytes(self) -> int | None:
        return self.store.bytes_total if isinstance(self.store, BucketStore) else bytes_below(self.place.repository)

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        if self.is_ended:
            raise OperationFailed("the server has ended")
        async with self.lock.held():
            self.store.tidy()
            if is_full:
                self.store.collect(is_safe=is_safe)


class MemoryClient:
    """One identity's way into a store."""

    def __init__(self, server: MemoryServer, client: str, *, knows_password: bool = True) -> None:
        self._server = server
        self._client = client
        self._knows_password = knows_password
        self._store = server.store
        time = server.place.time
        self._now_ns = Clock().virtual_ns if time is None else time.now_ns

    async def connect(self) -> None:
        self._check_access()

    async def disconnect(self) -> None:
        """No connection is kept."""

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        async with self._operation():
            self._check_may_write()
            # Pinned until it is kept: a collection may run at any turn of the reading.
            with self._store.pinned() as pins:
                snapshot = await self._take(source, operation, pins)
                self._check_answered()
                self._store.keep(snapshot)
                self._apply_retention(snapshot.source)
            return SnapshotReceipt(id=snapshot.id, **snapshot.particulars._asdict())

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        async with self._operation():
            stored = self._find(snapshot)
            tree = Tree(stored.items, self._store)
            if sub_path:
                tree = tree.part(sub_path)
            if not tree.items:
                raise OperationFailed(f"there is no {sub_path!r} in snapshot {snapshot}")
            with self._telling_damage([stored]):
                await in_turns(write_tree(tree, os.fsencode(destination)))
            self._check_answered()

    async def delete_snapshot(self, snapshot: str) -> None:
        async with self._operation():
            self._check_may_delete()
            self._store.drop(self._find(snapshot))

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        async with self._operation():
            self._check_may_delete()
            found = self._store.of(self._client, path_as_text(source))
            for snapshot in sorted(found, key=lambda one: (one.began_us or 0, one.number))[:-keep_latest]:
                self._store.drop(snapshot)

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        modes = self._server.modes
        async with self._operation():
            shown = tuple(self._store.listing(self._client if modes.isolates_clients else None))
            if modes.counts_in_listings:
                return shown
            return tuple(msgspec.structs.replace(one, particulars=_without_counts(one.particulars)) for one in shown)

    async def verify_snapshots(self) -> None:
        async with self._operation():
            is_of_all = self._server.modes.checks_whole_repository
            await self._verify(list(self._store) if is_of_all else self._store.of(self._client))

    async def _verify(self, snapshots: Sequence[Stored]) -> None:
        try:
            with self._telling_damage(snapshots):
                await in_turns(self._check_blobs(sorted(_digests_of(snapshots))))
        except OperationFailed as error:
            raise OperationPartial(f"verify found damage: {error}", blobs=error.blobs) from error

    def _check_blobs(self, digests: Iterable[str]) -> Iterator[None]:
        for digest in digests:
            try:
                self._store.blob(digest)
            except OperationFailed:
                if self._store.is_used(digest):  # Else its snapshot was deleted meanwhile, by another client.
                    raise
            yield

    @contextmanager
    def _telling_damage(self, snapshots: Iterable[Stored]) -> Iterator[None]:
        """A block that reads what these snapshots need. Where no blob is named, each of them may be the reason."""
        try:
            yield
        except OperationFailed as error:
            if self._server.modes.names_blobs:
                raise
            raise OperationFailed("something stored is damaged or missing", blobs=_digests_of(snapshots)) from error

    async def _take(self, source: Path, operation: str, pins: set[str]) -> Stored:
        number, began_us = self._store.next_number(), self._now_ns(self._client) // 1000
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
            ended_us=self._now_ns(self._client) // 1000,
        )

    def _apply_retention(self, source: str) -> None:
        """Drop what the policy of the repository does not keep of a source. What an older snapstorm has stored has no
        time, and stays."""
        policy = self._server.place.retention
        if policy is None:
            return
        stored = {snapshot.id: snapshot for snapshot in self._store.of(self._client, source)}
        taken_us = {name: one.began_us for name, one in stored.items() if one.began_us is not None}
        kept = self._server.keep(Retention(policy=policy, ends_at_latest=True), taken_us)
        for name in taken_us.keys() - set(kept):
            self._store.drop(stored[name])

    def _check_answered(self) -> None:
        if self._server.is_ended:
            raise OperationUnknown("the server has ended")

    def _check_may_write(self) -> None:
        if self._client in self._server.readers:
            raise AccessDenied(f"{self._client} may only read")

    def _check_may_delete(self) -> None:
        self._check_may_write()
        if not self._server.deletes:
            raise AccessDenied("nobody may delete")

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[None]:
        """A block that is done as one operation."""
        self._check_answered()
        self._check_access()
        async with self._server.lock.held():
            yield

    def _check_access(self) -> None:
        is_locked_out = self._client in self._server.locked_out
        is_let_in = self._knows_password and not is_locked_out and self._client in self._store.users
        if self._server.modes.authenticates and not is_let_in:
            raise AccessDenied(f"{self._client} is not let in")

    def _may_see(self, snapshot: Stored) -> bool:
        return snapshot.client == self._client or not self._server.isolates_clients

    def _find(self, snapshot: str) -> Stored:
        found = self._store.get(snapshot)
        if found is None or not self._may_see(found):
            raise OperationFailed(f"there is no snapshot {snapshot}")
        return found


class MemoryAuditor(MemoryClient):
    """Restores everybody's snapshots, past all rights."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server, "auditor")

    async def verify_snapshot(self, snapshot: str) -> None:
        async with self._operation():
            await self._verify([self._find(snapshot)])

    def _check_access(self) -> None:
        """There is nothing to check."""

    def _may_see(self, snapshot: Stored) -> bool:
        return True


def _digests_of(snapshots: Iterable[Stored]) -> set[str]:
    """The blobs that they need."""
    return {item.digest for snapshot in snapshots for item in snapshot.items if item.digest}


def _without_counts(said: Particulars | None) -> Particulars | None:
    return said and Particulars(said.began_us, said.ended_us)
