"""The command line of Kopia: which words ask for what, and in which environment they run.

Together with `answers`, which knows what comes back, this is all that knows Kopia's interface. Command words come
first in every command, options after them. No password is ever among them: they travel in the environment.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snapstorm.model.location import FileStorage, Storage
from snapstorm.runtime.process import CompletedCommand, ProcessRunner, RunningProcess
from snapstorm.targets.kopia.environment import inherited_environment
from snapstorm.targets.kopia.programs import Programs

KEEP_ALL = 2_147_483_647
"""The largest `--keep-latest`: retention never expires a snapshot."""

TESTBED_TAG = "testbed"
OPERATION_TAG = "operation"

_FAST_DERIVATION = "pbkdf2-sha256-600000"
"""The cheaper of Kopia's two ways from a password to a key, known since 0.18. Keys are derived anew in each command:
with it a direct command takes 112 ms instead of 165, a client's 50 ms less (measured, 0.23.1)."""

_CERTIFICATE_RSA_BITS = 2048
"""Kopia's default of 4096 bits takes 0.3 to 1.1 s longer, by luck (measured)."""


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

    @property
    def name(self) -> str:
        """Tells this actor from the others of its testbed, wherever that is."""
        return "/".join(self.directory.parts[-2:])

    @property
    def config(self) -> Path:
        return self.directory / "repository.config"

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that Kopia is given beside those of the user's, without the secret ones."""
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
        # With a directory for caches but none in use, Kopia panics (#5406).
        return variables | ({"KOPIA_CACHE_DIRECTORY": str(self.cache)} if self.has_cache else {})

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
    """The program under test, one method for each of its commands that are used."""

    programs: Programs
    runner: ProcessRunner
    seconds_max: float
    """After this time a command is ended."""

    # Commands of clients, through a server or directly.

    async def connect_to_server(
        self, actor: Actor, server: ServerAddress, identity: str, options: Sequence[str] = ()
    ) -> CompletedCommand:
        return await self._run(
            actor,
            "repository",
            "connect",
            "server",
            f"--url={server.url}",
            f"--server-cert-fingerprint={server.fingerprint}",
            f"--local-cache-key-derivation-algorithm={_FAST_DERIVATION}",
            *_identity_options(identity),
            *options,
        )

    async def disconnect(self, actor: Actor) -> CompletedCommand:
        return await self._run(actor, "repository", "disconnect")

    async def create_snapshot(self, actor: Actor, source: Path, tags: Mapping[str, str]) -> CompletedCommand:
        options = [f"--tags={name}:{value}" for name, value in tags.items()]
        return await self._run(actor, "snapshot", "create", "--json", *options, str(source))

    async def restore(self, actor: Actor, snapshot: str, sub_path: bytes, destination: Path) -> CompletedCommand:
        """Restore by the snapshot's id: by path, a file would lose its mode and mtime (#5564)."""
        origin = f"{snapshot}/{os.fsdecode(sub_path)}" if sub_path else snapshot
        return await self._run(actor, "restore", origin, str(destination))

    async def list_snapshots(self, actor: Actor) -> CompletedCommand:
        return await self._run(actor, "snapshot", "list", "--all", "--incomplete", "--json")

    async def delete_snapshot(self, actor: Actor, snapshot: str) -> CompletedCommand:
        """Without `--delete` Kopia exits 0 and deletes nothing."""
        return await self._run(actor, "snapshot", "delete", snapshot, "--delete")

    async def verify_snapshots(self, actor: Actor, files_percent: int, *snapshots: str) -> CompletedCommand:
        """Without `--json`, which 0.19.0 does not know here."""
        return await self._run(actor, "snapshot", "verify", f"--verify-files-percent={files_percent}", *snapshots)

    async def set_retention(
        self,
        actor: Actor,
        policy: str,
        keep_latest: int,
        *,
        more_options: Sequence[str] = (),
        seconds_max: float | None = None,
    ) -> CompletedCommand:
        """`policy` is `--global` or `USER@HOST:PATH`. Only the latest count: no snapshot is kept for its date."""
        periods = ("hourly", "daily", "weekly", "monthly", "annual")
        options = [f"--keep-latest={keep_latest}", *(f"--keep-{period}=0" for period in periods), *more_options]
        return await self._run(actor, "policy", "set", policy, *options, seconds_max=seconds_max)

    async def list_policies(self, actor: Actor) -> CompletedCommand:
        """All policies that this user may read, each as it was set: nothing is merged."""
        return await self._run(actor, "policy", "list", "--json")

    async def ask_whether_may_expire(self, actor: Actor, source: str) -> CompletedCommand:
        """Ask which snapshots of a source would expire; without `--delete` none does. A server refuses that to a user
        who may not add snapshots of this source."""
        return await self._run(actor, "snapshot", "expire", source)

    async def expire(self, actor: Actor, source: str) -> CompletedCommand:
        return await self._run(actor, "snapshot", "expire", source, "--delete")

    # Commands directly on the repository.

    async def create_repository(
        self,
        actor: Actor,
        storage: Storage,
        identity: str,
        *,
        format_version: int | None = None,
        options: Sequence[str] = (),
    ) -> CompletedCommand:
        """`format_version` None for what this Kopia makes by itself."""
        return await self._run(
            actor,
            "repository",
            "create",
            *_storage_words(storage),
            f"--format-block-key-derivation-algorithm={_FAST_DERIVATION}",
            *([] if format_version is None else [f"--format-version={format_version}"]),
            *_identity_options(identity),
            *actor.cache_options,
            *options,
        )

    async def set_repository_parameters(self, actor: Actor, options: Sequence[str]) -> CompletedCommand:
        return await self._run(actor, "repository", "set-parameters", *options, "--no-auto-maintenance")

    async def upgrade_repository(self, actor: Actor) -> CompletedCommand:
        """Bring the repository to the newest format, which the version that was named last must know.

        Nobody else may be at work. The bounds on waiting are those for a repository that nobody else knows of; without
        the one for the clocks' drift it takes over 100 s instead of 6 (measured).
        """
        return await self._run(
            actor,
            "repository",
            "upgrade",
            "begin",
            "--upgrade-owner-id=snapstorm",
            "--allow-unsafe-upgrade",
            "--io-drain-timeout=2s",
            "--max-permitted-clock-drift=1s",
            "--status-poll-interval=1s",
            env={"KOPIA_UPGRADE_LOCK_ENABLED": "true"},
            program=self.programs.newest_named,
        )

    async def connect_to_repository(self, actor: Actor, storage: Storage, identity: str) -> CompletedCommand:
        return await self._run(
            actor,
            "repository",
            "connect",
            *_storage_words(storage),
            *_identity_options(identity),
            *actor.cache_options,
        )

    async def repository_status(self, actor: Actor) -> CompletedCommand:
        return await self._run(actor, "repository", "status", "--json")

    async def blob_stats(self, actor: Actor) -> CompletedCommand:
        """How many blobs there are, and their bytes."""
        return await self._run(actor, "blob", "stats", "--raw")

    async def list_snapshot_manifests(self, actor: Actor) -> CompletedCommand:
        return await self._run(actor, "manifest", "list", "--filter=type:snapshot", "--json", "--no-auto-maintenance")

    async def disable_maintenance(self, actor: Actor) -> CompletedCommand:
        return await self._run(
            actor, "maintenance", "set", "--enable-quick=false", "--enable-full=false", "--no-auto-maintenance"
        )

    async def set_global_policy(self, actor: Actor, options: Sequence[str]) -> CompletedCommand:
        """Keep all snapshots, and whatever else is to be set: two commands at once would not see each other's."""
        return await self.set_retention(actor, "--global", KEEP_ALL, more_options=options)

    async def enable_access_control(self, actor: Actor) -> CompletedCommand:
        return await self._run(actor, "server", "acl", "enable", "--no-auto-maintenance")

    async def add_user(self, actor: Actor, user: str, password_hash: str) -> CompletedCommand:
        return await self._run(
            actor,
            "server",
            "users",
            "add",
            user,
            hashed := f"--user-password-hash={password_hash}",
            "--no-auto-maintenance",
            secret_words={hashed},
        )

    async def set_user_password(self, actor: Actor, user: str, password_hash: str) -> CompletedCommand:
        return await self._run(
            actor,
            "server",
            "users",
            "set",
            user,
            hashed := f"--user-password-hash={password_hash}",
            "--no-auto-maintenance",
            secret_words={hashed},
        )

    async def list_access_rules(self, actor: Actor) -> CompletedCommand:
        return await self._run(actor, "server", "acl", "list", "--json", "--no-auto-maintenance")

    async def add_access_rule(self, actor: Actor, user: str, target: str, access: str) -> CompletedCommand:
        words = (f"--user={user}", f"--target={target}", f"--access={access}")
        return await self._run(actor, "server", "acl", "add", *words, "--no-auto-maintenance")

    async def delete_access_rule(self, actor: Actor, rule: str) -> CompletedCommand:
        return await self._run(actor, "server", "acl", "delete", rule, "--delete", "--no-auto-maintenance")

    async def delete_user(self, actor: Actor, user: str) -> CompletedCommand:
        return await self._run(actor, "server", "users", "delete", user, "--no-auto-maintenance")

    async def run_maintenance(self, actor: Actor, *, is_full: bool, is_safe: bool) -> CompletedCommand:
        kind, safety = "--full" if is_full else "--no-full", "full" if is_safe else "none"
        return await self._run(actor, "maintenance", "run", kind, f"--safety={safety}")

    async def maintenance_info(self, actor: Actor) -> CompletedCommand:
        return await self._run(actor, "maintenance", "info", "--json")

    async def ask(
        self, actor: Actor, *words: str, stdin: int | None = None, seconds_max: float | None = None
    ) -> CompletedCommand:
        """Any other command, for what is asked in one place only. `stdin` is an open descriptor that it reads from."""
        return await self._run(actor, *words, stdin=stdin, seconds_max=seconds_max)

    # The server.

    @asynccontextmanager
    async def serve(
        self, actor: Actor, address: str, certificate: Path, key: Path, *, control_password: str, log: Path
    ) -> AsyncIterator[RunningProcess]:
        """The server process, at `HOST:PORT` (0 for a free port); it makes the certificate if there is none."""
        argv = [
            str(self.programs.draw(actor.name)),
            "server",
            "start",
            f"--address={address}",
            "--no-ui",
            *_certificate_options(certificate, key),
        ]
        secrets = {
            "KOPIA_PASSWORD": actor.password,
            "KOPIA_SERVER_CONTROL_PASSWORD": control_password,
            **actor.storage_secrets,
        }
        make_private(actor.directory)
        async with self.runner.start(
            argv,
            env=actor.environment,
            inherited_env=inherited_environment(),
            secret_env=secrets,
            cwd=actor.directory,
            log=log,
        ) as process:
            yield process

    async def refresh_server(self, actor: Actor, server: ServerAddress, control_password: str) -> CompletedCommand:
        """Unlike `server start`, this reads the control password from KOPIA_SERVER_PASSWORD (measured)."""
        return await self._run(
            actor,
            "server",
            "refresh",
            f"--address={server.url}",
            f"--server-cert-fingerprint={server.fingerprint}",
            secrets={"KOPIA_SERVER_PASSWORD": control_password},
        )

    async def _run(
        self,
        actor: Actor,
        *words: str,
        secrets: Mapping[str, str] | None = None,
        secret_words: Collection[str] = (),
        stdin: int | None = None,
        seconds_max: float | None = None,
        env: Mapping[str, str] | None = None,
        program: Path | None = None,
    ) -> CompletedCommand:
        make_private(actor.directory)
        return await self.runner.run(
            [self.programs.draw(actor.name) if program is None else program, *words],
            env={**actor.environment, **(env or {})},
            inherited_env=inherited_environment(),
            secret_env={"KOPIA_PASSWORD": actor.password, **actor.storage_secrets, **(secrets or {})},
            cwd=actor.directory,
            stdin=stdin,
            secret_words=secret_words,
            seconds_max=self.seconds_max if seconds_max is None else seconds_max,
        )


