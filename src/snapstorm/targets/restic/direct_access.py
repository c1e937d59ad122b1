"""One client directly on the repository, without a server; and what can be looked at in any repository of ours."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from snapstorm.errors import HarnessError, OperationFailed, OperationPartial
from snapstorm.filesystem.bulk_removal import remove_many_trees
from snapstorm.filesystem.scanner import bytes_below
from snapstorm.model.abilities import Blob, SnapshotMarks
from snapstorm.model.location import FileStorage
from snapstorm.model.protocols import Auditor, ClientSnapshotter, TargetPlace
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.password_file import PASSWORD_FILE
from snapstorm.targets.plain import PlainServer
from snapstorm.targets.restic import snapshot_answers
from snapstorm.targets.restic.blobs import count_locks, find_irregularities, find_packs
from snapstorm.targets.restic.clients import CERTIFICATE
from snapstorm.targets.restic.command import Actor, Restic
from snapstorm.targets.restic.repositories import ADMINISTRATOR, AUDITOR, IDS_FILE, Repositories
from snapstorm.targets.restic.snapshotter import ResticClient
from snapstorm.targets.stray_files import find_stray_files

_CLIENTS_FILES = ("cache", CERTIFICATE)
_SERVERS_FILES = (
    "server.log",
    "certificate.pem",
    "key.pem",
    "impostors",
    "server",
    ADMINISTRATOR,
    AUDITOR,
    IDS_FILE,
    PASSWORD_FILE,
)
"""How the names begin of what belongs into the directories of clients, and into that of the server besides."""


@dataclass(frozen=True)
class DirectAccess(PlainServer):
    """One client directly on the repository, without a server: the standard test. Implements `Server`."""

    restic: Restic
    place: TargetPlace
    repositories: Repositories
    tells_counts: bool
    sources: dict[str, str] = field(default_factory=dict, kw_only=True)
    """What each snapshot was taken of, by its id, as far as that has been said."""

    @property
    def repository_id(self) -> str:
        """What tells this repository from every other one."""
        return self.repositories.id

    @property
    def authenticates(self) -> bool:
        """Who has the repository's password is in, and sees everything."""
        return False

    @property
    def isolates_clients(self) -> bool:
        """See `authenticates`."""
        return False

    @property
    def checks_whole_repository(self) -> bool:
        """restic checks whole repositories, so all clients' snapshots where they share one."""
        return not self.repositories.is_private

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Nothing to do: see `authenticates`."""

    async def remove_client(self, client: str) -> None:
        """Not possible: see `authenticates`."""
        raise HarnessError(f"{client} can't be shut out: without a server there are no rights")

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        return self._snapshotter(client, self._actor(client))

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, and has a wrong password."""
        directory = self.place.server / "impostors" / client
        return self._snapshotter(client, replace(self._actor(client), directory=directory, password=wrong_password()))

    @property
    def only_here(self) -> str | None:
        """There is no server."""
        return "without a server, clients use the storage of the repository themselves"

    @property
    def auditor(self) -> Auditor | None:
        """Reads the repositories themselves, past all caches and locks."""
        return ResticAuditor(self)

    def auditing(self, snapshot: str) -> ResticClient:
        """Who audits this snapshot."""
        return self._snapshotter("auditor", self.repositories.auditor(self.repositories.holding(snapshot)))

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Drop what clients have cached. The server caches nothing."""
        await remove_many_trees(self.restic.runner, [self.client_cache(client) for client in clients])

    async def storage_bytes(self) -> int | None:
        """The bytes of all files, or what storage of ours holds. restic does not tell what a bucket holds."""
        measure = self.place.stored_bytes
        if self.storage_directory is not None:
            measure = functools.partial(bytes_below, self.storage_directory)
        return None if measure is None else await run_file_work(measure)

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """Prune each repository. There is no other way than the safe one."""
        await self.repositories.prune(is_full=is_full)

    def _snapshotter(self, client: str, actor: Actor) -> ResticClient:
        return ResticClient(
            restic=self.restic,
            actor=actor,
            host=client,
            testbed=self.place.testbed,
            tells_counts=self.tells_counts,
            check_repository=functools.partial(self.repositories.check_id, client),
            obituary=self._obituary,
            sources=self.sources,
        )

    def _actor(self, client: str) -> Actor:
        """Works straight on the repository."""
        return self.repositories.actor(self.repositories.storage(client), self.place.client(client))

    def _obituary(self) -> str:
        return ""

    # Abilities: what can be looked at, and broken.

    async def irregularities(self) -> Sequence[str]:
        """Files that no repository has, if they are in directories."""
        found = [await run_file_work(find_irregularities, one) for one in self.repositories.directories]
        return [words for of_one in found for words in of_one]

    async def stored_snapshots(self) -> Mapping[str, SnapshotMarks] | None:
        """From the repositories, past the server and every cache."""
        found: dict[str, SnapshotMarks] = {}
        for storage in self.repositories.storages:
            listed = await self.restic.list_snapshots(self.repositories.auditor(storage))
            found.update(snapshot_answers.read_marks(listed))
        return found

    async def open_sessions(self) -> int | None:
        """Locks, if the repositories are in directories."""
        if self.storage_directory is None:
            return None
        return sum([await run_file_work(count_locks, one) for one in self.repositories.directories])

    @property
    def runs_commands(self) -> bool:
        """Each operation is a process."""
        return True

    def client_cache(self, client: str) -> Path:
        """The directory of this client's cache."""
        return self.place.client(client) / "cache"

    @property
    def storage_directory(self) -> Path | None:
        """The directory of the repositories, if they are in one."""
        storage = self.place.storage
        return storage.path if isinstance(storage, FileStorage) else None

    def stray_files(self) -> Sequence[Path]:
        return find_stray_files(self.place, _CLIENTS_FILES + _SERVERS_FILES)

    @property
    def unfinished_suffix(self) -> str:
        """restic in a directory writes a file under its name with this, and a random number, behind it."""
        return "-tmp-"

    async def content_blobs(self) -> Sequence[Blob]:
        """Packs: of files' contents, and of directories."""
        found = [await run_file_work(find_packs, one) for one in self.repositories.directories]
        return sorted((blob for of_one in found for blob in of_one), key=lambda blob: blob.id)


@dataclass(frozen=True)
class ResticAuditor:
    """Implements `Auditor`: finds the repository that holds a snapshot."""

    access: DirectAccess

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Restore a snapshot, or what is at `sub_path` in it, to `destination`, which must not exist."""
        await self.access.auditing(snapshot).restore_snapshot(snapshot, destination, sub_path)

    async def verify_snapshot(self, snapshot: str) -> None:
        """Have restic find it, and read everything back in the repository that holds it."""
        try:
            auditing = self.access.auditing(snapshot)
        except OperationFailed as error:
            raise OperationPartial(str(error)) from error
        await auditing.verify_snapshot(snapshot)


def wrong_password() -> str:
    """A password that nobody has."""
    return secrets.token_urlsafe()
