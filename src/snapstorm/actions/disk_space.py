"""A disk of ours that is full: room is made by deleting clients' own files, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snapstorm.actions.step import Step
from snapstorm.errors import NoSpaceError
from snapstorm.model.outcomes import Failed
from snapstorm.model.protocols import FileWriter

DISK_FULL = "disk full"
"""How the reason of an action begins that failed because a disk of ours was full, although the run went on."""


@dataclass(frozen=True)
class DiskSpace:
    """Frees space on the disk that holds the clients' files."""

    writer: FileWriter
    note: Callable[[str], None]

    async def free(self, step: Step, error: NoSpaceError) -> Failed:
        """Delete about half of the client's own files and say so. Raises the error again if there are none."""
        freed = await self.writer.free_space(step.draws)
        if freed.entries_deleted == 0:
            raise error
        self.note(f"{step.client}: {error}; deleted {freed.entries_deleted} of its own files and went on")
        return Failed(f"{DISK_FULL}: {freed.entries_deleted} of the client's own files were deleted")
