"""The repositories of one testbed, worked on directly: made or opened, set up, cleared of garbage.

There is one for each client, in the layout `private`, or one for all. One in a bucket of S3 is always for all: only
rest-server has repositories of clients, and it stores in directories.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec

from snapstorm.errors import HarnessError, OperationFailed, TargetError, TestbedError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.location import FileStorage, S3Storage, Storage
from snapstorm.model.protocols import Mode, TargetPlace
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.restic import answers, repository_answers, snapshot_answers
from snapstorm.targets.restic.blobs import count_locks
from snapstorm.targets.restic.command import Actor, Restic, address_of, make_private
from snapstorm.targets.restic.parameters import Layout, layout_of
from snapstorm.targets.storage_credentials import storage_credentials

REPOSITORY_SECRET = "repository"
NEWEST_FORMAT_VERSION = 2
IDS_FILE = "repositories.json"
ADMINISTRATOR, AUDITOR = "administrator", "auditor"
"""Directories of the server's."""
OF_ALL = "all"
"""Stands for a repository that all clients share, where those of others have their client's name."""
_CONFIG = "config"
_LISTED_LAST = ("config", "data", "index", "keys", "locks", "snapshots")
"""What lies in the directory of a repository."""


class _Ids(msgspec.Struct):
    """What is known of the repositories of clients."""

    id: str
    """That of all of them together, of our own making."""
    clients: dict[str, str] = {}
    """restic's own, by client."""


