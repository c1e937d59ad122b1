"""A Kopia server that already runs: somebody else's, with users that they made.

Only what such a user may do is done: take, list, restore and delete snapshots of trees of ours, and set retention for
these trees. What the operator's policies make happen to these is expected. Nothing runs on the repository itself,
nobody is added or removed, and no snapshot without this testbed's tag is touched.
"""

from __future__ import annotations

import functools
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from snapstorm.errors import AccessDenied, ConfigError, HarnessError, OperationFailed, TargetError
from snapstorm.filesystem.bulk_removal import remove_many_trees
from snapstorm.model.actions import RunGc, VerifyRepository
from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import ClientSnapshotter, TargetPlace
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.command import KEEP_ALL, Actor, Kopia, ServerAddress
from snapstorm.targets.kopia.policies import Policies, SourcePolicy, read_policies_of
from snapstorm.targets.kopia.selection import TreeOnDisk
from snapstorm.targets.kopia.snapshotter import KopiaClient
from snapstorm.targets.plain import PlainServer

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_USERS_CHECKED_AT_ONCE = 4
_IDENTITY = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class OperatorAccess:
    """A server that already runs, and the users that its operator made for us. Implements `ExternalServer`."""

    address: ServerAddress
    password_by_user: Mapping[str, str] = field(repr=False)

    @property
    def users(self) -> tuple[str, ...]:
        """The identities (`user@host`), in the order of their file."""
        return tuple(self.password_by_user)

    @property
    def target(self) -> str:
        """Kopia's name."""
        return "kopia"

    @property
    def warning(self) -> str:
        """What a run will do there."""
        return (
            f"This writes to the Kopia server {self.address.url}: as {', '.join(self.users)} it takes, restores and "
            "deletes snapshots of files that it makes below the testbed, sets the retention of just these paths, and "
            "tries a wrong password and, for users without the right, a deletion of its own. "
            "Snapshots that it did not take are not touched; those that it leaves are for the next run."
        )


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
class OperatorServer(PlainServer):
    """Somebody else's server. Implements `Server`, as far as its users may."""

    kopia: Kopia
    place: TargetPlace
    access: OperatorAccess
    policies: dict[str, Policies] = field(default_factory=dict)
    """What applies to each user, as it was read last."""

    @property
    def repository_id(self) -> str:
        """Kopia tells clients no id of the repository, so the address stands for it."""
        return f"behind {self.access.address.url}"

    @property
    def authenticates(self) -> bool:
        """A wrong password must get in nowhere."""
        return True

    @property
    def isolates_clients(self) -> bool:
        """The operator may have given users rights to each other's snapshots."""
        return False

    @property
    def manages_users(self) -> bool:
        """Users are the operator's."""
        return False

    @property
    def refused_actions(self) -> frozenset[str]:
        """Collecting is not for users; verifying would read the operator's own snapshots of the same user."""
        return frozenset({RunGc.key, VerifyRepository.key})

    @property
    def only_here(self) -> str | None:
        """What policies leave out is read where the files are."""
        return "what the operator's policies leave out is looked for on the disk of the run's machine"

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Have retention keep what they will take; the operator has let them in. Raises HarnessError for one that the
        file does not name, or that may not set that."""
        unknown = [client for client in clients if client not in self.access.password_by_user]
        if unknown:
            raise HarnessError(f"{unknown[0]} has snapshots on this testbed, but is not in the file of users any more")
        await together(functools.partial(self._keep_all, client) for client in clients)

    async def remove_client(self, client: str) -> None:
        """Not possible: see `manages_users`."""
        raise HarnessError(f"{client} can't be removed: users are the operator's")

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a user."""
        return self._snapshotter(client, self._actor(client))

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, with a wrong password."""
        return self._snapshotter(client, Actor(self.place.server / "impostors" / client, secrets.token_urlsafe()))

    async def forget_caches(self, clients: Sequence[str]) -> None:
        """Drop what these clients have cached; the server's cache is out of reach."""
        await remove_many_trees(self.kopia.runner, [self._actor(client).cache for client in clients])

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """Not possible: see `refused_actions`."""
        raise HarnessError("garbage can't be collected on a server that is somebody else's")

    async def check(self) -> None:
        """Let each user in once, and look at its rights and policies, so that what can't be tested is told before
        anything is made. Raises HarnessError, one line."""
        at_once = anyio.CapacityLimiter(_USERS_CHECKED_AT_ONCE)

        async def check(user: str) -> None:
            async with at_once:
                problem = f"{user} is not let in by {self.access.address.url}"
                try:
                    await self.client(user).connect()
                    problem = f"the rights and policies of {user} can't be read"
                    await self.read_settings(user)
                except TargetError as error:
                    raise HarnessError(f"{problem}: {error}") from error

        await together(functools.partial(check, user) for user in self.access.users)

    async def _keep_all(self, user: str) -> None:
        """Have retention keep all snapshots of this user's files; directories in them inherit that."""
        if self._policy_of(user).keeps_all:
            return
        target = f"{user}:{self._source_of(user)}"
        completed = await self.kopia.set_retention(self._actor(user), target, KEEP_ALL)
        try:
            answers.check(completed, "policy set", OperationFailed)
            await self.read_settings(user)
        except AccessDenied as error:
            raise HarnessError(
                f"{user} may not set policies for its own sources, and retention would expire its snapshots; give it "
                f"access APPEND to policies of its own, or set --keep-latest={KEEP_ALL} for {target}"
            ) from error
        except TargetError as error:
            raise HarnessError(f"retention of {target} could not be set: {error}") from error
        if not self._policy_of(user).keeps_all:
            raise HarnessError(f"retention of {target} was set to keep all, and does not; look at its policies")

    async def read_settings(self, client: str) -> None:
        """Read what applies to this client's trees and may change. It is used from now on.

        Raises HarnessError for what no run can be judged under, TargetError where it can't be read.
        """
        actor, source = self._actor(client), str(self._source_of(client))
        try:
            allowed = await self.kopia.ask_whether_may_expire(actor, f"{client}:{source}")
            answers.check(allowed, "asking for the right to add snapshots", OperationFailed)
        except AccessDenied as error:
            raise HarnessError(
                f"{client} may not add snapshots; give it access APPEND or FULL to its own (`kopia server acl add "
                f"--user {client} --target type=snapshot,...`), or leave it out of the file of users"
            ) from error
        policies = read_policies_of(await self.kopia.list_policies(actor), client)
        for refusal in policies.refusals(source):
            raise HarnessError(refusal)
        self.policies[client] = policies

    def settings(self, client: str) -> Mapping[str, str]:
        """What applies to this client's trees and may change, as it was read last."""
        return self.policies[client].settings(str(self._source_of(client)))

    def unknown_settings(self, client: str) -> Sequence[str]:
        """Settings of this client's policies of which we don't know what they do."""
        return self.policies[client].unknown

    async def kept_of(self, client: str, source: Path, tree: Manifest) -> Manifest:
        """What the client's policies keep of the tree at `source`."""
        selection = self.policies[client].of(str(source)).selection
        if selection.keeps_everything(tree):
            return tree
        try:
            return await run_file_work(selection.keep, tree, TreeOnDisk(os.fsencode(source)))
        except (OSError, ValueError) as error:
            raise HarnessError(
                f"a file with ignore rules below {source} can't be used: {error}; mend or remove it"
            ) from error

    def _policy_of(self, user: str) -> SourcePolicy:
        return self.policies[user].of(str(self._source_of(user)))

    def _source_of(self, user: str) -> Path:
        """This user's files."""
        return self.place.work / user / "data"

    def _actor(self, client: str) -> Actor:
        return Actor(self.place.client(client), self.access.password_by_user.get(client, ""))

    def _snapshotter(self, client: str, actor: Actor) -> KopiaClient:
        return KopiaClient(
            kopia=self.kopia,
            actor=actor,
            identity=client,
            testbed=self.place.testbed,
            verify_files_percent=0,
            connect_command=self._connect,
            leaves_out_identical=lambda source: self.policies[client].of(source).ignores_identical,
        )

    async def _connect(self, actor: Actor, identity: str) -> CompletedCommand:
        return await self.kopia.connect_to_server(actor, self.access.address, identity)
