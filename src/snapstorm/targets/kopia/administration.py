"""Commands of Kopia directly on a repository, and those that start and refresh its server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from snapstorm.model.location import Storage
from snapstorm.model.retention import KeepPolicy
from snapstorm.runtime.process import CompletedCommand, RunningProcess
from snapstorm.targets.kopia.command import (
    CLOCK_VARIABLE,
    FAST_DERIVATION,
    KEEP_ALL,
    Actor,
    Kopia,
    ServerAddress,
    identity_options,
    make_private,
    storage_words,
)

_CERTIFICATE_RSA_BITS = 2048
"""Kopia's default of 4096 bits takes 0.3 to 1.1 s longer, by luck (measured)."""
_NO_MAINTENANCE = "--no-auto-maintenance"


@dataclass(frozen=True)
class Administration:
    """What one actor does with a repository."""

    kopia: Kopia
    actor: Actor

    async def create_repository(
        self,
        storage: Storage,
        identity: str,
        *,
        derivation: str = FAST_DERIVATION,
        format_version: int | None = None,
        options: Sequence[str] = (),
    ) -> CompletedCommand:
        """`derivation`: how keys follow from the password. `format_version` None for what this Kopia makes by
        itself."""
        return await self.kopia.run(
            self.actor,
            "repository",
            "create",
            *storage_words(storage),
            f"--format-block-key-derivation-algorithm={derivation}",
            *([] if format_version is None else [f"--format-version={format_version}"]),
            *identity_options(identity),
            *self.actor.cache_options,
            *options,
        )

    async def set_parameters(self, options: Sequence[str]) -> CompletedCommand:
        return await self._run("repository", "set-parameters", *options)

    async def upgrade(self) -> CompletedCommand:
        """Bring the repository to the newest format, which the version that was named last must know.

        Nobody else may be at work. The bounds on waiting are those for a repository that nobody else knows of; without
        the one for the clocks' drift it takes over 100 s instead of 6 (measured).
        """
        env = self.actor.environment
        return await self.kopia.run(
            self.actor,
            "repository",
            "upgrade",
            "begin",
            "--upgrade-owner-id=snapstorm",
            "--allow-unsafe-upgrade",
            "--io-drain-timeout=2s",
            "--max-permitted-clock-drift=1s",
            "--status-poll-interval=1s",
            env=replace(env, own={**env.own, "KOPIA_UPGRADE_LOCK_ENABLED": "true"}),
            program=self.kopia.programs.newest_named,
        )

    async def status(self) -> CompletedCommand:
        return await self.kopia.run(self.actor, "repository", "status", "--json")

    async def blob_stats(self) -> CompletedCommand:
        """How many blobs there are, and their bytes."""
        return await self.kopia.run(self.actor, "blob", "stats", "--raw")

    async def list_snapshot_manifests(self) -> CompletedCommand:
        return await self._run("manifest", "list", "--filter=type:snapshot", "--json")

    async def disable_maintenance(self, *, extends_locks: bool = False) -> CompletedCommand:
        """Run maintenance only when asked to; a full one is to extend the locks of objects, or not."""
        extending = ["--extend-object-locks=true"] if extends_locks else []
        return await self._run("maintenance", "set", "--enable-quick=false", "--enable-full=false", *extending)

    async def set_global_policy(self, keep: KeepPolicy | None, options: Sequence[str]) -> CompletedCommand:
        """Keep these snapshots of each source, or (None) all, and whatever else is to be set: two commands at once
        would not see each other's."""
        return await self.kopia.set_retention(self.actor, "--global", keep or KEEP_ALL, more_options=options)

    async def enable_access_control(self) -> CompletedCommand:
        return await self._run("server", "acl", "enable")

    async def write_user(self, user: str, password_hash: str, *, is_new: bool) -> CompletedCommand:
        """Add a user, or give one another password."""
        hashed = f"--user-password-hash={password_hash}"
        words = ("server", "users", "add" if is_new else "set", user, hashed, _NO_MAINTENANCE)
        return await self.kopia.run(self.actor, *words, secret_words={hashed})

    async def delete_user(self, user: str) -> CompletedCommand:
        return await self._run("server", "users", "delete", user)

    async def list_access_rules(self) -> CompletedCommand:
        return await self._run("server", "acl", "list", "--json")

    async def add_access_rule(self, user: str, target: str, access: str) -> CompletedCommand:
        return await self._run("server", "acl", "add", f"--user={user}", f"--target={target}", f"--access={access}")

    async def delete_access_rule(self, rule: str) -> CompletedCommand:
        return await self._run("server", "acl", "delete", rule, "--delete")

    async def run_maintenance(self, *, is_full: bool, is_safe: bool) -> CompletedCommand:
        kind, safety = "--full" if is_full else "--no-full", "full" if is_safe else "none"
        return await self.kopia.run(self.actor, "maintenance", "run", kind, f"--safety={safety}")

    async def maintenance_info(self) -> CompletedCommand:
        return await self.kopia.run(self.actor, "maintenance", "info", "--json")

    async def refresh_server(self, server: ServerAddress, control_password: str) -> CompletedCommand:
        """Unlike `server start`, this reads the control password from KOPIA_SERVER_PASSWORD (measured)."""
        words = ("server", "refresh", f"--address={server.url}", f"--server-cert-fingerprint={server.fingerprint}")
        env = self.actor.environment
        secret = {**env.secret, "KOPIA_SERVER_PASSWORD": control_password}
        return await self.kopia.run(self.actor, *words, env=replace(env, secret=secret))

    def start_server(
        self,
        address: str,
        certificate: Path,
        key: Path,
        *,
        control_password: str,
        log: Path,
        clock_url: str | None,
        password_file: Path | None,
    ) -> AbstractAsyncContextManager[RunningProcess]:
        """The server process, at `HOST:PORT` (0 for a free port); it makes the certificate if there is none. Users in
        the password file, which must be there, are let in besides those in the repository."""
        make_private(self.actor.directory)
        program = self.kopia.programs.draw(self.actor.name)
        words = ["server", "start", f"--address={address}", "--no-ui"]
        words += [f"--tls-cert-file={certificate}", f"--tls-key-file={key}"]
        if not certificate.exists():  # Kopia makes a certificate only where there is none yet.
            words += ["--tls-generate-cert", f"--tls-generate-rsa-key-size={_CERTIFICATE_RSA_BITS}"]
        words += [] if password_file is None else [f"--htpasswd-file={password_file}"]
        env = self.actor.environment
        secret = {**env.secret, "KOPIA_SERVER_CONTROL_PASSWORD": control_password}
        own = env.own if clock_url is None else {**env.own, CLOCK_VARIABLE: clock_url}
        return self.kopia.runner.start(
            [program, *words], env=replace(env, own=own, secret=secret), cwd=self.actor.directory, log=log
        )

    async def _run(self, *words: str) -> CompletedCommand:
        return await self.kopia.run(self.actor, *words, _NO_MAINTENANCE)
