"""The bench on which known bugs of a target are provoked: one program, directories that go with it, trees, and what is
restored."""

from __future__ import annotations

import itertools
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from snapstorm.errors import HarnessError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import WriteRandomFiles
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import Program
from snapstorm.model.tree_differences import differences
from snapstorm.runtime.process import CompletedCommand, ProcessRunner, on_behalf_of
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.scenario.seeds import stream

_POLL_SECONDS = 0.001
_TREE_BYTES_MAX = 1 << 30
_DIFFERENCES_SHOWN = 3

Signal = Callable[[int], bool]
"""Sends a signal to a running command, with its group; whether it still ran."""


@dataclass(frozen=True)
class SampleTree:
    """A tree on disk, and what is in it."""

    directory: Path
    manifest: Manifest


@dataclass(frozen=True)
class Workbench(ABC):
    """Everything below `directory` is this bench's own."""

    program: Program
    directory: Path
    runner: ProcessRunner
    numbers: itertools.count[int] = field(default_factory=itertools.count, kw_only=True)

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What survives a snapshot and a restore, for the user that this process runs as."""

    async def write_tree(self, name: str, *, count: int, size_bytes: int) -> SampleTree:
        """A new tree of plain files whose content can't be compressed."""
        directory = self.directory / name
        writer = TreeFileWriter(
            data_directory=directory, capabilities=self.capabilities, total_bytes_max=_TREE_BYTES_MAX
        )
        action = WriteRandomFiles(
            count=count, size_bytes=size_bytes, depth=0, duplicate_percent=0, compressible_percent=0, odd_percent=0
        )
        await writer.apply(action, stream("known-bugs", name, next(self.numbers)))
        return SampleTree(directory, await writer.scan())

    async def difference(self, expected: Manifest, restored: Path) -> str | None:
        """In words, how a restored tree or file differs, byte for byte, from what it must be; None if it does not."""
        found = differences(expected, await run_file_work(scan_tree, restored), self.capabilities)
        return "; ".join(map(str, found[:_DIFFERENCES_SHOWN])) or None

    async def beside(
        self, command: Callable[[], Awaitable[CompletedCommand]], act: Callable[[Signal], Coroutine[Any, Any, None]]
    ) -> CompletedCommand:
        """Run one command, and meanwhile act: on that command by signals, and otherwise as one pleases."""
        name = f"known-bug-{next(self.numbers)}"
        results: list[CompletedCommand] = []

        async def run() -> None:
            on_behalf_of.set(name)
            results.append(await command())

        await together([run, lambda: act(lambda number: self.runner.signal_children_of(name, number) > 0)])
        return results[0]


@asynccontextmanager
async def temporary_directory() -> AsyncIterator[Path]:
    """A directory of a bench, which goes with the block."""
    directory = Path(tempfile.mkdtemp(prefix="snapstorm-known-bug-"))
    try:
        yield directory
    finally:
        with anyio.CancelScope(shield=True):
            await run_file_work(remove_tree, directory)


def stop(send: Signal) -> None:
    """Stop a command in the midst of its work. Raises HarnessError when it has ended already."""
    if not send(signal.SIGSTOP):
        raise HarnessError("the command ended before it could be stopped")


async def until(condition: Callable[[], bool], what: str, *, seconds_max: float = 30.0) -> None:
    """Wait until something in the repository has become true. Raises HarnessError when it does not."""
    with anyio.move_on_after(seconds_max):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(_POLL_SECONDS)
        return
    raise HarnessError(f"waited for {seconds_max:.0f} s in vain until {what}")
