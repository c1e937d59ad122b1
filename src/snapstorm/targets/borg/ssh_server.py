"""Borg behind an `sshd` of our own, for many clients."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError
from snapstorm.model.client_access import ClientAccess, ClientPlace, encode_details
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.runtime.child import Environment
from snapstorm.runtime.polling import until
from snapstorm.runtime.process import RunningProcess
from snapstorm.targets.borg.clients import TARGET, BorgDetails, open_client
from snapstorm.targets.borg.environment import inherited_environment
from snapstorm.targets.borg.parameters import chosen
from snapstorm.targets.borg.server import BorgServer
from snapstorm.targets.borg.sessions import Sessions, end_left_over
from snapstorm.targets.borg.ssh_access import SshAccess
from snapstorm.targets.borg.sshd import LISTENING, PORT_TAKEN, user_name
from snapstorm.targets.server_process import ServerProcess, host_and_port

_ENDED_SECONDS_MAX = 5.0
"""How long a session may take to end after its client has."""
_TRIES = 5


@dataclass(frozen=True)
class SshServer(BorgServer):
    """Implements `Server`. Made by `serve`."""

    process: ServerProcess
    sessions: Sessions

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        access, place = self._access, ClientPlace(self.place.client(client), self._access.ways.of(client))
        return open_client(self.borg, self.access_of(client), place, access.programs.ssh, access.executables)

    @property
    def only_here(self) -> str | None:
        """All that clients use is sshd."""
        return None

    def access_of(self, client: str) -> ClientAccess:
        """With the client's own key, and the passphrase of the repository that it uses."""
        access, repository = self._access, self.repositories.name_for(client)
        details = BorgDetails(
            user=user_name(),
            host_key=access.host_key,
            key=access.key(client),
            repository=repository,
            passphrase=self.repositories.passphrase(repository),
            testbed=self.place.testbed,
            compression=chosen(self.place, "compression"),
            counts_bytes=self.counts_bytes,
            operation_seconds_max=self.place.operation_seconds_max,
            seed=self.place.seed,
            programs_count=len(access.executables),
        )
        return ClientAccess(TARGET, client, self.process.address, encode_details(details))

    async def open_sessions(self) -> int | None:
        """Locks, and connections that are served."""
        with anyio.move_on_after(_ENDED_SECONDS_MAX):
            await until(lambda: self.sessions.count() == 0)
        return self.sessions.count() + (await super().open_sessions() or 0)

    # Abilities: what can be broken.

    @property
    def server_pid(self) -> int | None:
        """The process id of sshd; None while it is ended."""
        return self.process.pid

    @property
    def temporary_directory(self) -> Path | None:
        """Where the server's side of clients' commands keeps temporary files."""
        return self._access.files.temporary

    @property
    def _access(self) -> SshAccess:
        assert isinstance(self.access, SshAccess)
        return self.access

    async def end_server(self, *, is_asked: bool) -> None:
        """End sshd and all that serves connections: TERM, or KILL."""
        await self.sessions.end_all(is_asked=is_asked)
        await self.process.end(signal.SIGTERM if is_asked else signal.SIGKILL)

    async def start_server(self) -> None:
        """Start it again at the same address."""
        await self.process.start()

    def stop_all(self) -> None:
        """Stop sshd and all that serves connections."""
        self.sessions.stop()

    def continue_all(self) -> None:
        self.sessions.go_on()

    @property
    def is_routed(self) -> bool:
        """Whether clients take ways of their own to the server."""
        return self.place.route is not None


@asynccontextmanager
async def serve(basis: BorgServer, access: SshAccess) -> AsyncIterator[SshServer]:
    """Start an sshd before the repositories, and end it and what serves connections with the block.

    Raises HarnessError, one line, when it does not start.
    """
    files = access.files
    end_left_over(files.pid, files.config)
    await access.prepare()

    def launch(address: str) -> AbstractAsyncContextManager[RunningProcess]:
        host, port = host_and_port(address)
        listen = f"ListenAddress={address.rpartition(':')[0]}:{port or _free_port(host)}"
        return access.runner.start(
            [access.programs.sshd, "-D", "-e", "-f", files.config, "-o", listen],
            env=Environment({}, inherited_environment()),
            cwd=access.place.server,
            log=files.log,
        )

    process = ServerProcess(launch, LISTENING, "sshd", host=access.place.listen_host)
    sessions = Sessions(access.runner, lambda: process.pid)
    async with process:
        await _wait(process)
        access.listening.append(process.address)
        await access.check()
        given = {one.name: getattr(basis, one.name) for one in fields(basis)}
        try:
            yield SshServer(**{**given, "access": access}, process=process, sessions=sessions)
        finally:
            with anyio.CancelScope(shield=True):
                await sessions.end_all(is_asked=False)


async def _wait(process: ServerProcess) -> None:
    """Until it listens, at another port where somebody has just taken the one that was free."""
    try:
        await process.wait()
    except HarnessError as error:
        if not PORT_TAKEN.search(str(error)):
            raise
        await process.start()


def _free_port(host: str) -> int:
    """A port that nobody has now: sshd does not tell which one it was given."""
    family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as probe:
        probe.bind(address)
        return int(probe.getsockname()[1])
