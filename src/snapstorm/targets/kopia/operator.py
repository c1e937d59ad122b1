"""A Kopia server that already runs: somebody else's, with users that they made.

Only what such a user may do is done: take, list, restore and delete snapshots of trees of ours, and set retention for
these trees. Nothing runs on the repository itself, nobody is added or removed, and no snapshot without this testbed's
tag is touched.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from snapstorm.errors import ConfigError, HarnessError, OperationFailed, TargetError
from snapstorm.filesystem.bulk_removal import remove_many_trees
from snapstorm.model.actions import RunGc, VerifyRepository
from snapstorm.model.protocols import Auditor, ClientSnapshotter, SnapshotReceipt, TargetPlace
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.client import KopiaClient
from snapstorm.targets.kopia.command import KEEP_ALL, Actor, Kopia, ServerAddress

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_IDENTITY = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class OperatorAccess:
    """A server that already runs, and the users that its operator made for us."""

    address: ServerAddress
    password_by_user: Mapping[str, str] = field(repr=False)

    @property
    def users(self) -> tuple[str, ...]:
        """The identities (`user@host`), in the order of their file."""
        return tuple(self.password_by_user)


def read_access(url: str, fingerprint: str, users_file: Path) -> OperatorAccess:
    """Check and read what the operator gave, changing nothing. The file has `"user@host" = "password"` on each line.

    Raises ConfigError for what is mistyped, TestbedError for a file that others can read.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigError(f"--server must be https://HOST:PORT, not {url!r}")
    plain = fingerprint.replace(":", "").lower()
    if _FINGERPRINT.fullmatch(plain) is None:
        raise ConfigError(
            "--fingerprint must be the SHA-256 of the server's certificate, 64 hexadecimal digits, as `kopia server "
            "start` prints it"
        )
    if not users_file.is_file():
        raise ConfigError(f"there is no file {users_file}; --clients-file names the users, one on each line")
    password_by_user = FileSecretStore(users_file).all()
    wrong = [user for user in password_by_user if _IDENTITY.fullmatch(user) is None]
    if wrong or not password_by_user:
        problem = f"{wrong[0]!r} is no user@host" if wrong else "it names no user"
        raise ConfigError(f'{users_file}: {problem}; each line must be "user@host" = "password"')
    return OperatorAccess(ServerAddress(url.rstrip("/"), plain), password_by_user)


@dataclass(frozen=True)
class OperatorClient(KopiaClient):
    """A client whose repository may have a retention of its own: what it takes must be kept until it is deleted."""

    kept_sources: set[Path] = field(default_factory=set)

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        """As any client; before the first snapshot of a source, retention is told to keep them all."""
        if source not in self.kept_sources:
            completed = await self.kopia.set_retention(self.actor, f"{self.identity}:{source}", KEEP_ALL)
            answers.check(completed, "policy set", OperationFailed)
            self.kept_sources.add(source)
        return await super().create_snapshot(source, operation)


@dataclass(frozen=True)
class OperatorServer:
    """Somebody else's server. Implements `Server`, as far as its users may."""

    kopia: Kopia
    place: TargetPlace
    access: OperatorAccess

    @property
    def repository_id(self) -> str:
        """Kopia tells clients no id of the repository, so the address stands for it."""
        return f"behind {self.access.address.url}"

    @property
    def has_permissions(self) -> bool:
        """A wrong password must get in nowhere."""
        return True

    @property
    def manages_users(self) -> bool:
        """Users are the operator's."""
        return False

    @property
    def refused_actions(self) -> frozenset[str]:
        """Collecting is not for users; verifying would read the operator's own snapshots of the same user."""
        return frozenset({RunGc.key, VerifyRepository.key})

    @property
    def auditor(self) -> Auditor | None:
        """There is no way past the server."""
        return None

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Nothing to do: the operator has let them in. Raises HarnessError for one that the file does not name."""
        unknown = [client for client in clients if client not in self.access.password_by_user]
        if unknown:
            raise HarnessError(f"{unknown[0]} has snapshots on this testbed, but is not in the file of users any more")

    async def remove_client(self, client: str) -> None:
        """Not possible: see `manages_users`."""
        raise HarnessError(f"{client} can't be removed: users are the operator's")

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a user."""
        return self._snapshotter(client, self._actor(client))

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, with a wrong password."""
        return self._snapshotter(client, Actor(self.place.server / "impostors" / client, secrets.token_urlsafe()))

    async def refresh(self) -> None:
        """Nothing is changed past the server."""

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Drop what these clients have cached; the server's cache is out of reach."""
        await remove_many_trees(self.kopia.runner, [self._actor(client).cache for client in clients])

    async def storage_bytes(self) -> int | None:
        """Not to be told from here."""
        return None

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """Not possible: see `refused_actions`."""
        raise HarnessError("garbage can't be collected on a server that is somebody else's")

    async def check(self) -> None:
        """Let each user in once, so that a wrong address, certificate or password is told before anything is made."""
        for user in self.access.users:
            try:
                await self.client(user).connect()
            except TargetError as error:
                raise HarnessError(f"{user} is not let in by {self.access.address.url}: {error}") from error

    def _actor(self, client: str) -> Actor:
        return Actor(self.place.client(client), self.access.password_by_user.get(client, ""))

    def _snapshotter(self, client: str, actor: Actor) -> OperatorClient:
        return OperatorClient(
            kopia=self.kopia,
            actor=actor,
            identity=client,
            testbed=self.place.testbed,
            verify_files_percent=0,
            connect_command=self._connect,
            obituary=str,
        )

    async def _connect(self, actor: Actor, identity: str) -> CompletedCommand:
        return await self.kopia.connect_to_server(actor, self.access.address, identity)


@asynccontextmanager
async def use_server(kopia: Kopia, place: TargetPlace, access: OperatorAccess) -> AsyncIterator[OperatorServer]:
    """The operator's server, once every user has been let in. Raises HarnessError, one line, where one is not."""
    server = OperatorServer(kopia, place, access)
    await server.check()
    yield server
