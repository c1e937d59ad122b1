"""The command line of Kopia: which words ask for what, and in which environment they run; here the commands of clients.

Those on the repository itself are in `administration`. Together with `answers`, which knows what comes back, these are
all that knows Kopia's interface. Command words come first in every command, options after them. No password is ever
among them: they travel in the environment.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from os import fsdecode
from pathlib import Path

from snapstorm.model.location import FileStorage, Storage
from snapstorm.model.retention import KeepPolicy, Period
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.targets.kopia.environment import inherited_environment
from snapstorm.targets.programs import Programs

KEEP_ALL = 2_147_483_647
"""The largest `--keep-latest`: retention never expires a snapshot."""

TESTBED_TAG = "testbed"
OPERATION_TAG = "operation"

FAST_DERIVATION = "pbkdf2-sha256-600000"
"""The cheaper of Kopia's two ways from a password to a key, known since 0.18. Keys are derived anew in each command:
with it a direct command takes 112 ms instead of 165, a client's 50 ms less (measured, 0.23.1)."""

CLOCK_VARIABLE = "KOPIA_FAKE_CLOCK_ENDPOINT"
"""Where a Kopia that was built with -tags=testing asks for the time."""

COMMAND_CLOCK_SECONDS = 3600.0
"""How long the time is valid that a command is told: longer than it takes, so that it asks once."""

SERVER_CLOCK_SECONDS = 0.02
"""Likewise of a server, which must see jumps. One that goes on with an old time does not refresh its index, which looks
like lost data after maintenance (measured)."""

TESTING_DERIVATION = "testing-only-insecure"
"""Costs next to nothing. Only a Kopia that was built with -tags=testing has it."""

_LOGS_MB_MAX = "32"
"""Of each of the two kinds of logs that an actor keeps. Evidence takes the latest."""


