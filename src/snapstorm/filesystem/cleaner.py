"""The cleaner: removes restored trees while their clients go on, as long as there are not too many of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from snapstorm.filesystem.bulk_removal import remove_many_trees
from snapstorm.filesystem.removal import remove_tree
from snapstorm.runtime.meter import Meter, Work
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.tasks import plain_task_group
from snapstorm.runtime.threads import Urgency, run_file_work

BACKLOG_MAX = 8
"""So many trees may wait to be removed; each takes room on the disk."""
MANY_ENTRIES = 1000
"""From so many on it is worth a process."""


class Cleaner:
    """Removes trees that nobody needs any more: within its block later, outside of it at once."""

    def __init__(self, meter: Meter, runner: ProcessRunner) -> None:
        self._meter = meter
        self._runner = runner
        self._waiting: set[Path] = set()
        self._group: TaskGroup | None = None

    @asynccontextmanager
    async def cleaning(self) -> AsyncIterator[None]:
        """While the block lasts, remove trees beside it. When it is left, all of them are gone."""
        async with plain_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None

    async def remove(self, directory: Path, *, entries: int) -> None:
        """Have a tree of so many entries removed, soon. Raises HarnessError for one that can't be, here or at the end
        of the block."""
        if self._group is None or len(self._waiting) >= BACKLOG_MAX:
            await self.remove_now(directory)
            return
        self._waiting.add(directory)
        self._group.start_soon(self._remove_later, directory, entries >= MANY_ENTRIES)

    async def _remove_later(self, directory: Path, is_large: bool) -> None:
        with anyio.CancelScope(shield=True), self._meter.busy[Work.REMOVING]:
            if is_large:
                await remove_many_trees(self._runner, [directory], Urgency.NOBODY_WAITS)
            else:
                await run_file_work(remove_tree, directory, urgency=Urgency.NOBODY_WAITS)
        self._waiting.discard(directory)

    async def remove_now(self, directory: Path, *, is_small: bool = False) -> None:
        """Remove a tree before this returns. Raises HarnessError."""
        with self._meter.busy[Work.REMOVING]:
            await run_file_work(remove_tree, directory, is_small=is_small, urgency=Urgency.TARGET_WAITS)
