"""Standing before the repository: a Kopia server for many clients, or nothing at all for a single one."""

from __future__ import annotations

import functools
import hashlib
import secrets
import signal
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from snapstorm.errors import HarnessError, OperationFailed, TargetError
from snapstorm.filesystem.bulk_removal import remove_many_files_below, remove_many_trees
from snapstorm.model.abilities import Blob, SnapshotMarks
from snapstorm.model.location import FileStorage
from snapstorm.model.protocols import Auditor, ClientSnapshotter, TargetPlace
from snapstorm.runtime.process import CompletedCommand, ProcessRunner, RunningProcess
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.blobs import count_sessions, epochs_compacted_twice, find_packs
from snapstorm.targets.kopia.command import Actor, Kopia, ServerAddress
from snapstorm.targets.kopia.entries import EntryHistory
from snapstorm.targets.kopia.objects import ObjectNames
from snapstorm.targets.kopia.parameters import Command, options_for
from snapstorm.targets.kopia.repository import IDENTITY, Repository
from snapstorm.targets.kopia.server_process import ServerProcess
from snapstorm.targets.kopia.side_by_side import side_by_side
from snapstorm.targets.kopia.snapshotter import KopiaClient

_CONTROL_SECRET = "server-control"
_CLIENTS_FILES = ("repository.config", "cache", "logs", "narrowed-retention")
_SERVERS_FILES = ("server.log", "certificate.pem", "key.pem", "auditor", "impostors")
"""How the names begin of what belongs into the directories of clients, and into that of the server besides."""


@dataclass(frozen=True)
class DirectAccess:
    """One client directly on the repository, without a server: the standard test. Implements `Server`."""

    kopia: Kopia
    place: TargetPlace
    repository: Repository
    verify_files_percent: int

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

    @property
    def manages_users(self) -> bool:
        """There are none: see `authenticates`."""
        return False

    @property
    def refused_actions(self) -> frozenset[str]:
        """None: the repository is ours."""
        return frozenset()

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
        return self._snapshotter(client, Actor(self.place.server / "impostors" / client, secrets.token_urlsafe()))

    @property
    def auditor(self) -> Auditor | None:
        """A connection straight to the repository, without any cache, that may restore everything."""
        return self._snapshotter(IDENTITY, self.repository.auditor)

    async def refresh(self) -> None:
        """Nothing to do: every command reads the repository itself."""

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Drop what is cached. With a warm cache, every pack can be deleted and all restores still succeed (measured).

        A server at work takes missing cache files as misses. Its copies of indexes, which it keeps open, go when it
        starts.
        """
        await forget_cached(self.kopia.runner, self.repository.actor, [self._actor(client) for client in clients])

    async def storage_bytes(self) -> int | None:
        """The bytes of all blobs."""
        return await self.repository.storage_bytes()

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """Run maintenance directly on the repository; see `Repository.collect_garbage`."""
        await self.repository.collect_garbage(is_full=is_full, is_safe=is_safe)
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
        )

    def _actor(self, client: str) -> Actor:
        return Actor(self.place.client(client), self._password(client), storage_secrets=self._storage_secrets)

    @property
    def _storage_secrets(self) -> Mapping[str, str]:
        """What a client needs that works directly on the repository."""
        return self.repository.actor.storage_secrets

    def _password(self, client: str) -> str:
        return self.repository.actor.password

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
        """From the manifests in the repository."""
        return await self.repository.stored_snapshots()

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
        """What lies in the directories of the server and of the clients that no command was told to write."""
        directories = [self.place.server, *self.place.directory.glob("clients/*/connection")]
        entries = [path for directory in directories if directory.is_dir() for path in directory.iterdir()]
        return [path for path in entries if not path.name.startswith(_CLIENTS_FILES + _SERVERS_FILES)]

    @property
    def unfinished_suffix(self) -> str:
        """Kopia writes a file under its name with this, and a random number, behind it."""
        return ".tmp."

    async def content_blobs(self) -> Sequence[Blob]:
        """Packs: of files' contents (`p`) and of directories and manifests (`q`)."""
        directory = self.storage_directory
        return [] if directory is None else await run_file_work(find_packs, directory)


