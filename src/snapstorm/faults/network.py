"""Faults of the network between clients and server."""

from __future__ import annotations

from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record, Scene
from snapstorm.faults.network_path import NetworkPath
from snapstorm.runtime.relay import CLEAR, Conditions

_WAIT_FOR_CONNECTION_SECONDS_MAX = 10.0
_POLL_SECONDS = 0.02


class _DisturbsNetwork(Fault):
    """Disturbs the ways of all clients, or of some."""

    kind = FaultKind.NETWORK
    needs = "clients that reach a server of our own over the network"
    aftermath_seconds = 8.0

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        return None if scene.network_path is not None else "clients don't reach the server over a network of ours"

    @property
    def path(self) -> NetworkPath:
        assert self.scene.network_path is not None
        return self.scene.network_path

    def strike_some(self) -> list[str]:
        """Choose some of the clients, at least one, and not all of several; only they are touched."""
        clients = self.path.clients
        count = self.draws.randint(1, max(1, len(clients) - 1))
        chosen = sorted(self.draws.sample(clients, count))
        self.clients = frozenset(chosen)
        return chosen

    def strike_all(self) -> list[str]:
        """All clients."""
        self.clients = frozenset(self.path.clients)
        return self.path.clients

    async def heal(self) -> None:
        self.path.set(CLEAR, self.clients or ())

    async def wait_for_connections(self, clients: list[str]) -> None:
        """Return once one of them has a connection. Raises NothingToBreak if none has for long."""
        with self.scene.clock.move_on_after(_WAIT_FOR_CONNECTION_SECONDS_MAX):
            while self.path.connections_count(clients) == 0:
                await self.scene.clock.sleep(_POLL_SECONDS)
        if self.path.connections_count(clients) == 0:
            raise NothingToBreak("nobody was connected")


class NetworkLatency(_DisturbsNetwork):
    """Everything that goes to or from the server takes 5 to 100 ms longer."""

    key = "network-latency"
    hold_seconds = (2.0, 8.0)

    async def inject(self, record: Record) -> None:
        delay_seconds = self.draws.uniform(0.005, 0.1)
        record({"delay_seconds": delay_seconds})
        self.path.set(Conditions(delay_seconds=delay_seconds), self.strike_all())


class NetworkBandwidth(_DisturbsNetwork):
    """Each connection carries only 0.2 to 4 MB a second."""

    key = "network-bandwidth"
    hold_seconds = (2.0, 8.0)

    async def inject(self, record: Record) -> None:
        bytes_per_second = self.draws.uniform(0.2e6, 4e6)
        record({"bytes_per_second": bytes_per_second})
        self.path.set(Conditions(bytes_per_second=bytes_per_second), self.strike_all())


class NetworkReset(_DisturbsNetwork):
    """All connections of some clients are reset."""

    key = "network-reset"
    weight = 3
    hold_seconds = (0.0, 0.1)

    async def inject(self, record: Record) -> None:
        clients = self.strike_some()
        await self.wait_for_connections(clients)
        record({"clients": clients})
        self.path.reset(clients)


class NetworkHalfOpen(_DisturbsNetwork):
    """The server loses its ends of some clients' connections; the clients are told only later."""

    key = "network-half-open"
    weight = 2
    hold_seconds = (1.0, 6.0)

    async def inject(self, record: Record) -> None:
        clients = self.strike_some()
        await self.wait_for_connections(clients)
        record({"clients": clients})
        self.path.lose_server_ends(clients)

    async def heal(self) -> None:
        self.path.reset(self.clients or ())


class NetworkBlackHole(_DisturbsNetwork):
    """Nothing gets through to the server or from it, and nobody is told."""

    key = "network-black-hole"
    weight = 2
    hold_seconds = (1.0, 8.0)

    async def inject(self, record: Record) -> None:
        clients = self.strike_all()
        record({"clients": clients})
        self.path.set(Conditions(is_blocked=True), clients)


class Partition(_DisturbsNetwork):
    """Some clients are cut off from the server for up to 25 seconds; the others are not."""

    key = "partition"
    weight = 2
    hold_seconds = (5.0, 25.0)

    async def inject(self, record: Record) -> None:
        clients = self.strike_some()
        record({"clients": clients})
        self.path.set(Conditions(is_blocked=True), clients)
