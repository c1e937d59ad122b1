"""Arrivals: clients connect side by side, and each may begin once it is there itself, while others still connect."""

from __future__ import annotations

from collections.abc import Sequence

import anyio


class Arrivals:
    """Which of a run's clients are there."""

    def __init__(self, clients: Sequence[str]) -> None:
        self._arrived = {client: anyio.Event() for client in clients}
        self._first = anyio.Event()

    def arrive(self, client: str) -> None:
        """This one is connected, and its files are known."""
        self._arrived[client].set()
        self._first.set()

    async def wait_for(self, client: str) -> None:
        """Return once this one is there."""
        await self._arrived[client].wait()

    async def wait_for_first(self) -> None:
        """Return once any of them is there."""
        await self._first.wait()

    async def wait_for_all(self) -> None:
        """Return once all of them are there."""
        for arrived in self._arrived.values():
            await arrived.wait()
