"""A rest-server before the repositories, for many clients."""

from __future__ import annotations

import functools
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import TargetError
from snapstorm.model.client_access import ClientAccess, ClientPlace, encode_details
from snapstorm.model.protocols import ClientSnapshotter, Program
from snapstorm.runtime.child import Environment
from snapstorm.runtime.machine import process_numbering
from snapstorm.runtime.process import RunningProcess
from snapstorm.runtime.tasks import together
from snapstorm.targets.certificate import write_certificate
from snapstorm.targets.restic import answers
from snapstorm.targets.restic.clients import TARGET, BesideServer, ResticDetails, open_client
from snapstorm.targets.restic.direct_access import DirectAccess, wrong_password
from snapstorm.targets.restic.environment import HIDDEN
from snapstorm.targets.restic.users import Users
from snapstorm.targets.server_process import ServerProcess
from snapstorm.targets.ways import Ways

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
    ways: Ways

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
        await self.ways.find(clients, self.process.address)

    async def remove_client(self, client: str) -> None:
        """Let this client in no more. Without the signal rest-server would for up to 30 s (by its source, 0.14.0)."""
        await self.users.remove(client)

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        return self._open(self.access_of(client), self.place.client(client))

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, and has a wrong password for the server."""
        return self._open(self._access(client, wrong_password()), self.place.server / "impostors" / client)

    def _open(self, access: ClientAccess, directory: Path) -> ClientSnapshotter:
        """Beside the server there is somebody who removes locks, and what is known of snapshots is known to all."""
        repositories, client = self.repositories, access.client
        beside = BesideServer(
            unlocker=repositories.administrator(repositories.storage(client)),
            check_repository=functools.partial(repositories.check_id, client),
            sources=self.sources,
        )
        place = ClientPlace(directory, self.ways.of(client), self._obituary)
        return open_client(self.restic, access, place, beside)

    @property
    def only_here(self) -> str | None:
        """All that clients use is the server."""
        return None

    def access_of(self, client: str) -> ClientAccess:
        """With the client's own password, and that of the repository that it uses."""
        return self._access(client, self.users.password(client))

    def _access(self, client: str, password: str) -> ClientAccess:
        repositories, place = self.repositories, self.place
        details = ResticDetails(
            certificate=self.certificate.read_text(encoding="ascii"),
            password=password,
            path=f"{client}/" if repositories.is_private else "",
            repository_password=repositories.password(client),
            repository_id=repositories.known_id(client),
            testbed=place.testbed,
            tells_counts=self.tells_counts,
            operation_seconds_max=place.operation_seconds_max,
            seed=place.seed,
            options=tuple(self.restic.options),
            numbering=process_numbering(),
        )
        return ClientAccess(TARGET, client, self.process.address, encode_details(details))

    def add_last_words(self, error: TargetError) -> None:
        """How the server has ended, and the last of its log."""
        answers.add_evidence(error, self._obituary())

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
    write_certificate(certificate, key, place.listen_host)

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
    process = ServerProcess(launch, LISTENING, "rest-server", host=place.listen_host)
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
            ways=Ways(place.route),
            switches=switches,
        )
