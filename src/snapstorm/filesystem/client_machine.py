"""Where clients run: the machine that holds their files, and to which their snapshots are restored.

The engine knows no more of it than these protocols. `local_machine` is the machine that snapstorm itself runs on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from snapstorm.filesystem.explain import ContentExplained
from snapstorm.model.judging import Promise
from snapstorm.model.manifest import Entry, Manifest
from snapstorm.model.protocols import FileWriter


class RestorePlace(Protocol):
    """An empty directory to which one snapshot is restored. All methods raise HarnessError for what can't be done."""

    @property
    def tree(self) -> Path:
        """Where the target is to restore to. Nothing is there before."""
        ...

    async def clear(self) -> None:
        """Remove what a restore that was refused has left, before it is asked for again."""
        ...

    async def strays(self) -> Sequence[bytes]:
        """The names of what stood beside the tree, at the latest when it was scanned."""
        ...

    async def scan(self, promise: Promise) -> Manifest:
        """The manifest of the restored tree. If nothing that is compared differs, it may be the promised manifest."""
        ...

    async def explain(self, expected: Sequence[Entry]) -> Mapping[bytes, ContentExplained]:
        """Explain the content of restored files, by path. `expected` are the entries that they should be."""
        ...

    def at_hand(self, differing: Sequence[bytes], bytes_total: int) -> AbstractAsyncContextManager[Path]:
        """The tree in a directory of snapstorm's own machine, while the block lasts: all of a small one, else at least
        the paths that differ."""
        ...

    async def remove(self, *, entries: int, is_small: bool) -> None:
        """Remove the directory, which holds so many entries: now or soon."""
        ...


class Machine(Protocol):
    """A machine on which clients run."""

    @property
    def name(self) -> str:
        """Tells it from the others of a run."""
        ...

    def directory(self, client: str) -> Path:
        """The directory with all files of a client. They are in `data` below it."""
        ...

    async def open_writer(self, client: str, remembered: Manifest | None) -> FileWriter:
        """The writer of a client's files, which looks at the tree that it may find. `remembered` is what is known of
        it."""
        ...

    async def new_restore(self, client: str, operation: str) -> RestorePlace:
        """A place for what this operation restores."""
        ...

    async def make_tree(self, tree: Path, text: str) -> Manifest:
        """Make a small tree with this text in a file, and say what is there then."""
        ...

    async def remove_tree(self, tree: Path) -> None:
        """Remove such a tree. Does nothing where there is none."""
        ...


class Machines(Protocol):
    """All machines of a run."""

    @property
    def own(self) -> Machine:
        """The one that snapstorm itself runs on. What comes past the server is restored here."""
        ...

    def of(self, client: str) -> Machine:
        """The one on which this client runs."""
        ...

    async def ready(self, client: str) -> None:
        """Return once the machine of this client is there. Raises HarnessError for one that is not coming back."""
        ...
