"""One client directly on the repository, without a server; and what can be looked at in any repository of ours."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.filesystem.bulk_removal import remove_many_files_below, remove_many_trees
from snapstorm.filesystem.scanner import bytes_below
from snapstorm.model.abilities import Blob, SnapshotMarks
from snapstorm.model.location import FileStorage
from snapstorm.model.protocols import Auditor, ClientSnapshotter, TargetPlace
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.kopia import answers, repository_answers, snapshot_answers
from snapstorm.targets.kopia.administration import Administration
from snapstorm.targets.kopia.blobs import count_sessions, epochs_compacted_twice, find_packs
from snapstorm.targets.kopia.command import Actor, Kopia
from snapstorm.targets.kopia.entries import EntryHistory
from snapstorm.targets.kopia.objects import ObjectNames
from snapstorm.targets.kopia.repository import IDENTITY, Repository, command_clock
from snapstorm.targets.kopia.snapshotter import KopiaClient
from snapstorm.targets.password_file import PASSWORD_FILE
from snapstorm.targets.plain import PlainServer
from snapstorm.targets.stray_files import find_stray_files

_CLIENTS_FILES = ("repository.config", "cache", "logs", "narrowed-retention")
_SERVERS_FILES = ("server.log", "certificate.pem", "key.pem", "auditor", "impostors", PASSWORD_FILE)
"""How the names begin of what belongs into the directories of clients, and into that of the server besides."""


@dataclass(frozen=True)
class DirectAccess(PlainServer):
    """One client directly on the repository, without a server: the standard test. Implements `Server`."""

    kopia: Kopia
    place: TargetPlace
    repository: Repository
    verify_files_percent: int
    maintaining: anyio.Lock = field(default_factory=anyio.Lock, kw_only=True)
    known_schedule: list[repository_answers.Schedule] = field(default_factory=list, kw_only=True)
    """What the last maintenance has left in the repository, if that was not disturbed; at most one."""

    @property
    def repository_id(self) -> str:
        """What tells this repository from every other one."""
        return self.repository.id

    @property
    def authenticates(self) -> bool:
        """Who has the repository's password is in, and sees everything."""
        return False

    @property
    def isolates_clients(self) -> bool:
        """See `authenticates`."""
        return False

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Nothing to do: see `authenticates`."""

    async def remove_client(self, client: str) -> None:
        """Not possible: see `authenticates`."""
        raise HarnessError(f"{client} can't be shut out: without a server there are no rights")

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        return self._snapshotter(client, self._actor(client))

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, from elsewhere and with a wrong password."""
        directory, clock_url = self.place.server / "impostors" / client, command_clock(self.place, client)
        return self._snapshotter(client, Actor(directory, secrets.token_urlsafe(), clock_url=clock_url))

    @property
    def only_here(self) -> str | None:
        """There is no server."""
        return "without a server, clients use the storage of the repository themselves"

    @property
    def auditor(self) -> Auditor | None:
        """A connection straight to the repository, without any cache, that may restore everything."""
        return self._snapshotter(IDENTITY, self.repository.auditor)

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Drop what is cached. With a warm cache, every pack can be deleted and all restores still succeed (measured).

        A server at work takes missing cache files as misses. Its copies of indexes, which it keeps open, go when it
        starts.
        """
        await remove_many_trees(self.kopia.runner, [self._actor(client).cache for client in clients])
        # The server's own copies of contents.
        kept = [self.repository.actor.cache / kind for kind in ("contents", "metadata")]
        await remove_many_files_below(self.kopia.runner, kept)

    async def storage_bytes(self) -> int | None:
        """The bytes of all blobs."""
        if self.storage_directory is not None:
            return await run_file_work(bytes_below, self.storage_directory)
        return repository_answers.read_storage_bytes(await self.repository.commands.blob_stats())

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """Run full or quick maintenance, in the safe way that may run beside everything else, or in the unsafe way
        that may not.

        Of two runs at once, one does nothing and exits with 0 (measured), so they wait for one another here, and the
        schedule in the repository must say afterwards that just this kind was done.
        """
        commands = self.repository.commands
        async with self.maintaining:
            # What the last one left is what this one finds, because nobody else runs maintenance here.
            if self.known_schedule:
                before = self.known_schedule.pop()
            else:
                before = repository_answers.read_maintenance_schedule(await commands.maintenance_info())
            completed = await commands.run_maintenance(is_full=is_full, is_safe=is_safe)
            answers.check(completed, "maintenance run", OperationFailed)
            after = repository_answers.read_maintenance_schedule(await commands.maintenance_info())
            if self.place.is_exclusive:
                self.known_schedule.append(after)
        if not repository_answers.is_maintenance_done(before, after, is_full=is_full):
            raise answers.error_of(completed, OperationFailed, "maintenance run exited with 0 but did nothing")
        await self.refresh()

    def _snapshotter(self, client: str, actor: Actor) -> KopiaClient:
        return KopiaClient(
            kopia=self.kopia,
            actor=actor,
            identity=client,
            testbed=self.place.testbed,
            verify_files_percent=self.verify_files_percent,
            connect_command=self._connect,
            obituary=self._obituary,
            retention=self.place.retention,
        )

    def _actor(self, client: str) -> Actor:
        clock_url = command_clock(self.place, client)
        return replace(self.repository.actor, directory=self.place.client(client), clock_url=clock_url)

    async def _connect(self, actor: Actor, identity: str) -> CompletedCommand:
        return await self.kopia.connect_to_repository(actor, self.place.storage, identity)

    def _obituary(self) -> str:
        return ""

    # Abilities: what can be looked at, and broken.

    async def irregularities(self) -> Sequence[str]:
        """Epochs that were compacted twice, if the repository is in a directory."""
        directory = self.storage_directory
        return [] if directory is None else await run_file_work(epochs_compacted_twice, directory)

    async def stored_snapshots(self) -> Mapping[str, SnapshotMarks] | None:
        """From the manifests in the repository, past the server and every cache."""
        auditing = Administration(self.kopia, self.repository.auditor)
        return snapshot_answers.read_marks(await auditing.list_snapshot_manifests())

    async def open_sessions(self) -> int | None:
        """Markers of sessions, if the repository is in a directory."""
        directory = self.storage_directory
        return None if directory is None else await run_file_work(count_sessions, directory)

    async def describe_objects(self, snapshot: str, paths: Sequence[bytes]) -> str:
        """As the repository has them, past the server and every cache."""
        return await ObjectNames(self.kopia, self.repository.auditor).describe(snapshot, paths)

    async def describe_entries(self, snapshots: Sequence[str]) -> Mapping[str, str]:
        """As the contents of manifests have them, past the server and every cache."""
        return await self._entry_history.describe(snapshots)

    @functools.cached_property
    def _entry_history(self) -> EntryHistory:
        """One for all times: it remembers what it has read."""
        return EntryHistory(self.kopia, self.repository.auditor)

    @property
    def runs_commands(self) -> bool:
        """Each operation is a process."""
        return True

    def client_cache(self, client: str) -> Path:
        """The directory of this client's cache."""
        return self._actor(client).cache

    @property
    def storage_directory(self) -> Path | None:
        """The repository's directory, if it is in one."""
        storage = self.place.storage
        return storage.path if isinstance(storage, FileStorage) else None

    def stray_files(self) -> Sequence[Path]:
        return find_stray_files(self.place, _CLIENTS_FILES + _SERVERS_FILES)

    @property
    def unfinished_suffix(self) -> str:
        """Kopia writes a file under its name with this, and a random number, behind it."""
        return ".tmp."

    async def content_blobs(self) -> Sequence[Blob]:
        """Packs: of files' contents (`p`) and of directories and manifests (`q`)."""
        directory = self.storage_directory
        return [] if directory is None else await run_file_work(find_packs, directory)