class Repositories:
    """All repositories of a testbed. `open` comes first."""

    def __init__(self, restic: Restic, place: TargetPlace) -> None:
        self._restic = restic
        self._place = place
        self.is_private = place.mode is Mode.SERVER and layout_of(place.parameters) is Layout.PRIVATE
        """Whether each client has one of its own."""
        self._credentials = storage_credentials(place)
        self.id = ""
        """What tells these from those of every other testbed; known once they were opened."""
        self._id_by_client: dict[str, str] = {}
        # Each command costs a core for 0.3 s; a hundred at once would only get in their way.
        self._working = anyio.CapacityLimiter(max(2, os.cpu_count() or 1))

    def storage(self, client: str) -> Storage:
        """Where the repository is that this client uses."""
        return FileStorage(self._place.repository / client) if self.is_private else self._place.storage

    def password(self, client: str) -> str:
        """That of the repository that this client uses."""
        return self._password_of(self.storage(client))

    def _password_of(self, storage: Storage) -> str:
        name = f"{REPOSITORY_SECRET} {self._name_of(storage)}" if self.is_private else REPOSITORY_SECRET
        return self._place.secrets.get(name)

    @property
    def directories(self) -> Sequence[Path]:
        """Those that there are, of repositories in directories."""
        if not isinstance(self._place.storage, FileStorage):
            return []
        found = self._place.repository.glob(f"*/{_CONFIG}") if self.is_private else [self._place.repository / _CONFIG]
        return sorted(path.parent for path in found if path.exists())

    @property
    def storages(self) -> Sequence[Storage]:
        """Where there is a repository."""
        storage = self._place.storage
        return [storage] if isinstance(storage, S3Storage) else [FileStorage(one) for one in self.directories]

    def actor(self, storage: Storage, directory: Path) -> Actor:
        """Who works straight on a repository, with commands that run in this directory."""
        return Actor(
            directory,
            address_of(storage),
            self._password_of(storage),
            storage_secrets=self._credentials,
            region=storage.region if isinstance(storage, S3Storage) else None,
        )

    def administrator(self, storage: Storage) -> Actor:
        """Who works directly on a repository."""
        directory = self._place.server / ADMINISTRATOR / self._name_of(storage)
        return replace(self.actor(storage, directory), has_cache=False)

    def auditor(self, storage: Storage) -> Actor:
        """Who reads a repository past the server, every cache and every lock."""
        directory = self._place.server / AUDITOR / self._name_of(storage)
        return replace(self.actor(storage, directory), has_cache=False, takes_locks=False)

    def _name_of(self, storage: Storage) -> str:
        return storage.path.name if self.is_private and isinstance(storage, FileStorage) else OF_ALL

    async def open(self) -> None:
        """Make the repository of a new testbed, if there is one for all, or look at those of an old one. What killed
        runs have left of locks is removed.

        Raises HarnessError where a new one can't be made, TestbedError where old ones can't be opened.
        """
        storage = self._place.storage
        if self._place.is_new:
            if isinstance(storage, FileStorage):
                _prepare_directory(storage.path, () if self.is_private else _LISTED_LAST)
            make_private(self._place.server)
            if not self.is_private:
                await self.create(storage)
        elif isinstance(storage, FileStorage) and not storage.path.is_dir():
            raise TestbedError(f"the repository of this testbed is missing: there is no {storage}")
        await together([functools.partial(self._unlock_left, one) for one in self.storages])
        await self._identify()
        if self._place.upgrades_format:
            await together([functools.partial(self._upgrade, one) for one in self.storages])

    async def create(self, storage: Storage) -> None:
        """Make a repository, unless there is one. Raises HarnessError."""
        if isinstance(storage, FileStorage):
            if (storage.path / _CONFIG).exists():  # Written last (0.14.0 to 0.18.1).
                return
            if self.is_private and storage.path.exists():
                await run_file_work(_remove_what_was_begun, storage.path)
        async with self._working:
            completed = await self._restic.create_repository(
                self.administrator(storage), is_oldest_format=self._place.is_oldest_format
            )
        if not repository_answers.is_in_use(completed):
            answers.check_set_up(completed, f"the repository could not be made in {storage}")
            return
        # Our password opens only a repository that we made, in a run that was killed while it did.
        completed = await self._restic.read_config(self.auditor(storage))
        if completed.exit_code != 0 or completed.timed_out:
            raise HarnessError(f"{storage} is not empty, so no new repository can be made there")

    async def _unlock_left(self, storage: Storage) -> None:
        if isinstance(storage, FileStorage) and not await run_file_work(count_locks, storage.path):
            return
        if isinstance(storage, S3Storage) and self._place.is_new:
            return
        completed = await self._restic.unlock(self.administrator(storage))
        answers.check_set_up(completed, f"the repository {storage} can't be opened", failure=TestbedError)

    async def _identify(self) -> None:
        if not self.is_private:
            self.id = await self._read_id(self._place.storage)
            return
        file = self._place.server / IDS_FILE
        try:
            known = msgspec.json.decode(file.read_bytes(), type=_Ids) if file.exists() else _Ids(secrets.token_hex(32))
        except (OSError, ValueError) as error:
            raise TestbedError(
                f"the file {file}, which tells the repositories of this testbed, can't be read"
            ) from error
        self.id, self._id_by_client = known.id, known.clients
        self._write_ids()

    async def _read_id(self, storage: Storage) -> str:
        completed = await self._restic.read_config(self.auditor(storage))
        try:
            return repository_answers.read_config(completed).id
        except TargetError as error:
            raise TestbedError(f"the repository {storage} can't be opened: {error}") from error

    def known_id(self, client: str) -> str:
        """restic's own id of the repository that this client uses; empty where none was read yet."""
        return self._id_by_client.get(client, "") if self.is_private else self.id

    def check_id(self, client: str, repository_id: str) -> None:
        """Raise TestbedError if the repository that this client finds is another one than before."""
        known = self._id_by_client.setdefault(client, repository_id) if self.is_private else self.id
        if known != repository_id:
            raise TestbedError(
                f"the repository of {client} in {self.storage(client)} is not the one that this testbed knows; put "
                "that one back, or choose another testbed"
            )
        if self.is_private:
            self._write_ids()

    def _write_ids(self) -> None:
        file = self._place.server / IDS_FILE
        content = msgspec.json.encode(_Ids(self.id, self._id_by_client))
        new = file.with_suffix(".new")
        try:
            if file.exists() and file.read_bytes() == content:
                return
            new.write_bytes(content)
            new.replace(file)
        except OSError as error:
            raise HarnessError(f"{file} can't be written: {error.strerror}") from error

    async def _upgrade(self, storage: Storage) -> None:
        """Bring a repository to the newest format, and see that it got there."""
        administrator = self.administrator(storage)
        if await self._format_version(storage) >= NEWEST_FORMAT_VERSION:
            return
        completed = await self._restic.upgrade(administrator)
        answers.check_set_up(completed, f"the repository {storage} could not be upgraded")
        after = await self._format_version(storage)
        if after < NEWEST_FORMAT_VERSION:
            raise HarnessError(
                f"the repository {storage} is still of format version {after} after an upgrade that restic said was "
                "done"
            )

    async def _format_version(self, storage: Storage) -> int:
        return repository_answers.read_config(await self._restic.read_config(self.auditor(storage))).version

    async def prune(self, *, is_full: bool) -> None:
        """Collect the garbage of all repositories. Raises OperationFailed unless each was collected."""
        await together([functools.partial(self._prune, one, is_full=is_full) for one in self.storages])

    async def _prune(self, storage: Storage, *, is_full: bool) -> None:
        async with self._working:
            completed = await self._restic.prune(self.administrator(storage), is_full=is_full)
        snapshot_answers.check_pruned(completed)

    def holding(self, snapshot: str) -> Storage:
        """The repository that holds a snapshot; the one in a bucket is not asked. Raises OperationFailed where none
        does."""
        for storage in self.storages:
            if isinstance(storage, S3Storage) or (storage.path / "snapshots" / snapshot).exists():
                return storage
        raise OperationFailed(f"no repository holds snapshot {snapshot}")


def _remove_what_was_begun(path: Path) -> None:
    """Remove what a killed run has made of a client's repository: keys, and nothing else, for its config comes last."""
    if any(found for name in ("data", "index", "snapshots") for found in path.glob(f"{name}/**/*") if found.is_file()):
        return
    remove_tree(path)


def _prepare_directory(path: Path, begun: Collection[str]) -> None:
    """Make the directory of a new testbed's repositories. Raises HarnessError if it holds more than `begun`, which a
    killed run may have left."""
    try:
        names = [entry.name for entry in path.iterdir()] if path.exists() else []
        if any(name not in begun for name in names):
            raise HarnessError(f"{path} is not empty, so no new repository can be made there")
        make_private(path)
    except OSError as error:
        raise HarnessError(f"no repository can be made in {path}: {error.strerror}") from error
