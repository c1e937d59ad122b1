"""Standing before the repository: a Kopia server for many clients, or nothing at all for a single one."""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import HarnessError, OperationFailed, TargetError
from snapstorm.filesystem.removal import remove_files_below, remove_tree
from snapstorm.model.protocols import ClientSnapshotter, Restorer, TargetPlace
from snapstorm.runtime.process import CompletedCommand, RunningProcess
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.client import KopiaClient
from snapstorm.targets.kopia.command import Actor, Kopia, ServerAddress
from snapstorm.targets.kopia.concurrency import side_by_side
from snapstorm.targets.kopia.repository import IDENTITY, Repository

_CONTROL_SECRET = "server-control"
_START_SECONDS_MAX = 60.0
_LISTENING = re.compile(r"^SERVER ADDRESS: (https://\S+)$", re.MULTILINE)


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
    def has_permissions(self) -> bool:
        """Who has the repository's password is in, and sees everything."""
        return False

    @property
    def manages_users(self) -> bool:
        """There are none: see `has_permissions`."""
        return False

    @property
    def refused_actions(self) -> frozenset[str]:
        """None: the repository is ours."""
        return frozenset()

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Nothing to do: see `has_permissions`."""

    async def remove_client(self, client: str) -> None:
        """Not possible: see `has_permissions`."""
        raise HarnessError(f"{client} can't be shut out: without a server there are no rights")

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        return self._snapshotter(client, self._actor(client))

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, from elsewhere and with a wrong password."""
        return self._snapshotter(client, Actor(self.place.server / "impostors" / client, secrets.token_urlsafe()))

    @property
    def auditor(self) -> Restorer | None:
        """A connection straight to the repository, without any cache, that may restore everything."""
        return self._snapshotter(IDENTITY, self.repository.auditor)

    async def refresh(self) -> None:
        """Nothing to do: every command reads the repository itself."""

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Drop what is cached. With a warm cache, every pack can be deleted and all restores still succeed (measured).

        A server at work takes missing cache files as misses. Its copies of indexes, which it keeps open, go when it
        starts.
        """
        actors = [self._actor(client) for client in clients]
        await run_file_work(forget_cached, self.repository.actor, actors)

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


@dataclass(frozen=True)
class KopiaServer(DirectAccess):
    """A Kopia server before the repository, with a user for each client. Made by `serve`. Implements `Server`."""

    address: ServerAddress
    process: RunningProcess
    """The server itself, for those who count what it holds open, or break it."""

    @property
    def has_permissions(self) -> bool:
        """Users see their own snapshots only."""
        return True

    @property
    def manages_users(self) -> bool:
        """Users are added directly to the repository."""
        return True

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, with a password each that was made for this testbed. Known ones stay as they are."""
        password_by_client = {client: self._password(client) for client in clients}
        await side_by_side(*(functools.partial(self.repository.add_user, *pair) for pair in password_by_client.items()))
        await self.refresh()

    async def remove_client(self, client: str) -> None:
        """Let this client in no more. Without the refresh Kopia would for over 40 s (measured)."""
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
        return self.place.secrets.get(f"client {client}")

    @property
    def _storage_secrets(self) -> Mapping[str, str]:
        """The server's clients have no business with the storage."""
        return {}

    async def _connect(self, actor: Actor, identity: str) -> CompletedCommand:
        return await self.kopia.connect_to_server(actor, self.address, identity)

    def _obituary(self) -> str:
        exit_code = self.process.exit_code
        if exit_code is None:
            return ""
        return f"\nthe server has ended, with {exit_code}; its last words:\n{self.process.log_tail()}"


def forget_cached(server: Actor, clients: Sequence[Actor] = ()) -> None:
    """Delete the caches of clients that are not at work, and the contents that the server's own cache holds."""
    for client in clients:
        remove_tree(client.cache)
    for kind in ("contents", "metadata"):
        remove_files_below(server.cache / kind)


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
    async with access.kopia.serve(
        repository.actor,
        certificate,
        key,
        control_password=place.secrets.get(_CONTROL_SECRET),
        log=place.server / "server.log",
    ) as process:
        url = ""

        async def wait() -> None:
            nonlocal url
            url = await _listening_url(process)

        # Maintenance and rules are read from the repository when they are needed, and `add_clients` refreshes.
        await side_by_side(
            wait, repository.identify, repository.connect_auditor, *repository.preparations(has_server=True)
        )
        yield KopiaServer(
            kopia=access.kopia,
            place=place,
            repository=repository,
            verify_files_percent=access.verify_files_percent,
            address=ServerAddress(url, _fingerprint(certificate)),
            process=process,
        )


async def _listening_url(process: RunningProcess) -> str:
    match = await process.line_matching(_LISTENING, seconds_max=_START_SECONDS_MAX)
    if match is not None:
        return match[1]
    if process.exit_code is None:
        raise HarnessError(f"Kopia's server did not start within {_START_SECONDS_MAX:.0f} s; see {process.log}")
    raise HarnessError(f"Kopia's server did not start: {answers.last_words(process.log_tail())}")


def _fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate itself, as clients compare it. Kopia says it only when it makes the certificate."""
    try:
        content = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    except (OSError, ValueError) as error:
        raise HarnessError(f"{certificate} is no certificate, delete it to have a new one made: {error}") from error
    return hashlib.sha256(content).hexdigest()
