"""One client of a repository: makes, extracts, lists and deletes the archives of one identity."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from snapstorm.errors import AccessDenied, HarnessError, OperationFailed
from snapstorm.filesystem.descriptors import explain_os_error
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.manifest import path_as_text
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.borg.access import Way
from snapstorm.targets.borg.answers import Answers
from snapstorm.targets.borg.command import Actor, Borg
from snapstorm.targets.borg.comment import Comment

EXTRACTED = ".extracted-"
"""How the name of the directory ends, before a random number, into which a restore is extracted first."""


@dataclass(frozen=True)
class BorgClient:
    """Implements `ClientSnapshotter` and `Auditor`."""

    borg: Borg
    actor: Actor
    answers: Answers
    testbed: str
    compression: str
    counts_bytes: bool
    """Whether every program under test counts the bytes of files alone."""
    way: Way | None = None
    """By which it reaches its repository; None where that is in a directory, and no key is asked for."""

    async def connect(self) -> None:
        """No connection is kept: see whether the client is let in."""
        if self.way is not None:
            await self.way.show_key()
        await self.list_snapshots()

    async def disconnect(self) -> None:
        """Forget the key. The cache stays: borg would have to make it anew from the repository."""
        if self.way is not None:
            self.way.hide_key()

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        """Make an archive of the tree at `source`, named for the operation."""
        comment = Comment(self.actor.name, path_as_text(source), self.testbed, operation)
        completed = await self.borg.create(self.actor, source, operation, comment, self.compression)
        return self.answers.read_receipt(completed, counts_bytes=self.counts_bytes)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Extract an archive, or what is at `sub_path` in it, to `destination`, which must not exist.

        Borg extracts below the current directory, under the names in the archive, which begin with the source's.
        """
        _check_free(destination)
        async with _directory_beside(destination) as directory:
            extracted = await self.borg.extract(self.actor, snapshot, sub_path, directory)
            self.answers.check(extracted, "extract", OperationFailed)
            await run_file_work(_move_out, directory, sub_path, destination)

    async def delete_snapshot(self, snapshot: str) -> None:
        """Delete an archive. Raises OperationUnknown when borg does not acknowledge it."""
        self.answers.check_deleted(await self.borg.delete(self.actor, [snapshot]))

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        """Everything in the repository, checkpoints included."""
        return self.answers.read_listing(await self.borg.list_archives(self.actor))

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        """Delete all but the latest archives of `source`, in one transaction.

        Not by `prune`: of two archives that were made within one second `prune --keep-last` counts one (measured).
        """
        text = path_as_text(source)
        mine = [
            entry.id
            for entry in await self.list_snapshots()
            if (entry.client, entry.source, entry.incomplete) == (self.actor.name, text, None)
        ]
        if mine[:-keep_latest]:
            self.answers.check_deleted(await self.borg.delete(self.actor, mine[:-keep_latest]))

    async def verify_snapshots(self) -> None:
        """Have borg check the whole repository and read all of its data."""
        self.answers.check_verified(await self.borg.check(self.actor), "check")

    async def verify_snapshot(self, snapshot: str) -> None:
        """Have borg read all of one archive back."""
        self.answers.check_verified(await self.borg.read_back(self.actor, snapshot), "extract --dry-run")


@dataclass(frozen=True)
class Impostor(BorgClient):
    """Claims to be a client, with another key. When it is refused, it comes as another client, with that one's key."""

    neighbour: BorgClient | None = None
    """That other client, on the repository of the first."""

    async def connect(self) -> None:
        """Raises AccessDenied if neither is let in."""
        if self.neighbour is not None and self.neighbour.way is not None:
            await self.neighbour.way.show_key()
        await super().connect()

    async def disconnect(self) -> None:
        """Forget the keys."""
        await super().disconnect()
        if self.neighbour is not None:
            await self.neighbour.disconnect()

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        """What either is shown."""
        try:
            return await super().list_snapshots()
        except AccessDenied:
            if self.neighbour is None:
                raise
            return await self.neighbour.list_snapshots()


def _check_free(destination: Path) -> None:
    if os.path.lexists(destination):
        raise HarnessError(f"{destination} is in the way: a restore into what is there already proves nothing")


@asynccontextmanager
async def _directory_beside(destination: Path) -> AsyncIterator[Path]:
    """An empty directory beside a path, gone with the block."""
    directory = destination.with_name(f"{destination.name}{EXTRACTED}{secrets.token_hex(4)}")
    try:
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise explain_os_error(os.fsencode(directory), error) from error
    try:
        yield directory
    finally:
        with anyio.CancelScope(shield=True):
            await run_file_work(remove_tree, directory)


def _move_out(directory: Path, sub_path: bytes, destination: Path) -> None:
    """Move what was extracted to where it is wanted. Raises OperationFailed if nothing was."""
    try:
        roots: Sequence[bytes] = os.listdir(os.fsencode(directory))
        if len(roots) != 1:
            raise OperationFailed(f"extract exited with 0 and left {len(roots)} entries where one was asked for")
        found = os.path.join(os.fsencode(directory), roots[0], *([sub_path] if sub_path else []))
        if not os.path.lexists(found):
            raise OperationFailed("extract exited with 0 and did not leave what was asked for")
        os.rename(found, destination)
    except OSError as error:
        raise explain_os_error(os.fsencode(destination), error) from error
