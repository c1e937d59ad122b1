"""The simulated target with clients and a server of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from snapstorm.model.protocols import TargetPlace
from snapstorm.targets.memory.target import MemoryAuditor, MemoryClient, MemoryServer, MemoryTarget


class TrickedServer(MemoryServer):
    """Serves clients of these kinds. For subclasses in tests."""

    client_kind: type[MemoryClient] = MemoryClient
    auditor_kind: type[MemoryAuditor] = MemoryAuditor

    def client(self, client: str) -> MemoryClient:
        return self.client_kind(self, client)

    @property
    def auditor(self) -> MemoryAuditor:
        return self.auditor_kind(self)


class TrickedTarget(MemoryTarget):
    """Serves with a server of this kind, whose clients are of these kinds."""

    def __init__(
        self,
        client: type[MemoryClient] = MemoryClient,
        server: type[TrickedServer] = TrickedServer,
        auditor: type[MemoryAuditor] = MemoryAuditor,
    ) -> None:
        super().__init__()
        self._kinds = client, server, auditor

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[TrickedServer]:
        client, server, auditor = self._kinds
        async with super().serve(place) as plain:
            tricked = server(plain.place, plain.store)
            tricked.client_kind, tricked.auditor_kind = client, auditor
            yield tricked
