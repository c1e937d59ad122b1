"""The repository under test, worked on directly: made or opened, set up, given users, cleared of garbage.

All of it under one fixed identity, because Kopia lets one identity only run maintenance, and refuses it when that
identity's host name changes (measured).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread

from snapstorm.errors import HarnessError, TargetError, TestbedError
from snapstorm.filesystem.bulk_removal import remove_many_trees, set_aside
from snapstorm.model.location import FileStorage
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.tasks import together
from snapstorm.targets.kopia import answers, repository_answers
from snapstorm.targets.kopia.administration import Administration
from snapstorm.targets.kopia.command import (
    COMMAND_CLOCK_SECONDS,
    FAST_DERIVATION,
    TESTING_DERIVATION,
    Actor,
    Kopia,
    make_private,
)
from snapstorm.targets.kopia.parameters import Command, is_lock_extended, options_for
from snapstorm.targets.storage_credentials import storage_credentials

IDENTITY = "snapstorm@testbed"
"""Who works directly on the repository, whoever and wherever snapstorm runs."""

OLDEST_FORMAT_VERSION = 1
NEWEST_FORMAT_VERSION = 3
"""What 0.19.0 to 0.23.1 make when told to, and by themselves (measured)."""

REPOSITORY_SECRET = "repository"
_HASH_VERSION = 2
_HASH_ITERATIONS = 600_000
_HASH_BYTES = 32
_SALT_BYTES = 32


class Repository:
    """A repository on a directory of ours. `open` comes first, then `identify` and `prepare`."""

    def __init__(self, kopia: Kopia, place: TargetPlace) -> None:
        self._kopia = kopia
        self._place = place
        # Each direct command costs a core for 0.1 s, and memory; a hundred users at once would only get in their way.
        self._adding = anyio.CapacityLimiter(max(2, os.cpu_count() or 1))
        self._hashes: dict[str, Future[str]] = {}
        self.id = ""
        """What tells this repository from every other one; known once it was identified."""
        self.actor = Actor(
            place.server,
            place.secrets.get(REPOSITORY_SECRET),
            storage_secrets=storage_credentials(place),
            clock_url=command_clock(place, IDENTITY),
        )
        """Who works directly on the repository."""
        self.auditor = replace(self.actor, directory=place.server / "auditor", has_cache=False)
        """Who reads the repository past the server and every cache."""
        self.commands = Administration(kopia, self.actor)

    async def open(self) -> None:
        """Make the repository of a new testbed, or connect to that of an old one.

        Raises HarnessError where a new one can't be made, TestbedError where the old one can't be opened.
        """
        # What a cache holds would hide that the repository has lost it (measured).
        drop_cache = functools.partial(remove_many_trees, self._kopia.runner, set_aside(self.actor.cache))
        await together([self._create if self._place.is_new else self._connect, drop_cache])
        if self._place.upgrades_format:
            await self._upgrade()

    async def _create(self) -> None:
        storage = self._place.storage
        if isinstance(storage, FileStorage):
            _prepare_directory(storage.path)
        completed = await self.commands.create_repository(
            storage,
            IDENTITY,
            derivation=FAST_DERIVATION if self._place.time is None else TESTING_DERIVATION,
            format_version=OLDEST_FORMAT_VERSION if self._place.is_oldest_format else None,
            options=options_for(Command.CREATE, self._place.parameters),
        )
        if completed.exit_code != 0 and repository_answers.is_storage_in_use(completed):
            # Our password opens only a repository that we made, in a run that was killed while it did.
            completed = await self._kopia.connect_to_repository(self.actor, storage, IDENTITY)
            if completed.exit_code != 0 or completed.timed_out:
                raise HarnessError(f"{storage} is not empty, so no new repository can be made there")
            return
        answers.check_set_up(completed, f"the repository could not be made in {storage}")
        if settings := options_for(Command.FORMAT, self._place.parameters):
            completed = await self.commands.set_parameters(settings)
            answers.check_set_up(completed, "the parameters of the repository could not be set")

    async def _connect(self) -> None:
        storage = self._place.storage
        if isinstance(storage, FileStorage) and not storage.path.is_dir():
            raise TestbedError(f"the repository of this testbed is missing: there is no {storage}")
        completed = await self._kopia.connect_to_repository(self.actor, storage, IDENTITY)
        problem = f"the repository {storage} can't be opened"
        answers.check_set_up(completed, problem, what="repository connect", failure=TestbedError)

    async def _upgrade(self) -> None:
        """Bring the repository to the newest format, and see that it got there."""
        before = await self._format_version()
        if before >= NEWEST_FORMAT_VERSION:
            return
        answers.check_set_up(await self.commands.upgrade(), "the repository could not be upgraded")
        after = await self._format_version()
        if after < NEWEST_FORMAT_VERSION:
            raise HarnessError(
                f"the repository {self._place.storage} is still of format version {after} after an upgrade from "
                f"{before} that Kopia said was done"
            )

    async def _format_version(self) -> int:
        return repository_answers.read_format_version(await self.commands.status())

    async def identify(self) -> None:
        """Learn the id of the open repository."""
        try:
            self.id = repository_answers.read_repository_id(await self.commands.status())
        except TargetError as error:
            raise TestbedError(f"the repository {self._place.storage} can't be opened: {error}") from error

    async def connect_auditor(self) -> None:
        """Connect to the open repository for restores that no cache may stand in for."""
        completed = await self._kopia.connect_to_repository(self.auditor, self._place.storage, IDENTITY)
        answers.check_set_up(completed, "a second connection to the repository could not be made")

    async def prepare(self, *, has_server: bool) -> None:
        """Set a new repository up: maintenance runs only when asked to, and snapshots expire only then or by the
        policy of the testbed; with a server, rules in the repository say who may see what.

        Kopia's writers may work on one repository at once: six users added at once were all there (measured).
        """
        if not self._place.is_new:
            return
        policy = options_for(Command.POLICY, self._place.parameters)

        async def disable_maintenance() -> None:
            extends_locks = is_lock_extended(self._place.parameters)
            completed = await self.commands.disable_maintenance(extends_locks=extends_locks)
            answers.check_set_up(completed, "maintenance could not be switched off")

        async def set_retention() -> None:
            completed = await self.commands.set_global_policy(self._place.retention, policy)
            answers.check_set_up(completed, "the retention policy could not be set")

        async def enable_access_control() -> None:
            completed = await self.commands.enable_access_control()
            if not repository_answers.is_access_control_on(completed):
                answers.check_set_up(completed, "access control could not be switched on")

        await together([disable_maintenance, set_retention, *([enable_access_control] if has_server else ())])

    def hash_ahead(self, password_by_user: Mapping[str, str]) -> None:
        """Begin to hash the passwords of users who will be added: 0.15 s each, on a processor that has nothing to do
        while the repository is made."""
        if password_by_user:
            pool = ThreadPoolExecutor(1)
            self._hashes = {user: pool.submit(password_hash, word) for user, word in password_by_user.items()}
            pool.shutdown(wait=False)

    async def add_user(self, user: str, password: str) -> None:
        """Let a user in; one who is there already stays as he is. In effect once the server was refreshed."""
        async with self._adding:
            ahead = self._hashes.pop(user, None)
            hash_it = functools.partial(password_hash, password) if ahead is None else ahead.result
            hashed = await anyio.to_thread.run_sync(hash_it)
            added = await self.commands.write_user(user, hashed, is_new=True)
            repository_answers.check_user_added(added, user)

    async def add_user_ahead(self, user: str, password: str) -> None:
        """Let a user in before anybody waits for it. Raises HarnessError."""
        try:
            await self.add_user(user, password)
        except TargetError as error:
            raise HarnessError(f"clients could not be let in: {error}") from error


def command_clock(place: TargetPlace, actor: str) -> str | None:
    """Where the commands of this actor ask for virtual time; None for real time."""
    return None if place.time is None else place.time.url(actor, COMMAND_CLOCK_SECONDS)


def _prepare_directory(path: Path) -> None:
    try:
        names = [entry.name for entry in path.iterdir()] if path.exists() else []
        if names and not any(name.startswith("kopia.repository") for name in names):
            raise HarnessError(f"{path} is not empty, so no new repository can be made there")
        make_private(path)
    except OSError as error:
        raise HarnessError(f"no repository can be made in {path}: {error.strerror}") from error


def password_hash(password: str) -> str:
    """The password as `server users add --user-password-hash` takes it, so that it is on no command line.

    Kopia's format (`internal/user/hash_password.go`, the same from 0.18 on): JSON in base64, with salt and key in
    base64; version 2 is PBKDF2, which costs the server 50 ms less per command than version 1, scrypt (measured).
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _HASH_ITERATIONS, _HASH_BYTES)
    profile = {"passwordHashVersion": _HASH_VERSION, "passwordHash": base64.b64encode(salt + key).decode()}
    return base64.b64encode(json.dumps(profile).encode()).decode()
