"""Directories for what tests write: in memory where there is room, because many disks make files slowly after a mass
delete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapstorm.filesystem.removal import remove_tree


@contextmanager
def memory_directory() -> Iterator[Path]:
    """An empty directory, which is removed with the block."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="snapstorm-test-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield path
    finally:
        remove_tree(path)
