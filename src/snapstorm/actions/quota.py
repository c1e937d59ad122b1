"""The quota: keeps the repository under test within the bytes that it may take.

Near the limit, deletions and collections get more weight, so that a testbed can go on for months. A snapshot that
might cross the limit is not taken, and the run says so, instead of finding the disk full. While clients are at work,
deletions free nothing, because a safe collection spares what is young (a day, for Kopia). So collections without that
safety are run while nobody works. A client's last snapshots are not deleted to save room: without any, a run would have
nothing to verify.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from snapstorm.errors import ConfigError
from snapstorm.model.actions import ACTIONS, Action
from snapstorm.model.protocols import Server

NEAR_SHARE = 0.8
"""From this share of the limit on, deleting and collecting are drawn more often."""
NEAR_FACTOR = 4

LIVE_SNAPSHOTS_KEPT = 2
"""So many of a client's snapshots are left, however little room there is."""


class Quota:
    """The size of the repository, and its limit: `bytes_max`, or None for no limit."""

    def __init__(self, server: Server, bytes_max: int | None, note: Callable[[str], None]) -> None:
        self._server = server
        self._bytes_max = bytes_max
        self._note = note
        self.used_bytes = 0
        """The size of the repository at the last measurement."""
        self._reserved_bytes = 0
        self._was_full = False

    @property
    def is_near_limit(self) -> bool:
        """Whether room is short, or soon will be."""
        return self._bytes_max is not None and self.used_bytes >= NEAR_SHARE * self._bytes_max

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be stored."""
        return self._bytes_max is not None and self.used_bytes >= self._bytes_max

    def weights(self, weights: Mapping[str, int], live_snapshots: int) -> Mapping[str, int]:
        """The weights as they are to be now for a client with so many live snapshots: near the limit for more room,
        beyond it for no snapshots."""
        if not self.is_near_limit:
            return weights
        return {key: weight * self._factor(ACTIONS[key], live_snapshots) for key, weight in weights.items()}

    def _factor(self, action: type[Action[Any]], live_snapshots: int) -> int:
        if (action.takes_room and self.is_full) or (
            action.needs_right_to_delete and live_snapshots <= LIVE_SNAPSHOTS_KEPT
        ):
            return 0
        return NEAR_FACTOR if action.gives_room else 1

    @asynccontextmanager
    async def reserved(self, bytes_wanted: int) -> AsyncIterator[bool]:
        """Whether a snapshot of so many bytes fits, also beside those being taken now; its bytes are kept for it
        within the block.

        What deduplication will save is not known beforehand, so a snapshot counts in full.
        """
        if self._bytes_max is None:
            yield True
            return
        await self.measure()
        if self.used_bytes + self._reserved_bytes + bytes_wanted > self._bytes_max:
            if not self._was_full:
                self._was_full = True
                self._note(
                    f"the repository holds {self.used_bytes:,} of at most {self._bytes_max:,} bytes, so a snapshot of "
                    f"{bytes_wanted:,} was not taken; deletions and collections make room, or allow more"
                )
            yield False
            return
        self._reserved_bytes += bytes_wanted
        try:
            yield True
        finally:
            self._reserved_bytes -= bytes_wanted

    async def measure(self) -> None:
        """Look how much the repository holds. Raises ConfigError where there is a limit and the target can't tell."""
        if self._bytes_max is None:
            return
        used_bytes = await self._server.storage_bytes()
        if used_bytes is None:
            raise ConfigError("how much the repository holds can't be told here, so leave --repository-bytes-max out")
        self.used_bytes = used_bytes
