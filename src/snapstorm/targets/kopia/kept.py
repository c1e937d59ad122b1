"""What Kopia keeps of a tree that lies on the disk: `selection` with the files that it looks into."""

from __future__ import annotations

import os
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.manifest import Manifest
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.kopia.selection import Selection


class _Tree:
    """Implements `Disk`."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)

    def read(self, path: bytes) -> bytes:
        with open(os.path.join(self._root, path), "rb") as file:
            return file.read()

    def device(self, path: bytes) -> int:
        return os.lstat(os.path.join(self._root, path)).st_dev


async def keep(selection: Selection, tree: Manifest, root: Path) -> Manifest:
    """What is kept of the tree at `root`, which is there. Raises HarnessError for a file with rules that Kopia could
    not read."""
    if selection.keeps_everything(tree):
        return tree
    try:
        return await run_file_work(selection.keep, tree, _Tree(root))
    except (OSError, ValueError) as error:
        raise HarnessError(
            f"a file with ignore rules below {root} can't be used: {error}; mend or remove it"
        ) from error
