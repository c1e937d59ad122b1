"""The coordinator's side of a client that runs on another machine. What it asks the target for happens there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.remote import requests
from snapstorm.remote.remote_machine import Caller


@dataclass(frozen=True)
class RemoteSnapshotter:
    """Implements `ClientSnapshotter`."""

    client: str
    call: Caller
    access: Callable[[], bytes]
    """What the client needs to get to the server, as it is now."""

    async def connect(self) -> None:
        await self.call(requests.AskConnection(self.client, self.access()))

    async def disconnect(self) -> None:
        await self.call(requests.AskDisconnection(self.client))

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        return await self.call(requests.AskCreation(self.client, os.fsencode(source), operation))

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self.call(requests.AskRestore(self.client, snapshot, os.fsencode(destination), sub_path))

    async def delete_snapshot(self, snapshot: str) -> None:
        await self.call(requests.AskDeletion(self.client, snapshot))

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await self.call(requests.AskExpiry(self.client, os.fsencode(source), keep_latest))

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        return (await self.call(requests.AskListing(self.client))).snapshots

    async def verify_snapshots(self) -> None:
        await self.call(requests.AskCheck(self.client))
