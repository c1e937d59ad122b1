"""The bench on which known bugs of borg are provoked: bare commands on a repository in a directory of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snapstorm.errors import OperationFailed
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.protocols import Program
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.borg.answers import Answers, said_by
from snapstorm.targets.borg.command import Actor, Borg, local
from snapstorm.targets.borg.target import capabilities_of
from snapstorm.targets.programs import Programs
from snapstorm.targets.workbench import Workbench, temporary_directory

MEASURED = ("1.2.4", "1.4.5")
"""The versions on which known bugs were looked for."""

COMMAND_SECONDS_MAX = 120.0
FILE_BYTES = 100_001
"""Of each file of a tree."""
NAME = "repository"


@dataclass(frozen=True)
class Bench(Workbench):
    """Everything below `directory` is this bench's own. Made by `open_bench`."""

    passphrase: str = field(default_factory=secrets.token_urlsafe, repr=False)

    @property
    def borg(self) -> Borg:
        return Borg(Programs([self.program.path]), self.runner, COMMAND_SECONDS_MAX)

    @property
    def repository(self) -> Path:
        return self.directory / NAME

    @property
    def capabilities(self) -> Capabilities:
        """What survives an archive, for the user that this process runs as."""
        return capabilities_of(is_root=os.geteuid() == 0)

    def actor(self, name: str = "first") -> Actor:
        return Actor(name, self.directory / "actors" / name, local(self.repository), self.passphrase)

    async def make_repository(self) -> None:
        completed = await self.borg.create_repository(self.actor(), "repokey-blake2")
        Answers(NAME).check(completed, "init", OperationFailed)

    async def ask(self, *words: str, name: str = "first", cwd: Path | None = None) -> CompletedCommand:
        """A command that must succeed for anything to be found out."""
        completed = await self.borg.run(self.actor(name), *words, cwd=cwd)
        Answers(NAME).check(completed, words[0], OperationFailed)
        return completed

    def archive(self, name: str) -> str:
        return f"{local(self.repository)}::{name}"

    async def write_files(self, name: str, *, count: int) -> Path:
        """A new tree of files whose content can't be compressed."""
        directory = self.directory / name
        directory.mkdir()
        for number in range(count):
            (directory / f"file-{number}").write_bytes(os.urandom(FILE_BYTES))
        return directory

    async def what_is_wrong_with(self, archive: str, source: Path) -> str | None:
        """In words, how an archive of a tree differs from it; None if it does not."""
        destination = self.directory / f"restored-{next(self.numbers)}"
        destination.mkdir()
        completed = await self.borg.extract(self.actor("reader"), archive, b"", destination)
        if completed.exit_code:
            return f"its extract ends with status {completed.exit_code}: {last_words(completed)}"
        return await self.difference(await run_file_work(scan_tree, source), destination / source.name)

    async def names(self) -> set[str]:
        """The archives that are listed."""
        listed = await self.borg.list_archives(self.actor("reader"))
        return {entry.id for entry in Answers(NAME).read_listing(listed)}

    def written_bytes(self) -> int:
        """Of all segments."""
        return sum(path.stat().st_size for path in (self.repository / "data").glob("*/*"))


@asynccontextmanager
async def open_bench(program: Program, runner: ProcessRunner) -> AsyncIterator[Bench]:
    """A bench in a temporary directory, which goes with the block."""
    async with temporary_directory() as directory:
        yield Bench(program, directory, runner)


def last_words(completed: CompletedCommand) -> str:
    """The last that a command said."""
    lines = [line for line in said_by(completed).words.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
