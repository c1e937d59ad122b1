"""What operations of the simulated backup system hold that exclude each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from snapstorm.errors import OperationTimedOut, RepositoryLocked


class ExclusiveLock:
    """Held by one operation at a time; others wait for it, or are refused. None at all unless it was chosen."""

    def __init__(self, kind: str, seconds_max: float) -> None:
        """`kind`: as the parameter `locks` says; who waits for so long gives up."""
        self._kind = kind
        self._seconds_max = seconds_max
        self._free = anyio.Semaphore(1)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """An operation that holds it, if there is to be a lock. Raises TargetError."""
        if self._kind == "none":
            yield
            return
        if self._kind == "refuse" and not self._free.value:
            raise RepositoryLocked("the repository is locked by another operation")
        with anyio.move_on_after(self._seconds_max) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            raise OperationTimedOut(f"the repository was still locked after {self._seconds_max:g} s")
        try:
            yield
        finally:
            self._free.release()
