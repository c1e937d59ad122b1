"""Many clients behind the interfaces of one: the current client travels in a context variable.

`MultiClientFileWriter` and `MultiClientSnapshotter` let the same engine that drives one plain `FileWriter` and
`Snapshotter` drive many: inside a client's block each call goes to that client's own delegate; outside of one, it is
a clear error.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from snapstorm.errors import HarnessError
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt, WriteReport
from snapstorm.model.actions import FileAction
from snapstorm.model.manifest import Manifest
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import ClientSnapshotter, FileWriter, Server
from snapstorm.testbed.identity import current_client

Delegate = TypeVar("Delegate")


class _PerClient(Generic[Delegate]):
    """One delegate for each client; `current` is the one place that finds it."""

    def __init__(self) -> None:
        self._delegates: dict[str, Delegate] = {}

    def add(self, client: str, delegate: Delegate) -> None:
        self._delegates[client] = delegate

    def of(self, client: str) -> Delegate:
        try:
            return self._delegates[client]
        except KeyError:
            raise HarnessError(f"{client} was not added to this run") from None

    @property
    def current(self) -> Delegate:
        return self.of(current_client())

    @property
    def has_current(self) -> bool:
        return current_client() in self._delegates


class MultiClientFileWriter:
    """A `FileWriter` that creates one for each client, and delegates to the current client's."""

    def __init__(self, make: Callable[[str], Awaitable[FileWriter]]) -> None:
        self._make = make
        self._writers = _PerClient[FileWriter]()

    async def add_client(self, client: str) -> None:
        """Make this client's writer, which reads the tree first that it may find."""
        self._writers.add(client, await self._make(client))

    @property
    def data_directory(self) -> Path:
        return self._writers.current.data_directory

    def can_apply(self, action: type[FileAction]) -> bool:
        return self._writers.current.can_apply(action)

    async def apply(self, action: FileAction, draws: random.Random) -> Ok[WriteReport] | NoOp:
        return await self._writers.current.apply(action, draws)

    async def scan(self) -> Manifest:
        return await self._writers.current.scan()

    async def watch(self) -> None:
        """As of one writer. A client of an earlier run, connected only for its snapshots, has no files to watch."""
        if self._writers.has_current:
            await self._writers.current.watch()

    async def changes_by_others(self) -> Sequence[str]:
        return await self._writers.current.changes_by_others() if self._writers.has_current else ()

    async def adopt(self, tree: Path) -> Manifest:
        return await self._writers.current.adopt(tree)

    def pick_directory(self, draws: random.Random) -> bytes | None:
        return self._writers.current.pick_directory(draws)

    async def free_space(self, draws: random.Random) -> WriteReport:
        """As of one writer. A client of an earlier run, connected only for its snapshots, has no files to delete."""
        return await self._writers.current.free_space(draws) if self._writers.has_current else WriteReport()


class MultiClientSnapshotter:
    """A `Snapshotter` over one `Server` and a `ClientSnapshotter` for each client; delegates to the current one's."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._snapshotters = _PerClient[ClientSnapshotter]()

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, without connecting them."""
        await self.server.add_clients(clients)
        for client in clients:
            self._snapshotters.add(client, self.server.client(client))

    async def connect(self, client: str) -> None:
        """Connect a client that was added."""
        await self._snapshotters.of(client).connect()

    def of(self, client: str) -> ClientSnapshotter:
        """That client's own snapshotter."""
        return self._snapshotters.of(client)

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        return await self._snapshotters.current.create_snapshot(source, operation)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self._snapshotters.current.restore_snapshot(snapshot, destination, sub_path)

    async def delete_snapshot(self, snapshot: str) -> None:
        await self._snapshotters.current.delete_snapshot(snapshot)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await self._snapshotters.current.expire_snapshots(source, keep_latest)

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        return await self._snapshotters.current.list_snapshots()

    async def verify_snapshots(self) -> None:
        await self._snapshotters.current.verify_snapshots()
