"""The bench on which known bugs are provoked: one restic, and a repository in a directory that goes with it."""

from __future__ import annotations

import functools
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from snapstorm.errors import HarnessError, OperationFailed, OperationTimedOut
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import Program
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.targets.command_output import stderr_of
from snapstorm.targets.programs import Programs
from snapstorm.targets.restic import answers, snapshot_answers
from snapstorm.targets.restic.command import Actor, Restic
from snapstorm.targets.restic.discovery import find_rest_server
from snapstorm.targets.restic.environment import HIDDEN
from snapstorm.targets.restic.server import LISTENING
from snapstorm.targets.restic.snapshotter import ResticClient
from snapstorm.targets.restic.target import capabilities_of
from snapstorm.targets.restic.versions import read_version
from snapstorm.targets.workbench import Workbench, temporary_directory

MEASURED = ("0.14.0", "0.16.5", "0.18.1")
"""The versions on which known bugs were looked for."""

COMMAND_SECONDS_MAX = 120.0
RESTORE_SECONDS_MAX = 20.0
"""0.14.0 and 0.16.5 look ten times for a pack that is missing, for a minute; 0.18.1 gives up at once (measured)."""
_MISSING = re.compile(r"open \S+: no such file or directory")
_HOST = "snapstorm"
_START_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Bench(Workbench):
    """Everything below `directory` is this bench's own. Made by `open_bench`."""

    address: str | None = None
    """Where the repository is, if not in its directory."""
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)

    @functools.cached_property
    def restic(self) -> Restic:
        path = self.program.path
        version = {path: read_version(self.program.version)}
        return Restic(Programs([path]), version, self.runner, COMMAND_SECONDS_MAX)

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def capabilities(self) -> Capabilities:
        """What survives a snapshot and a restore, for the user that this process runs as."""
        return capabilities_of([read_version(self.program.version)], is_root=os.geteuid() == 0)

    @functools.cached_property
    def actor(self) -> Actor:
        """Who works on the repository, with nothing cached."""
        repository = self.address or str(self.repository)
        return Actor(self.directory / "actor", repository, self.password, has_cache=False)

    @property
    def client(self) -> ResticClient:
        """The same as a client, of whom restores are asked."""
        return ResticClient(self.restic, self.actor, _HOST, "bench", tells_counts=False)

    async def ask(self, *words: str) -> CompletedCommand:
        """A command that must succeed for anything to be found out."""
        completed = await self.restic.run(self.actor, *words)
        answers.check(completed, " ".join(words[:2]), OperationFailed)
        return completed

    async def create_repository(self) -> None:
        answers.check(await self.restic.create_repository(self.actor), "init", OperationFailed)

    async def take_snapshot(self, tree: Path, *options: str) -> str:
        """The id of a snapshot that was acknowledged."""
        completed = await self.restic.run(self.actor, "backup", "--json", f"--host={_HOST}", *options, str(tree))
        return snapshot_answers.read_receipt(completed, str(tree), tells_counts=False).id

    async def what_is_wrong_with(self, snapshot: str, expected: Manifest) -> str | None:
        """In words, how a restore of a snapshot differs from what it must be; None if it does not."""
        destination = self.directory / f"restored-{next(self.numbers)}"
        client = replace(self.client, restic=replace(self.restic, seconds_max=RESTORE_SECONDS_MAX))
        try:
            await client.restore_snapshot(snapshot, destination)
        except OperationFailed as error:
            return str(error)
        except OperationTimedOut as error:
            missing = _MISSING.search(error.evidence)
            if missing is None:
                raise
            return f"its restore is tried again and again for {RESTORE_SECONDS_MAX:.0f} s: {missing[0]}"
        return await self.difference(expected, destination)

    @asynccontextmanager
    async def append_only(self) -> AsyncIterator[Bench]:
        """The same bench, its repository behind a rest-server that lets nobody delete."""
        words: list[str | Path] = ["--path", self.directory, "--listen", "127.0.0.1:0", "--no-auth", "--append-only"]
        env = Environment({}, HIDDEN.inherited_environment())
        log = self.directory / "server.log"
        async with self.runner.start([find_rest_server().path, *words], env=env, log=log) as server:
            listening = await server.line_matching(LISTENING, seconds_max=_START_SECONDS_MAX)
            if listening is None:
                raise HarnessError(f"rest-server did not start: {server.log_tail().strip()}")
            yield replace(self, address=f"rest:http://{listening[1]}:{listening[2]}/{self.repository.name}/")

    async def count_snapshots(self) -> int:
        """How many are listed."""
        return len(await self.client.list_snapshots())


@asynccontextmanager
async def open_bench(program: Program, runner: ProcessRunner) -> AsyncIterator[Bench]:
    """A bench in a temporary directory, which goes with the block."""
    async with temporary_directory() as directory:
        yield Bench(program, directory, runner)


def words_of(completed: CompletedCommand) -> str:
    """The last that a command said."""
    return answers.last_words(stderr_of(completed))
