"""Failures of the machine, which look like failures of the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from snapstorm.errors import HarnessError, TargetError
from snapstorm.runtime.machine import out_of_memory_kills
from snapstorm.testbed.testbed import disk_is_full


class MachineCheck:
    """Looks at the disks of these directories, and at the memory, from now on."""

    def __init__(
        self,
        *directories: Path,
        count_kills: Callable[[], int] = out_of_memory_kills,
        check_storage: Callable[[], None] = lambda: None,
    ) -> None:
        """`check_storage` raises HarnessError if storage that we offer could not keep something."""
        self._directories = directories
        self._check_storage = check_storage
        self._count_kills = count_kills
        self._kills = count_kills()

    def full_disk(self) -> Path | None:
        """The first directory whose disk is full, if any."""
        return disk_is_full(*self._directories)

    def check(self, error: TargetError) -> None:
        """Raise HarnessError if this failure is the machine's and not the target's: a full disk, or no memory left."""
        full = self.full_disk()
        if full is not None:
            raise HarnessError(f"the disk of {full} is full, so the target can't be judged; free some space") from error
        self._check_storage()
        if self._count_kills() > self._kills:
            raise HarnessError(
                "the machine ran out of memory and killed processes, so the target can't be judged; use fewer clients, "
                "smaller files, or a testbed that is not in memory"
            ) from error
