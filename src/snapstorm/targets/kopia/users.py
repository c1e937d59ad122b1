"""The users of a server of ours: in the repository, as Kopia has them by default, or in a password file beside it.

A repository user costs the server 100 ms of CPU for each session of his, one in the file nothing (measured). A user is
in one of the two only: of one who is in both, Kopia accepts either password.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import anyio.to_thread

from snapstorm.errors import OperationFailed, OperationUnknown
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.tasks import together
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.repository import Repository, password_hash
from snapstorm.targets.password_file import PASSWORD_FILE, PasswordFile

USERS_PARAMETER = "users"


class UsersAre(StrEnum):
    """Where the users are, as the parameter `users` says it. The first is the default."""

    REPOSITORY = "repository"
    HTPASSWD = "htpasswd"
    MIXED = "mixed"


def users_are(place: TargetPlace) -> UsersAre:
    """Where the users of this testbed are. In virtual time always in the file: there their cost is most of a run."""
    if place.time is not None:
        return UsersAre.HTPASSWD
    return UsersAre(place.parameters.get(USERS_PARAMETER, UsersAre.REPOSITORY))


def is_in_file(place: TargetPlace, client: str) -> bool:
    """Whether this client's user is in the password file.

    Where some are, that follows from the client's name alone: about every other one. So a client's user stays where he
    is, whatever the seed of the next run on the testbed, or on a copy of it.
    """
    kind = users_are(place)
    if kind is UsersAre.MIXED:
        return hashlib.sha256(client.encode()).digest()[0] % 2 == 1
    return kind is UsersAre.HTPASSWD


@dataclass(frozen=True)
class Users:
    """The users of one server. Changes are in effect once the server was refreshed."""

    place: TargetPlace
    repository: Repository

    @property
    def file(self) -> Path | None:
        """The password file that the server is to read; None where all users are in the repository."""
        return None if users_are(self.place) is UsersAre.REPOSITORY else self._passwords.path

    @functools.cached_property
    def _passwords(self) -> PasswordFile:
        return PasswordFile(self.place.server / PASSWORD_FILE)

    def password(self, client: str) -> str:
        """The one that the client knows, made for this testbed."""
        return self.place.secrets.get(f"client {client}")

    def prepare(self, ahead: Iterable[str]) -> None:
        """Before the server starts: make the password file, if there is to be one, and begin with what takes long of
        letting these clients in."""
        known = {client: self.password(client) for client in ahead}
        self.repository.hash_ahead({one: word for one, word in known.items() if not is_in_file(self.place, one)})
        if self.file is not None:
            self._passwords.add({one: word for one, word in known.items() if is_in_file(self.place, one)})

    async def add_ahead(self, client: str) -> None:
        """Let a client in before anybody waits for it. Raises HarnessError."""
        if not is_in_file(self.place, client):  # Those in the file are there since `prepare`.
            await self.repository.add_user_ahead(client, self.password(client))

    async def add(self, clients: Sequence[str]) -> None:
        """Let these clients in. Who is in already stays as he is."""
        self._add_to_file([client for client in clients if is_in_file(self.place, client)])
        others = [client for client in clients if not is_in_file(self.place, client)]
        await together(functools.partial(self.repository.add_user, one, self.password(one)) for one in others)

    def _add_to_file(self, clients: Sequence[str]) -> None:
        if clients:
            self._passwords.add({client: self.password(client) for client in clients})

    async def remove(self, client: str) -> None:
        """Let this client in no more."""
        if is_in_file(self.place, client):
            self._passwords.remove(client)
        else:
            deleted = await self.repository.commands.delete_user(client)
            answers.check(deleted, f"deleting user {client}", OperationUnknown)

    async def change_password(self, client: str) -> None:
        """Give the client's user a password that nobody knows."""
        await self._set_password(client, secrets.token_urlsafe())

    async def restore_password(self, client: str) -> None:
        """Give the user the password back that the client has."""
        await self._set_password(client, self.password(client))

    async def _set_password(self, client: str, password: str) -> None:
        if is_in_file(self.place, client):
            if not self._passwords.change(client, password):
                raise OperationFailed(f"there is no user {client} whose password could be changed")
            return
        hashed = await anyio.to_thread.run_sync(password_hash, password)
        completed = await self.repository.commands.write_user(client, hashed, is_new=False)
        answers.check(completed, f"setting the password of {client}", OperationUnknown)
