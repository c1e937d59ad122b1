"""Storage: what a repository holds now against what it held when that was marked."""

from __future__ import annotations

from snapstorm.model.actions import CheckStorage
from snapstorm.model.protocols import Server
from snapstorm.model.seen import StorageSeen


class StorageMark:
    """One run's mark; there is none at first."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._marked_bytes: int | None = None

    async def mark(self) -> int | None:
        """Remember what the repository holds now. None if the target can't tell."""
        self._marked_bytes = await self._server.storage_bytes()
        return self._marked_bytes

    async def compare(self, action: CheckStorage) -> StorageSeen | None:
        """What is held now, beside the mark. None without a mark, or if the target can't tell."""
        now_bytes = await self._server.storage_bytes()
        if self._marked_bytes is None or now_bytes is None:
            return None
        growth_bytes = self._marked_bytes * action.growth_percent_max // 100
        allowed_bytes = self._marked_bytes + growth_bytes + action.slack_bytes
        return StorageSeen(marked_bytes=self._marked_bytes, now_bytes=now_bytes, allowed_bytes=allowed_bytes)
