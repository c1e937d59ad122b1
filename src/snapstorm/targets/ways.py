"""By which way each client reaches a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from snapstorm.model.abilities import Route
from snapstorm.targets.server_process import host_and_port


@dataclass(frozen=True)
class Ways:
    """The ways of clients on this machine."""

    route: Route | None
    """Gives the way of a client; None where all go straight."""
    address_by_client: dict[str, str] = field(default_factory=dict)

    async def find(self, clients: Iterable[str], server: str) -> None:
        """Find the ways of these clients to a server, `HOST:PORT`."""
        if self.route is not None:
            for client in clients:
                host, port = await self.route(client, *host_and_port(server))
                self.address_by_client[client] = f"{host}:{port}"

    def of(self, client: str) -> str | None:
        """Where this client finds the server, `HOST:PORT`; None if where it listens."""
        return self.address_by_client.get(client)
