"""The users whom a rest-server lets in: a password file that it reads again at the signal HUP.

It reads the file beside its other work, so each change is waited for until the server's own answers show it.
"""

from __future__ import annotations

import base64
import functools
import http.client
import os
import secrets
import signal
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread

from snapstorm.errors import OperationFailed, OperationUnknown
from snapstorm.model.protocols import TargetPlace
from snapstorm.targets.password_file import PASSWORD_FILE, PasswordFile

_IN_EFFECT_SECONDS_MAX = 20.0
_ANSWER_SECONDS_MAX = 5.0
_POLL_SECONDS = 0.02
_UNAUTHORIZED = 401


@dataclass(frozen=True)
class Users:
    """The users of one server. Each change is in effect on return, unless the server has ended: then when it starts."""

    place: TargetPlace
    certificate: Path
    server: Callable[[], tuple[int | None, str]]
    """The server's process id, None while it is ended, and where it listens."""

    @functools.cached_property
    def _file(self) -> PasswordFile:
        return PasswordFile(self.path)

    @property
    def path(self) -> Path:
        """The file that the server reads."""
        return self.place.server / PASSWORD_FILE

    def password(self, client: str) -> str:
        """The one that the client knows, made for this testbed."""
        return self.place.secrets.get(f"client {client}")

    def prepare(self, clients: Sequence[str]) -> None:
        """Make the file, before the server starts, with these clients in it."""
        self._file.add({client: self.password(client) for client in clients})

    async def add(self, clients: Sequence[str]) -> None:
        """Let these clients in. Who is in already stays as he is."""
        if clients:
            self._file.add({client: self.password(client) for client in clients})
            await self._see([(client, self.password(client), True) for client in clients])

    async def remove(self, client: str) -> None:
        """Let this client in no more."""
        self._file.remove(client)
        await self._see([(client, self.password(client), False)])

    async def change_password(self, client: str) -> None:
        """Give the client's user a password that nobody knows."""
        if not self._file.change(client, secrets.token_urlsafe()):
            raise OperationFailed(f"there is no user {client} whose password could be changed")
        await self._see([(client, self.password(client), False)])

    async def restore_password(self, client: str) -> None:
        """Give the user the password back that the client has."""
        if not self._file.change(client, self.password(client)):
            raise OperationFailed(f"there is no user {client} whose password could be changed")
        await self._see([(client, self.password(client), True)])

    async def _see(self, expected: Sequence[tuple[str, str, bool]]) -> None:
        """Have the server read the file, and wait until it lets in, or not, as it is said of each user."""
        pid, _ = self.server()
        if pid is None:
            return
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            return  # The next one reads the file when it starts.
        with anyio.move_on_after(_IN_EFFECT_SECONDS_MAX):
            for user, password, is_in in expected:
                await self._wait_until(user, password, is_in=is_in)
            return
        raise OperationUnknown(f"the server does not go by its changed password file after {_IN_EFFECT_SECONDS_MAX} s")

    async def _wait_until(self, user: str, password: str, *, is_in: bool) -> None:
        while True:
            if await self._lets_in(user, password) in (is_in, None):
                return
            await anyio.sleep(_POLL_SECONDS)

    async def _lets_in(self, user: str, password: str) -> bool | None:
        """Whether the server lets this user in now; None where it has ended."""
        while True:
            pid, url = self.server()
            if pid is None:
                return None
            try:
                ask = functools.partial(_status, url, self.certificate, user, password)
                return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True) != _UNAUTHORIZED
            except (OSError, http.client.HTTPException):
                await anyio.sleep(_POLL_SECONDS)  # As while it stands still, or ends.


def _status(url: str, certificate: Path, user: str, password: str) -> int:
    """How the server answers this user, who asks for something of his own. Raises OSError, HTTPException."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=str(certificate))
    assert parts.hostname is not None
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_ANSWER_SECONDS_MAX, context=context)
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    try:
        connection.request("HEAD", f"/{quote(user)}/config", headers={"Authorization": f"Basic {word}"})
        return connection.getresponse().status
    finally:
        connection.close()