@dataclass(frozen=True)
class Actor:
    """Who runs a command: a configuration, a cache, logs and a password that nobody else uses."""

    directory: Path
    """Private to this actor; made at its first command."""
    password: str = field(repr=False)
    has_cache: bool = True
    """Whether a connection keeps a cache. Kopia without one reads everything from where it really is."""
    storage_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the storage wants to know, by the name of the environment variable that Kopia takes it from."""
    clock_url: str | None = None
    """Where its commands ask for virtual time; None for real time."""

    @functools.cached_property
    def name(self) -> str:
        """Tells this actor from the others of its testbed, wherever that is."""
        return "/".join(self.directory.parts[-2:])

    @property
    def config(self) -> Path:
        """The file that holds the connection."""
        return self.directory / "repository.config"

    @property
    def cache(self) -> Path:
        """The directory of the cache."""
        return self.directory / "cache"

    @functools.cached_property
    def environment(self) -> Environment:
        """In which this actor's commands run."""
        variables = {
            "KOPIA_CONFIG_PATH": str(self.config),
            "KOPIA_LOG_DIR": str(self.directory / "logs"),
            "KOPIA_CHECK_FOR_UPDATES": "false",
            "KOPIA_DISABLE_COLOR": "true",
            # Kopia keeps a gigabyte of logs for each actor by default.
            "KOPIA_LOG_DIR_MAX_SIZE_MB": _LOGS_MB_MAX,
            "KOPIA_CONTENT_LOG_DIR_MAX_SIZE_MB": _LOGS_MB_MAX,
            # Otherwise `connect` writes the password, in base64, beside the configuration.
            "KOPIA_PERSIST_CREDENTIALS_ON_CONNECT": "false",
        }
        if self.clock_url is not None:
            variables[CLOCK_VARIABLE] = self.clock_url
        if self.has_cache:  # With a directory for caches but none in use, Kopia panics (#5406).
            variables["KOPIA_CACHE_DIRECTORY"] = str(self.cache)
        secrets = {"KOPIA_PASSWORD": self.password, **self.storage_secrets}
        return Environment(variables, inherited_environment(), secrets)

    @property
    def cache_options(self) -> tuple[str, ...]:
        """What `create` and `connect` must be told, or Kopia keeps a cache in the user's home. Size 0 for content
        switches all of a direct connection's caches off."""
        return () if self.has_cache else ("--content-cache-size-mb=0",)


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens, and by which certificate it is known."""

    url: str
    fingerprint: str
    """SHA-256 of the certificate, in hexadecimal."""


@dataclass(frozen=True)
class Kopia:
    """The program under test, with a method for each command that clients use, through a server or directly."""

    programs: Programs
    runner: ProcessRunner
    seconds_max: float
    """After this time a command is ended."""

    async def run(
        self,
        actor: Actor,
        *words: str,
        env: Environment | None = None,
        secret_words: Collection[str] = (),
        stdin: int = subprocess.DEVNULL,
        seconds_max: float | None = None,
        program: Path | None = None,
    ) -> CompletedCommand:
        """Any command. `env` is for one that takes more than the actor's own environment."""
        if not actor.directory.is_dir():
            make_private(actor.directory)
        return await self.runner.run(
            [program or self.programs.draw(actor.name), *words],
            env=env or actor.environment,
            cwd=actor.directory,
            stdin=stdin,
            secret_words=secret_words,
            seconds_max=self.seconds_max if seconds_max is None else seconds_max,
        )

    async def connect_to_server(
        self, actor: Actor, server: ServerAddress, identity: str, options: Sequence[str] = ()
    ) -> CompletedCommand:
        return await self.run(
            actor,
            "repository",
            "connect",
            "server",
            f"--url={server.url}",
            f"--server-cert-fingerprint={server.fingerprint}",
            f"--local-cache-key-derivation-algorithm={FAST_DERIVATION}",
            *identity_options(identity),
            *options,
        )

    async def connect_to_repository(self, actor: Actor, storage: Storage, identity: str) -> CompletedCommand:
        options = (*identity_options(identity), *actor.cache_options)
        return await self.run(actor, "repository", "connect", *storage_words(storage), *options)

    async def disconnect(self, actor: Actor) -> CompletedCommand:
        return await self.run(actor, "repository", "disconnect")

    async def create_snapshot(self, actor: Actor, source: Path, tags: Mapping[str, str]) -> CompletedCommand:
        options = [f"--tags={name}:{value}" for name, value in tags.items()]
        return await self.run(actor, "snapshot", "create", "--json", *options, str(source))

    async def restore(self, actor: Actor, snapshot: str, sub_path: bytes, destination: Path) -> CompletedCommand:
        """Restore by the snapshot's id: by path, a file would lose its mode and mtime (#5564)."""
        origin = f"{snapshot}/{fsdecode(sub_path)}" if sub_path else snapshot
        return await self.run(actor, "restore", origin, str(destination))

    async def list_snapshots(self, actor: Actor) -> CompletedCommand:
        return await self.run(actor, "snapshot", "list", "--all", "--incomplete", "--json")

    async def delete_snapshot(self, actor: Actor, snapshot: str) -> CompletedCommand:
        """Without `--delete` Kopia exits 0 and deletes nothing."""
        return await self.run(actor, "snapshot", "delete", snapshot, "--delete")

    async def verify_snapshots(self, actor: Actor, files_percent: int, *snapshots: str) -> CompletedCommand:
        """Without `--json`, which 0.19.0 does not know here."""
        return await self.run(actor, "snapshot", "verify", f"--verify-files-percent={files_percent}", *snapshots)

    async def set_retention(
        self,
        actor: Actor,
        policy: str,
        keep: KeepPolicy | int,
        *,
        more_options: Sequence[str] = (),
        seconds_max: float | None = None,
    ) -> CompletedCommand:
        """`policy` is `--global` or `USER@HOST:PATH`. Of a number, only the latest count: no snapshot is kept for its
        date."""
        if isinstance(keep, int):
            counts = {period: keep if period is Period.LATEST else 0 for period in Period}
        else:
            counts = {period: keep.count(period) for period in Period}
        options = [*(f"--keep-{period}={count}" for period, count in counts.items()), *more_options]
        return await self.run(actor, "policy", "set", policy, *options, seconds_max=seconds_max)

    async def list_policies(self, actor: Actor) -> CompletedCommand:
        """All policies that this user may read, each as it was set: nothing is merged."""
        return await self.run(actor, "policy", "list", "--json")

    async def ask_whether_may_expire(self, actor: Actor, source: str) -> CompletedCommand:
        """Ask which snapshots of a source would expire; without `--delete` none does. A server refuses that to a user
        who may not add snapshots of this source."""
        return await self.run(actor, "snapshot", "expire", source)

    async def expire(self, actor: Actor, source: str) -> CompletedCommand:
        return await self.run(actor, "snapshot", "expire", source, "--delete")


def storage_words(storage: Storage) -> list[str]:
    """The kind of storage and where it is; credentials travel in the environment."""
    if isinstance(storage, FileStorage):
        return ["filesystem", f"--path={storage.path}"]
    words = ["s3", f"--bucket={storage.bucket}", f"--prefix={storage.prefix}", f"--endpoint={storage.host}"]
    if storage.region is not None:
        words.append(f"--region={storage.region}")
    return words if storage.is_encrypted else [*words, "--disable-tls"]


def identity_options(identity: str) -> tuple[str, str]:
    """Kopia takes the names of the local user and machine otherwise, which would tie a testbed to both."""
    user, _, host = identity.partition("@")
    return f"--override-username={user}", f"--override-hostname={host}"


def make_private(directory: Path) -> None:
    """Make the directory and those above it that are missing, all closed to other users."""
    if directory.is_dir():
        return
    make_private(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
