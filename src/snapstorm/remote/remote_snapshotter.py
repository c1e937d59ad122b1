"""The coordinator's side of a client that runs on another machine. What it asks the target for happens there."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from snapstorm.errors import TargetError
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.client_access import ClientAccess
from snapstorm.remote import requests
from snapstorm.remote.remote_machine import Caller

Answer = TypeVar("Answer")


@dataclass
class RemoteSnapshotter:
    """Implements `ClientSnapshotter`."""

    client: str
    call: Caller
    access: Callable[[], ClientAccess]
    """What the client needs to get to the server, as it is now."""
    find_address: Callable[[ClientAccess], Awaitable[str | None]]
    """Where it reaches the server, `HOST:PORT`, if not where that listens."""
    add_last_words: Callable[[TargetError], None]
    """Adds to a failure how the server has ended, if it has."""
    asking: AbstractContextManager[None] = field(default_factory=nullcontext)
    """The block in which the target is asked."""
    has_connected: bool = False
    """Whether it has ever been connected."""

    async def connect(self) -> None:
        access = self.access()
        address = await self.find_address(access)
        await self._ask(requests.AskConnection(self.client, msgspec.msgpack.encode(access), address))
        self.has_connected = True

    async def disconnect(self) -> None:
        await self._ask(requests.AskDisconnection(self.client))

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        return await self._ask(requests.AskCreation(self.client, os.fsencode(source), operation))

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self._ask(requests.AskRestore(self.client, snapshot, os.fsencode(destination), sub_path))

    async def delete_snapshot(self, snapshot: str) -> None:
        await self._ask(requests.AskDeletion(self.client, snapshot))

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await self._ask(requests.AskExpiry(self.client, os.fsencode(source), keep_latest))

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        return (await self._ask(requests.AskListing(self.client))).snapshots

    async def verify_snapshots(self) -> None:
        await self._ask(requests.AskCheck(self.client))

    async def _ask(self, request: requests.HostRequest[Answer]) -> Answer:
        try:
            with self.asking:
                return await self.call(request)
        except TargetError as error:
            self.add_last_words(error)
            raise
