"""The other machine's side of the clients that run there: has each ask the target."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from snapstorm.errors import HarnessError
from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.remote import requests
from snapstorm.remote.opened_clients import OpenClient

_DONE = requests.Done()


class HostedClients:
    """The clients on this machine that can get to the server."""

    def __init__(self, open_client: OpenClient) -> None:
        self._open_client = open_client
        self._opened: dict[str, ClientSnapshotter] = {}
        self._asked: dict[str, requests.AskConnection] = {}
        """What each was opened for."""
        self.answers: Mapping[type[requests.HostRequest[Any]], Callable[[Any], Awaitable[Any]]] = {
            requests.AskConnection: self._connect,
            requests.AskDisconnection: self._disconnect,
            requests.AskCreation: self._create,
            requests.AskRestore: self._restore,
            requests.AskDeletion: self._delete,
            requests.AskExpiry: self._expire,
            requests.AskListing: self._list,
            requests.AskCheck: self._check,
        }

    def _client(self, name: str) -> ClientSnapshotter:
        if name not in self._opened:
            raise HarnessError(f"{name} has not been connected on this machine")
        return self._opened[name]

    async def _connect(self, request: requests.AskConnection) -> requests.Done:
        if self._asked.get(request.client) != request:
            self._opened[request.client] = self._open_client(request.access, request.address)
            self._asked[request.client] = request
        await self._client(request.client).connect()
        return _DONE

    async def _disconnect(self, request: requests.AskDisconnection) -> requests.Done:
        if request.client in self._opened:
            await self._client(request.client).disconnect()
        return _DONE

    async def _create(self, request: requests.AskCreation) -> SnapshotReceipt:
        source = Path(os.fsdecode(request.source))
        return await self._client(request.client).create_snapshot(source, request.operation)

    async def _restore(self, request: requests.AskRestore) -> requests.Done:
        destination = Path(os.fsdecode(request.destination))
        await self._client(request.client).restore_snapshot(request.snapshot, destination, request.sub_path)
        return _DONE

    async def _delete(self, request: requests.AskDeletion) -> requests.Done:
        await self._client(request.client).delete_snapshot(request.snapshot)
        return _DONE

    async def _expire(self, request: requests.AskExpiry) -> requests.Done:
        source = Path(os.fsdecode(request.source))
        await self._client(request.client).expire_snapshots(source, request.keep_latest)
        return _DONE

    async def _list(self, request: requests.AskListing) -> requests.Listed:
        return requests.Listed(await self._client(request.client).list_snapshots())

    async def _check(self, request: requests.AskCheck) -> requests.Done:
        await self._client(request.client).verify_snapshots()
        return _DONE
