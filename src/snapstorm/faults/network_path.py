"""The network between clients and server: a relay for each client, so that faults can disturb it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from snapstorm.runtime.relay import Conditions, Relay
from snapstorm.runtime.tasks import plain_task_group


class NetworkPath:
    """All clients' ways to one server. Made by `open_network_path`."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._relays: dict[str, Relay] = {}
        self._making = anyio.Lock()

    async def route(self, client: str, host: str, port: int) -> tuple[str, int]:
        """Where this client has to connect to, to get to that port by its own way."""
        async with self._making:
            if client not in self._relays:
                relay = Relay(host, port)
                await self._tasks.start(relay.serve)
                self._relays[client] = relay
        return self._relays[client].host, self._relays[client].port

    @property
    def clients(self) -> list[str]:
        """Those that have a way, sorted."""
        return sorted(self._relays)

    def set(self, conditions: Conditions, clients: Iterable[str]) -> None:
        """How bytes pass on these clients' ways from now on."""
        for client in clients:
            self._relays[client].set(conditions)

    def reset(self, clients: Iterable[str]) -> int:
        """Break off these clients' connections. Returns how many there were."""
        return sum(self._relays[client].reset() for client in clients)

    def lose_server_ends(self, clients: Iterable[str]) -> int:
        """Break off the server's ends of these clients' connections only. Returns how many there were."""
        return sum(self._relays[client].lose_server_ends() for client in clients)

    def connections_count(self, clients: Iterable[str]) -> int:
        """How many connections these clients have now."""
        return sum(self._relays[client].connections_count for client in clients)


@asynccontextmanager
async def open_network_path() -> AsyncIterator[NetworkPath]:
    """The ways of all clients, which end with the block."""
    async with plain_task_group() as tasks:
        yield NetworkPath(tasks)
        tasks.cancel_scope.cancel()
