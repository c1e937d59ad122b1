"""The machine that snapstorm itself runs on, as one on which clients run."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm.filesystem.cleaner import Cleaner
from snapstorm.filesystem.client_machine import RestorePlace
from snapstorm.filesystem.explain import ContentExplained, explain_contents
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import scan_if_there
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.judging import Promise
from snapstorm.model.manifest import Entry, Manifest
from snapstorm.model.protocols import FileWriter
from snapstorm.runtime.threads import run_file_work

_RESTORES = "restores"
TREE = "tree"
"""The name of the restored tree in the directory of its restore."""


@dataclass(frozen=True)
class LocalRestore:
    """A place for one restore on this machine."""

    directory: Path
    cleaner: Cleaner

    @property
    def tree(self) -> Path:
        return self.directory / TREE

    async def clear(self) -> None:
        await self.cleaner.remove_now(self.tree)

    async def strays(self) -> Sequence[bytes]:
        return [os.fsencode(name) for name in os.listdir(self.directory) if name != TREE]

    async def scan(self, promise: Promise) -> Manifest:
        return await run_file_work(scan_if_there, self.tree, is_small=promise.wanted.is_small)

    async def explain(self, expected: Sequence[Entry]) -> Mapping[bytes, ContentExplained]:
        return explain_contents(expected, self.tree)

    @asynccontextmanager
    async def at_hand(self, differing: Sequence[bytes], bytes_total: int) -> AsyncIterator[Path]:
        yield self.tree

    async def remove(self, *, entries: int, is_small: bool) -> None:
        if is_small:
            await self.cleaner.remove_now(self.directory, is_small=True)
        else:
            await self.cleaner.remove(self.directory, entries=entries)


@dataclass(frozen=True)
class LocalMachine:
    """This machine."""

    workdir: Path
    """Holds a directory for each client."""
    capabilities: Capabilities
    """What writers may make, because the target keeps it."""
    data_bytes_max: int
    """How many bytes a client's files may have."""
    cleaner: Cleaner
    name: str = "local"

    def directory(self, client: str) -> Path:
        return self.workdir / client

    async def open_writer(self, client: str, remembered: Manifest | None) -> FileWriter:
        make = functools.partial(
            TreeFileWriter,
            data_directory=self.directory(client) / "data",
            capabilities=self.capabilities,
            total_bytes_max=self.data_bytes_max,
            remembered=remembered,
        )
        return await run_file_work(make)

    async def new_restore(self, client: str, operation: str) -> RestorePlace:
        directory = restore_directory(self.directory(client), operation)
        directory.mkdir(parents=True, mode=0o700)
        return LocalRestore(directory, self.cleaner)

    async def make_tree(self, tree: Path, text: str) -> Manifest:
        return await run_file_work(_make_tree, tree, text)

    async def remove_tree(self, tree: Path) -> None:
        await run_file_work(remove_tree, tree)


def clear_restores(workdir: Path) -> None:
    """Remove the restores that a killed run left. To be called once no process of that run is alive."""
    for directory in workdir.glob(f"*/{_RESTORES}"):
        remove_tree(directory)


def restore_directory(directory: Path, operation: str) -> Path:
    """The directory for what an operation of the client with this directory restores."""
    return directory / _RESTORES / operation


def _make_tree(tree: Path, text: str) -> Manifest:
    tree.mkdir(parents=True, mode=0o700, exist_ok=True)
    (tree / "file").write_text(text)
    return scan_if_there(tree)
