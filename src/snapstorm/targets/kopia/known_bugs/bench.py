"""The bench on which known bugs are provoked: one Kopia, directories that go with it, trees, and what is restored."""

from __future__ import annotations

import functools
import os
import secrets
import shlex
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from snapstorm.errors import OperationFailed
from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.storage import BUCKET, Clocks
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.location import FileStorage, S3Storage, Storage
from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import Program
from snapstorm.runtime.aws import KEY_VARIABLES
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.targets.command_output import stderr_of
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.administration import Administration
from snapstorm.targets.kopia.blobs import blobs
from snapstorm.targets.kopia.command import FAST_DERIVATION, TESTING_DERIVATION, Actor, Kopia
from snapstorm.targets.kopia.repository import IDENTITY
from snapstorm.targets.kopia.target import CAPABILITIES
from snapstorm.targets.programs import Programs
from snapstorm.targets.workbench import Workbench, temporary_directory

MEASURED = ("0.19.0", "0.22.3", "0.23.1")
"""The versions on which known bugs were looked for."""

COMMAND_SECONDS_MAX = 120.0
_PASSWORD_BYTES = 24


@dataclass(frozen=True)
class Bench(Workbench):
    """Everything below `directory` is this bench's own. Made by `open_bench`."""

    password: str = field(default_factory=lambda: secrets.token_urlsafe(_PASSWORD_BYTES), repr=False)
    prefix: tuple[str, ...] = ()
    """Words before the program: what it is run through."""
    storage: Storage | None = None
    """Where the repository is; None for the directory `repository`."""
    storage_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock_url: str | None = None
    """Where commands ask for virtual time; None for real time."""

    @functools.cached_property
    def kopia(self) -> Kopia:
        """The program, behind the words that it is run through."""
        path = self.program.path
        if self.prefix:
            path = self.directory / f"kopia-{next(self.numbers)}"
            path.write_text(f'#!/bin/sh\nexec {shlex.join((*self.prefix, str(self.program.path)))} "$@"\n')
            path.chmod(0o755)
        return Kopia(Programs([path]), self.runner, COMMAND_SECONDS_MAX)

    def through(self, *words: str) -> Bench:
        """The same bench, with every command run through another one, which must become what it starts (`exec`)."""
        return replace(self, prefix=words)

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def capabilities(self) -> Capabilities:
        """What survives a snapshot and a restore, for the user that this process runs as."""
        return CAPABILITIES.model_copy(update={"owner": os.geteuid() == 0})

    def actor(self, name: str, *, has_cache: bool = True) -> Actor:
        return Actor(self.directory / "actors" / name, self.password, has_cache, self.storage_secrets, self.clock_url)

    async def create_repository(self, name: str = "first") -> Actor:
        """Make the repository, without maintenance that runs by itself, and return who has made it."""
        commands = Administration(self.kopia, self.actor(name))
        storage = self.storage or FileStorage(self.repository)
        derivation = FAST_DERIVATION if self.clock_url is None else TESTING_DERIVATION
        made = await commands.create_repository(storage, IDENTITY, derivation=derivation)
        answers.check(made, "repository create", OperationFailed)
        answers.check(await commands.disable_maintenance(), "maintenance set", OperationFailed)
        return commands.actor

    async def maintain(self, actor: Actor, *, is_full: bool = True, is_safe: bool = True) -> CompletedCommand:
        """Run maintenance, whatever becomes of it."""
        return await Administration(self.kopia, actor).run_maintenance(is_full=is_full, is_safe=is_safe)

    async def connect(self, name: str, *, has_cache: bool = True) -> Actor:
        """Another connection to the repository, under the same identity."""
        actor = self.actor(name, has_cache=has_cache)
        storage = self.storage or FileStorage(self.repository)
        done = await self.kopia.connect_to_repository(actor, storage, IDENTITY)
        answers.check(done, "repository connect", OperationFailed)
        return actor

    async def ask(self, actor: Actor, *words: str) -> CompletedCommand:
        """A command that must succeed for anything to be found out."""
        completed = await self.kopia.run(actor, *words)
        answers.check(completed, " ".join(words[:2]), OperationFailed)
        return completed

    async def take_snapshot(self, actor: Actor, tree: Path, *options: str) -> str:
        """The id of a snapshot that was acknowledged."""
        return snapshot_answers.read_receipt(await self.create_snapshot(actor, tree, *options)).id

    async def create_snapshot(self, actor: Actor, tree: Path, *options: str, **how: Any) -> CompletedCommand:
        """Take a snapshot, whatever becomes of it. `how` as for `Kopia.run`."""
        return await self.kopia.run(actor, "snapshot", "create", "--json", *options, str(tree), **how)

    async def connect_auditor(self) -> Actor:
        """A connection that reads straight from the repository, with nothing cached."""
        return await self.connect(f"auditor-{next(self.numbers)}", has_cache=False)

    async def restore(self, snapshot: str, auditor: Actor | None = None) -> tuple[CompletedCommand, Path]:
        """Restore straight from the repository, to a new place."""
        destination = self.directory / f"restored-{next(self.numbers)}"
        actor = auditor or await self.connect_auditor()
        return await self.kopia.restore(actor, snapshot, b"", destination), destination

    async def what_is_wrong_with(self, snapshot: str, expected: Manifest, auditor: Actor | None = None) -> str | None:
        """In words, how a restore of a snapshot differs from what it must be; None if it does not."""
        completed, destination = await self.restore(snapshot, auditor)
        if completed.exit_code != 0:
            return f"its restore ends with status {completed.exit_code}: {words_of(completed)}"
        return await self.difference(expected, destination)

    def blob_ids(self, prefix: str = "") -> list[str]:
        """The blobs in the repository's directory that begin so, unfinished ones left out."""
        return sorted(blob_id for blob_id, _ in blobs(self.repository, prefix))


@asynccontextmanager
async def open_bench(program: Program, runner: ProcessRunner) -> AsyncIterator[Bench]:
    """A bench in a temporary directory, which goes with the block."""
    async with temporary_directory() as directory:
        yield Bench(program, directory, runner)


@contextmanager
def behind_gateway(bench: Bench, clock: Clock) -> Iterator[tuple[Bench, Served]]:
    """The same bench with its repository in the gateway's bucket, whose objects this clock dates; and the gateway."""
    access_key = secrets.token_hex()
    clocks = Clocks.following(clock)
    with serving(bench.directory / "bucket", clocks) as gateway:
        gateway.admit("kopia", access_key)
        storage = S3Storage(BUCKET, endpoint=gateway.endpoint, region="us-east-1")
        keys = dict(zip(KEY_VARIABLES, (access_key, secrets.token_hex()), strict=False))
        yield replace(bench, storage=storage, storage_secrets=keys), gateway
        gateway.check()


def words_of(completed: CompletedCommand) -> str:
    """The last that a command said."""
    return answers.last_words(stderr_of(completed))
