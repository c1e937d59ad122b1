"""A rest-server before the repositories, for many clients."""

from __future__ import annotations

import functools
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from snapstorm.model.protocols import Program
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import RunningProcess
from snapstorm.runtime.tasks import together
from snapstorm.targets.certificate import write_certificate
from snapstorm.targets.restic.command import Actor
from snapstorm.targets.restic.direct_access import DirectAccess, wrong_password
from snapstorm.targets.restic.environment import HIDDEN
from snapstorm.targets.restic.snapshotter import ResticClient
from snapstorm.targets.restic.users import Users
from snapstorm.targets.server_process import ServerProcess

LISTENING = re.compile(r"^start server on (\S+):(\d+)$", re.MULTILINE)
_TEMPORARY = ".rest-server-temp"


@dataclass
class ServerSwitches:
    """How the server is started next time."""

    is_append_only: bool = False
    """Whether it refuses to delete anything but locks."""


@dataclass(frozen=True)
class RestServer(DirectAccess):
    """A rest-server before the repositories, with a user for each client. Made by `serve`. Implements `Server`."""

    process: ServerProcess
    users: Users
    certificate: Path
    switches: ServerSwitches
    routes: dict[str, str] = field(default_factory=dict)
    """Where each client finds the server, `HOST:PORT`, if not at its address."""

    @property
    def authenticates(self) -> bool:
        """Each client is a user with a password."""
        return True

    @property
    def isolates_clients(self) -> bool:
        """Users see their own snapshots only if each has a repository of its own."""
        return self.repositories.is_private

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, with a password each that was made for this testbed. Known ones stay as they are."""
        if self.repositories.is_private:
            create = self.repositories.create
            await together([functools.partial(create, self.repositories.storage(client)) for client in clients])
        await self.users.add(clients)
        if self.place.route is not None:
            parts = urlsplit(self.process.url)
            assert parts.hostname is not None
            assert parts.port is not None
            for client in clients:
                host, port = await self.place.route(client, parts.hostname, parts.port)
                self.routes[client] = f"{host}:{port}"

    async def remove_client(self, client: str) -> None:
        """Let this client in no more. Without the signal rest-server would for up to 30 s (by its source, 0.14.0)."""
        await self.users.remove(client)

    def impostor(self, client: str) -> ResticClient:
        """A snapshotter that claims to be `client`, and has a wrong password for the server."""
        directory = self.place.server / "impostors" / client
        return self._snapshotter(client, self._user(client, directory, wrong_password()))

    def _actor(self, client: str) -> Actor:
        return self._user(client, self.place.client(client), self.users.password(client))

    def _user(self, client: str, directory: Path, password: str) -> Actor:
        """Reaches a repository through the server. Has no business with its directory."""
        address = self.routes.get(client) or urlsplit(self.process.url).netloc
        path = f"{client}/" if self.repositories.is_private else ""
        return Actor(
            directory,
            f"rest:https://{quote(client, safe='')}:{quote(password, safe='')}@{address}/{path}",
            self.repositories.password(client),
            certificate=self.certificate,
            unlocker=self.repositories.administrator(self.repositories.storage(client)),
        )

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

    @property
    def unfinished_suffix(self) -> str:
        """rest-server writes a file under its name with this behind it."""
        return _TEMPORARY

    async def refuse_deletions(self) -> None:
        """Restart the server as one that only adds. Locks it lets clients remove (0.14.0, measured)."""
        await self._restart(is_append_only=True)

    async def allow_deletions(self) -> None:
        """Restart the server as it was."""
        if self.switches.is_append_only:
            await self._restart(is_append_only=False)

    async def _restart(self, *, is_append_only: bool) -> None:
        self.switches.is_append_only = is_append_only
        await self.end_server(is_asked=True)
        await self.start_server()

    async def change_password(self, client: str) -> None:
        """Give the client's user a password that nobody knows."""
        await self.users.change_password(client)

    async def restore_password(self, client: str) -> None:
        """Give the user the password back that the client has."""
        await self.users.restore_password(client)


@asynccontextmanager
async def serve(access: DirectAccess, program: Program) -> AsyncIterator[RestServer]:
    """Start a server before the repositories, and end it with the block.

    Raises HarnessError, one line, when it does not start.
    """
    place, switches = access.place, ServerSwitches()
    certificate, key = place.server / "certificate.pem", place.server / "key.pem"
    write_certificate(certificate, key)

    def launch(address: str) -> AbstractAsyncContextManager[RunningProcess]:
        words: list[str | Path] = ["--path", place.repository, "--listen", address, "--htpasswd-file", users.path]
        words += ["--tls", "--tls-cert", certificate, "--tls-key", key]
        words += ["--private-repos"] if access.repositories.is_private else []
        words += ["--append-only"] if switches.is_append_only else []
        return access.restic.runner.start(
            [program.path, *words],
            env=Environment({}, HIDDEN.inherited_environment()),
            cwd=place.server,
            log=place.server / "server.log",
        )

    users = Users(place, certificate, lambda: (process.pid, process.url))
    users.prepare(place.clients_ahead if place.is_new else ())
    process = ServerProcess(launch, LISTENING, "rest-server")
    async with process:
        await process.wait()
        yield RestServer(
            restic=access.restic,
            place=place,
            repositories=access.repositories,
            tells_counts=access.tells_counts,
            process=process,
            users=users,
            certificate=certificate,
            switches=switches,
        )
