"""Borg behind a way in for many clients, or directly on one repository; and what can be looked at in both."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from snapstorm.errors import HarnessError, OperationFailed, TargetError
from snapstorm.filesystem.scanner import bytes_below
from snapstorm.model.abilities import Blob, SnapshotMarks
from snapstorm.model.protocols import Auditor, ClientSnapshotter, TargetPlace
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.borg.access import Access, Way
from snapstorm.targets.borg.answers import Answers
from snapstorm.targets.borg.command import Actor, Borg, local, served
from snapstorm.targets.borg.parameters import Layout, chosen, layout_of
from snapstorm.targets.borg.repositories import Repositories
from snapstorm.targets.borg.snapshotter import BorgClient, Impostor
from snapstorm.targets.plain import PlainServer
from snapstorm.targets.stray_files import find_stray_files

_UNFINISHED = ".tmp"
_CLIENTS_FILES = ("cache", "config", "key", "shell-")
_SERVERS_FILES = ("access", "base", "impostors", "operator", "shim")
_SSHDS_FILES = ("authorized_keys", "home", "host_key", "known_hosts", "serve", "sshd", "temporary")
"""How the names begin of what belongs into the directories of clients, and into that of the server besides."""


@dataclass(frozen=True)
class BorgServer(PlainServer):
    """Implements `Server`: the access list, and the repositories behind it."""

    borg: Borg
    place: TargetPlace
    repositories: Repositories
    marker: str
    """What tells these repositories from all others."""
    counts_bytes: bool
    access: Access | None
    """None without a server."""
    known: dict[str, None] = field(default_factory=dict, kw_only=True)
    """Clients that were added, in order."""

    @property
    def repository_id(self) -> str:
        return self.marker

    @property
    def authenticates(self) -> bool:
        """Each client has a key; without a server nobody asks for one."""
        return self.access is not None

    @property
    def isolates_clients(self) -> bool:
        """Each client is served its own repository only, unless there is one for all."""
        return self.authenticates and layout_of(self.place) is Layout.PRIVATE

    @property
    def checks_whole_repository(self) -> bool:
        """Borg checks a repository as a whole."""
        return layout_of(self.place) is Layout.SHARED

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, and make the repositories that they lack."""
        names = {self.repositories.name_for(client) for client in clients}
        await together(functools.partial(self.repositories.make, name) for name in sorted(names))
        self.known.update(dict.fromkeys(clients))
        if self.access is not None:
            await self.access.let_in({client: self.repositories.name_for(client) for client in clients})

    async def remove_client(self, client: str) -> None:
        """Let this client in no more."""
        await self._asked_for_keys(client).shut_out(client)

    def _asked_for_keys(self, client: str) -> Access:
        """The access. Raises HarnessError where there is none."""
        if self.access is None:
            raise HarnessError(f"{client} can't be shut out: without a server there are no rights")
        return self.access

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        directory = self.place.client(client)
        way = None if self.access is None else self.access.way(client, directory)
        return self._snapshotter(client, client, directory, way)

    @property
    def only_here(self) -> str | None:
        """What stands in place of a server is a program of this machine."""
        if self.access is None:
            return "without a server, clients use the directory of the repository themselves"
        return "transport=shim is a program on the machine of the repositories; choose transport=ssh"

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, and has another key. When it is refused, it comes as another
        client, with that one's key, and asks for the repository of `client`."""
        directory = self.place.server / "impostors" / client
        way = None if self.access is None else self.access.impostors_way(client, directory)
        stranger = self._snapshotter(client, client, directory, way)
        other = next((one for one in self.known if one != client), None)
        if other is None or self.access is None or not self.isolates_clients:
            return stranger
        directory /= "neighbour"
        neighbour = self._snapshotter(other, client, directory, self.access.way(other, directory))
        return Impostor(**{one.name: getattr(stranger, one.name) for one in fields(stranger)}, neighbour=neighbour)

    def _snapshotter(self, name: str, client: str, directory: Path, way: Way | None) -> BorgClient:
        """The one that uses the repository of a client, as whoever has this name."""
        repository = self.repositories.name_for(client)
        where = local(self.repositories.directory / repository) if way is None else served(name, repository)
        actor = Actor(name, directory, where, self.repositories.passphrase(repository), way)
        return replace(self._borg_client(actor, Answers(repository)), way=way)

    def _borg_client(self, actor: Actor, answers: Answers) -> BorgClient:
        compression = chosen(self.place, "compression")
        return BorgClient(self.borg, actor, answers, self.place.testbed, compression, self.counts_bytes)

    @property
    def auditor(self) -> Auditor | None:
        """Straight on the repositories."""
        return BorgAuditor(self)

    def operator(self, name: str) -> BorgClient:
        """Works straight on this repository."""
        return self._borg_client(self.repositories.operator(name), Answers(name))

    async def storage_bytes(self) -> int | None:
        """The bytes of all files."""
        return await run_file_work(bytes_below, self.repositories.directory)

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """Compact each repository, one after the other. Borg has no other kind."""
        for name in self.repositories.names():
            completed = await self.borg.compact(self.repositories.operator(name))
            Answers(name).check(completed, "compact", OperationFailed)

    # Abilities: what can be looked at, and broken.

    async def irregularities(self) -> Sequence[str]:
        return await run_file_work(lambda: list(self.repositories.strays()))

    async def stored_snapshots(self) -> Mapping[str, SnapshotMarks] | None:
        """From the manifests of all repositories, past the server."""
        found: dict[str, SnapshotMarks] = {}
        for name in self.repositories.names():
            for entry in await self.operator(name).list_snapshots():
                if entry.incomplete is None:
                    found[entry.id] = SnapshotMarks(entry.client, entry.testbed)
        return found

    async def open_sessions(self) -> int | None:
        """Locks: who is at work on a repository holds one."""
        return len(await run_file_work(self.repositories.locked))

    @property
    def runs_commands(self) -> bool:
        """Each operation is a process."""
        return True

    def client_cache(self, client: str) -> Path:
        return self.place.client(client) / "cache"

    def stray_files(self) -> Sequence[Path]:
        return find_stray_files(self.place, _CLIENTS_FILES + _SERVERS_FILES + _SSHDS_FILES)

    @property
    def storage_directory(self) -> Path | None:
        return self.repositories.directory

    @property
    def unfinished_suffix(self) -> str:
        """Borg writes an index under a name with this behind it; segments grow in place."""
        return _UNFINISHED

    async def content_blobs(self) -> Sequence[Blob]:
        """Segments. Each may hold anything."""
        return await run_file_work(lambda: list(self.repositories.segments()))

    async def change_password(self, client: str) -> None:
        """Have another key asked for than the client's."""
        await self._asked_for_keys(client).change_key(client, self.repositories.name_for(client))

    async def restore_password(self, client: str) -> None:
        await self._asked_for_keys(client).let_in({client: self.repositories.name_for(client)})


@dataclass(frozen=True)
class BorgAuditor:
    """Restores and checks anybody's archives. Implements `Auditor`."""

    server: BorgServer

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        client = await self._holding(snapshot)
        await client.restore_snapshot(snapshot, destination, sub_path)

    async def verify_snapshot(self, snapshot: str) -> None:
        client = await self._holding(snapshot)
        await client.verify_snapshot(snapshot)

    async def _holding(self, snapshot: str) -> BorgClient:
        """The operator of the repository that has this archive."""
        names, problem = self.server.repositories.names(), None
        if len(names) == 1:
            return self.server.operator(names[0])
        for name in names:
            operator = self.server.operator(name)
            try:
                if any(entry.id == snapshot for entry in await operator.list_snapshots()):
                    return operator
            except TargetError as error:
                problem = error
        raise problem or OperationFailed(f"there is no archive {snapshot}")
