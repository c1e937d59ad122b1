"""A persister that keeps each copy of a ledger as a snapshot in a second Kopia repository, as the Go original does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import HarnessError, TargetError, TestbedError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.ledger.copies import STATE_NAME, CopyState, read_state, write_copy
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.location import FileStorage, S3Storage, Storage
from snapstorm.runtime.aws import read_credentials
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.kopia import answers, repository_answers, snapshot_answers
from snapstorm.targets.kopia.administration import Administration
from snapstorm.targets.kopia.command import Actor, Kopia, make_private
from snapstorm.targets.programs import Programs

_SECRET = "persister"
"""The name of the second repository's password among the testbed's secrets."""

_IDENTITY = "persister@snapstorm"
_COPIES_KEPT = 10


@dataclass(frozen=True)
class KopiaPersister:
    """Keeps the copies of one testbed's ledger in a repository of their own. Implements `Persister`."""

    kopia: Kopia
    storage: Storage
    actor: Actor

    @property
    def place(self) -> str:
        """Where, as people write it."""
        return f"kopia:{self.storage}" if isinstance(self.storage, FileStorage) else str(self.storage)

    async def read_state(self) -> CopyState | None:
        """The state of the latest copy; None before the first."""
        latest = await self._latest()
        if latest is None:
            return None
        with tempfile.TemporaryDirectory(dir=self.actor.directory) as scratch:
            await self._restore(latest, Path(scratch) / STATE_NAME, STATE_NAME.encode())
            return read_state(Path(scratch))

    async def write(self, ledger: Path, state: CopyState) -> None:
        """Snapshot a copy of the ledger, and see that it comes back."""
        if not await self._connect():
            await self._create()
        # Always the same path, so that each copy is a snapshot of one source, and retention applies.
        staging = self.actor.directory / "copy"
        await run_file_work(make_private, staging)
        written = await run_file_work(write_copy, ledger, staging, state)
        completed = await self.kopia.create_snapshot(self.actor, staging, {"testbed": state.testbed})
        try:
            snapshot_answers.read_receipt(completed)
        except TargetError as error:
            raise HarnessError(f"the ledger was not copied to {self.place}: {error}") from error
        if await self.read_state() != written:
            raise HarnessError(f"the ledger was copied to {self.place}, but what comes back is another copy")

    async def fetch(self, directory: Path) -> None:
        """Restore the latest copy into an empty directory."""
        latest = await self._latest()
        if latest is None:
            raise TestbedError(f"there is no copy of a ledger in {self.place}")
        restored = directory / "copy"
        await self._restore(latest, restored)
        await run_file_work(_move_up, restored, directory)

    async def _connect(self) -> bool:
        """Connect; False if there is no repository yet."""
        if isinstance(self.storage, FileStorage) and not self.storage.path.is_dir():
            return False
        if self.actor.config.exists():
            return True
        completed = await self.kopia.connect_to_repository(self.actor, self.storage, _IDENTITY)
        if completed.exit_code != 0 and repository_answers.is_repository_missing(completed):
            return False
        self._check(completed, "can't be opened")
        return True

    async def _create(self) -> None:
        if isinstance(self.storage, FileStorage):
            make_private(self.storage.path)
        made = await Administration(self.kopia, self.actor).create_repository(self.storage, _IDENTITY)
        self._check(made, "can't be made")
        self._check(await self.kopia.set_retention(self.actor, "--global", _COPIES_KEPT), "can't be set up")

    async def _latest(self) -> ListedSnapshot | None:
        if not await self._connect():
            return None
        completed = await self.kopia.list_snapshots(self.actor)
        self._check(completed, "can't be read")
        complete = [entry for entry in snapshot_answers.read_listing(completed) if entry.incomplete is None]
        return complete[-1] if complete else None

    async def _restore(self, snapshot: ListedSnapshot, destination: Path, sub_path: bytes = b"") -> None:
        self._check(await self.kopia.restore(self.actor, snapshot.id, sub_path, destination), "can't be read")

    def _check(self, completed: CompletedCommand, problem: str) -> None:
        answers.check_set_up(completed, f"the repository of copies {self.place} {problem}")


@asynccontextmanager
async def open_kopia_persister(
    program: Path,
    storage: Storage,
    runner: ProcessRunner,
    directory: Path,
    secret: Callable[[str], str],
    seconds_max: float,
) -> AsyncIterator[KopiaPersister]:
    """A persister whose configuration and logs are below `directory`, which it has for itself."""
    keys = read_credentials() if isinstance(storage, S3Storage) else {}
    actor = Actor(directory, secret(_SECRET), has_cache=False, storage_secrets=keys)
    remove_tree(directory)  # What another run left may be a connection to somewhere else.
    make_private(directory)
    try:
        yield KopiaPersister(Kopia(Programs([program]), runner, seconds_max), storage, actor)
    finally:
        remove_tree(directory)


def _move_up(source: Path, destination: Path) -> None:
    for entry in source.iterdir():
        shutil.move(entry, destination / entry.name)
    source.rmdir()