@dataclass(frozen=True)
class KopiaServer(DirectAccess):
    """A Kopia server before the repository, with a user for each client. Made by `serve`. Implements `Server`."""

    address: ServerAddress
    process: ServerProcess
    added_ahead: set[str] = field(default_factory=set)
    """Users that were added while the server started, until they are let in."""
    known: set[str] = field(default_factory=set)
    """Clients that have been let in."""

    @property
    def authenticates(self) -> bool:
        """Each client is a user with a password."""
        return True

    @property
    def isolates_clients(self) -> bool:
        """Users see their own snapshots only."""
        return True

    @property
    def manages_users(self) -> bool:
        """Users are added directly to the repository."""
        return True

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, with a password each that was made for this testbed. Known ones stay as they are."""
        password_by_client = {client: self._password(client) for client in clients if client not in self.added_ahead}
        self.added_ahead.difference_update(clients)  # Once: who is removed later is to be added again.
        self.known.update(clients)
        await side_by_side(*(functools.partial(self.repository.add_user, *pair) for pair in password_by_client.items()))
        await self.refresh()

    async def remove_client(self, client: str) -> None:
        """Let this client in no more. Without the refresh Kopia would for over 40 s (measured)."""
        self.added_ahead.discard(client)
        await self.repository.delete_user(client)
        await self.refresh()

    async def refresh(self) -> None:
        """Make the server see what was changed directly: it would show deleted snapshots for over 60 s (measured)."""
        completed = await self.kopia.refresh_server(
            self.repository.actor, self.address, self.place.secrets.get(_CONTROL_SECRET)
        )
        try:
            answers.check(completed, "server refresh", OperationFailed)
        except TargetError as error:
            error.evidence += self._obituary()
            raise

    def _password(self, client: str) -> str:
        return _password(self.place, client)

    @property
    def _storage_secrets(self) -> Mapping[str, str]:
        """The server's clients have no business with the storage."""
        return {}

    async def _connect(self, actor: Actor, identity: str) -> CompletedCommand:
        return await self.kopia.connect_to_server(
            actor, await self._address_for(identity), identity, options_for(Command.CONNECT, self.place.parameters)
        )

    async def _address_for(self, identity: str) -> ServerAddress:
        """Where a client finds the server: at its address, or at the end of the client's own way there."""
        if self.place.route is None:
            return self.address
        parts = urlsplit(self.address.url)
        assert parts.hostname is not None
        assert parts.port is not None
        host, port = await self.place.route(identity, parts.hostname, parts.port)
        return replace(self.address, url=f"https://{host}:{port}")

    def _obituary(self) -> str:
        return self.process.obituary

    # Abilities: what can be broken.

    @property
    def server_pid(self) -> int | None:
        """The server's process id; None while it is ended."""
        return self.process.pid

    @property
    def temporary_directory(self) -> Path | None:
        """Where the server keeps temporary files; None while it is ended."""
        return self.process.temporary_directory

    async def end_server(self, *, is_asked: bool) -> None:
        """End the server: TERM, or KILL."""
        await self.process.end(signal.SIGTERM if is_asked else signal.SIGKILL)

    async def start_server(self) -> None:
        """Start it again at the same address."""
        await self.process.start()

    @property
    def is_routed(self) -> bool:
        """Whether clients take ways of their own to the server."""
        return self.place.route is not None

    async def change_password(self, client: str) -> None:
        """Give the client's user a password that nobody knows."""
        await self.repository.set_password(client, secrets.token_urlsafe())
        await self.refresh()

    async def restore_password(self, client: str) -> None:
        """Give the user the password back that the client has."""
        await self.repository.set_password(client, self._password(client))
        await self.refresh()

    async def narrow_rights(self, client: str) -> None:
        """Let the client only read its own snapshots; others keep all their rights."""
        await self.repository.narrow_rights(client, [other for other in self.known if other != client])
        await self.refresh()

    async def widen_rights(self, client: str) -> None:
        """Give the client all rights back that clients have."""
        await self.repository.widen_rights()
        await self.refresh()


def client_secret(client: str) -> str:
    """The name of the secret that is this client's password."""
    return f"client {client}"


def _password(place: TargetPlace, client: str) -> str:
    return place.secrets.get(client_secret(client))


async def forget_cached(runner: ProcessRunner, server: Actor, clients: Sequence[Actor]) -> None:
    """Delete the caches of clients that are not at work, and the contents that the server's own cache holds."""
    await remove_many_trees(runner, [client.cache for client in clients])
    await remove_many_files_below(runner, [server.cache / kind for kind in ("contents", "metadata")])


@asynccontextmanager
async def serve(access: DirectAccess) -> AsyncIterator[KopiaServer]:
    """Start a server before an open repository, set a new repository up meanwhile, and end the server with the block.

    Raises HarnessError, one line, when the server does not start.
    """
    place, repository = access.place, access.repository
    certificate, key = place.server / "certificate.pem", place.server / "key.pem"
    if not (certificate.exists() and key.exists()):
        # Kopia makes both or none; what a crash left of them is of no use.
        certificate.unlink(missing_ok=True)
        key.unlink(missing_ok=True)

    def launch(address: str) -> AbstractAsyncContextManager[RunningProcess]:
        return access.kopia.serve(
            repository.actor,
            address,
            certificate,
            key,
            control_password=place.secrets.get(_CONTROL_SECRET),
            log=place.server / "server.log",
        )

    async with ServerProcess(launch) as process:
        url = ""

        async def wait() -> None:
            nonlocal url
            url = await process.url()

        ahead = set(place.clients_ahead if place.is_new else ())
        # Maintenance and rules are read from the repository when they are needed, and `add_clients` refreshes.
        await side_by_side(
            wait,
            repository.identify,
            repository.connect_auditor,
            *repository.preparations(has_server=True),
            *(functools.partial(repository.add_user_ahead, user, _password(place, user)) for user in sorted(ahead)),
        )
        yield KopiaServer(
            kopia=access.kopia,
            place=place,
            repository=repository,
            verify_files_percent=access.verify_files_percent,
            address=ServerAddress(url, _fingerprint(certificate)),
            process=process,
            added_ahead=ahead,
        )


def _fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate itself, as clients compare it. Kopia says it only when it makes the certificate."""
    try:
        content = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    except (OSError, ValueError) as error:
        raise HarnessError(f"{certificate} is no certificate, delete it to have a new one made: {error}") from error
    return hashlib.sha256(content).hexdigest()
