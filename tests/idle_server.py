"""A server that does nothing: what a test needs of one stands in a subclass."""

from __future__ import annotations

from collections.abc import Sequence

from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.targets.plain import PlainServer


class IdleServer(PlainServer):
    """Has no clients, and checks no passwords."""

    @property
    def repository_id(self) -> str:
        return "idle"

    @property
    def authenticates(self) -> bool:
        return False

    @property
    def isolates_clients(self) -> bool:
        return False

    async def add_clients(self, clients: Sequence[str]) -> None:
        raise NotImplementedError

    async def remove_client(self, client: str) -> None:
        raise NotImplementedError

    def client(self, client: str) -> ClientSnapshotter:
        raise NotImplementedError

    def impostor(self, client: str) -> ClientSnapshotter:
        raise NotImplementedError

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        raise NotImplementedError