def _storage_words(storage: Storage) -> list[str]:
    """The kind of storage and where it is; credentials travel in the environment."""
    if isinstance(storage, FileStorage):
        return ["filesystem", f"--path={storage.path}"]
    words = ["s3", f"--bucket={storage.bucket}", f"--prefix={storage.prefix}", f"--endpoint={storage.host}"]
    if storage.region is not None:
        words.append(f"--region={storage.region}")
    return words if storage.is_encrypted else [*words, "--disable-tls"]


def _identity_options(identity: str) -> tuple[str, str]:
    """Kopia takes the names of the local user and machine otherwise, which would tie a testbed to both."""
    user, _, host = identity.partition("@")
    return f"--override-username={user}", f"--override-hostname={host}"


def _certificate_options(certificate: Path, key: Path) -> list[str]:
    """Kopia makes a certificate only where there is none yet."""
    files = [f"--tls-cert-file={certificate}", f"--tls-key-file={key}"]
    generate = ["--tls-generate-cert", f"--tls-generate-rsa-key-size={_CERTIFICATE_RSA_BITS}"]
    return files if certificate.exists() else files + generate


def make_private(directory: Path) -> None:
    """Make the directory and those above it that are missing, all closed to other users."""
    if directory.is_dir():
        return
    make_private(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
