"""Many clients behind the interfaces of one: the current client travels in a context variable.

`MultiClientFileWriter` and `MultiClientSnapshotter` let the same engine that drives one plain `FileWriter` and
`Snapshotter` drive many: inside a client's block each call goes to that client's own delegate; outside of one, it is
a clear error.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from snapstorm.errors import HarnessError
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt, WriteReport
from snapstorm.model.actions import FileAction
from snapstorm.model.manifest import Manifest
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.model.protocols import ClientSnapshotter, FileWriter, Server
from snapstorm.testbed.identity import current_client

Delegate = TypeVar("Delegate")


class _PerClient(dict[str, Delegate]):
    """One delegate for each client that was added."""

    def __missing__(self, client: str) -> NoReturn:
        raise HarnessError(f"{client} was not added to this run")


class MultiClientFileWriter:
    """A `FileWriter` that creates one for each client, and delegates to the current client's."""

    def __init__(self, make: Callable[[str], Awaitable[FileWriter]]) -> None:
        self._make = make
        self._writers = _PerClient[FileWriter]()

    async def add_client(self, client: str) -> None:
        """Make this client's writer, which reads the tree first that it may find."""
        self._writers[client] = await self._make(client)

    @property
    def data_directory(self) -> Path:
        return self._writers[current_client()].data_directory

    def can_apply(self, action: type[FileAction]) -> bool:
        return self._writers[current_client()].can_apply(action)

    async def apply(self, action: FileAction, draws: random.Random) -> Ok[WriteReport] | NoOp:
        return await self._writers[current_client()].apply(action, draws)

    async def scan(self) -> Manifest:
        return await self._writers[current_client()].scan()

    async def watch(self) -> None:
        """As of one writer. A client of an earlier run, connected only for its snapshots, has no files to watch."""
        writer = self._writers.get(current_client())
        if writer is not None:
            await writer.watch()

    async def changes_by_others(self) -> Sequence[str]:
        writer = self._writers.get(current_client())
        return () if writer is None else await writer.changes_by_others()

    async def adopt(self, tree: Path) -> Manifest:
        return await self._writers[current_client()].adopt(tree)

    async def pick_directory(self, draws: random.Random) -> bytes | None:
        return await self._writers[current_client()].pick_directory(draws)

    async def free_space(self, draws: random.Random) -> WriteReport:
        """As of one writer. A client of an earlier run, connected only for its snapshots, has no files to delete."""
        writer = self._writers.get(current_client())
        return WriteReport() if writer is None else await writer.free_space(draws)


class MultiClientSnapshotter:
    """A `Snapshotter` over one `Server` and a `ClientSnapshotter` for each client; delegates to the current one's."""

    def __init__(self, server: Server, open_client: Callable[[str], ClientSnapshotter] | None = None) -> None:
        """`open_client` makes the snapshotter of a client that was added; the server does if there is none."""
        self.server = server
        self._open_client = open_client or server.client
        self._snapshotters = _PerClient[ClientSnapshotter]()

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, without connecting them."""
        await self.server.add_clients(clients)
        for client in clients:
            self._snapshotters[client] = self._open_client(client)

    def of(self, client: str) -> ClientSnapshotter:
        """That client's own snapshotter."""
        return self._snapshotters[client]

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        return await self._snapshotters[current_client()].create_snapshot(source, operation)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self._snapshotters[current_client()].restore_snapshot(snapshot, destination, sub_path)

    async def delete_snapshot(self, snapshot: str) -> None:
        await self._snapshotters[current_client()].delete_snapshot(snapshot)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await self._snapshotters[current_client()].expire_snapshots(source, keep_latest)

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        return await self._snapshotters[current_client()].list_snapshots()

    async def verify_snapshots(self) -> None:
        await self._snapshotters[current_client()].verify_snapshots()
