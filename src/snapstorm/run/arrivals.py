"""Arrivals: clients connect side by side, and each may begin once it can, while others still connect.

What a client does to its own files it can do before it is connected.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio


class Arrivals:
    """Which of a run's clients are there."""

    def __init__(self, clients: Sequence[str]) -> None:
        self._have_files = {client: anyio.Event() for client in clients}
        self._arrived = {client: anyio.Event() for client in clients}
        self._first_has_files = anyio.Event()
        self._first_arrived = anyio.Event()

    def have_files(self, client: str) -> None:
        """This one's files are known."""
        self._have_files[client].set()
        self._first_has_files.set()

    def arrive(self, client: str) -> None:
        """This one is connected, and its files are known."""
        self.have_files(client)
        self._arrived[client].set()
        self._first_arrived.set()

    async def wait_for(self, client: str, *, only_files: bool = False) -> None:
        """Return once this one is there, or may change its files."""
        await (self._have_files if only_files else self._arrived)[client].wait()

    async def wait_for_first(self, *, only_files: bool = False) -> None:
        """Return once any of them is there, or may change its files."""
        await (self._first_has_files if only_files else self._first_arrived).wait()

    async def wait_for_all(self) -> None:
        """Return once all of them are there."""
        for arrived in self._arrived.values():
            await arrived.wait()
