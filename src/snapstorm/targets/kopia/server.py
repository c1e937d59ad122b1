"""A Kopia server before the repository, for many clients."""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
import signal
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError, OperationFailed, OperationUnknown, TargetError
from snapstorm.model.client_access import ClientAccess, ClientPlace, encode_details
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.runtime.tasks import together
from snapstorm.targets.kopia import answers, repository_answers
from snapstorm.targets.kopia.clients import TARGET, KopiaDetails, open_client
from snapstorm.targets.kopia.command import SERVER_CLOCK_SECONDS, ServerAddress
from snapstorm.targets.kopia.direct_access import DirectAccess
from snapstorm.targets.kopia.parameters import Command, options_for
from snapstorm.targets.kopia.repository import IDENTITY, command_clock
from snapstorm.targets.kopia.users import Users
from snapstorm.targets.server_process import ServerProcess
from snapstorm.targets.ways import Ways

JUMP_SECONDS = SERVER_CLOCK_SECONDS + 0.005
"""After so long the server has asked for the time again."""
_CONTROL_SECRET = "server-control"
_LISTENING = re.compile(r"^SERVER ADDRESS: https://(\S+):(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class KopiaServer(DirectAccess):
    """A Kopia server before the repository, with a user for each client. Made by `serve`. Implements `Server`."""

    address: ServerAddress
    process: ServerProcess
    users: Users
    ways: Ways
    added_ahead: set[str] = field(default_factory=set)
    """Users that were added while the server started, until they are let in."""
    known: set[str] = field(default_factory=set)
    """Clients that have been let in."""

    @property
    def authenticates(self) -> bool:
        """Each client is a user with a password."""
        return True

    @property
    def isolates_clients(self) -> bool:
        """Users see their own snapshots only."""
        return True

    async def add_clients(self, clients: Sequence[str]) -> None:
        """Let these clients in, with a password each that was made for this testbed. Known ones stay as they are."""
        new = [client for client in clients if client not in self.added_ahead]
        self.added_ahead.difference_update(clients)  # Once: who is removed later is to be added again.
        self.known.update(clients)
        await self.users.add(new)
        await self.refresh()
        await self.ways.find(clients, self.process.address)

    async def remove_client(self, client: str) -> None:
        """Let this client in no more. Without the refresh Kopia would for over 40 s (measured)."""
        self.added_ahead.discard(client)
        await self.users.remove(client)
        await self.refresh()

    async def refresh(self) -> None:
        """Make the server see what was changed directly: it would show deleted snapshots for over 60 s (measured)."""
        password = self.place.secrets.get(_CONTROL_SECRET)
        completed = await self.repository.commands.refresh_server(self.address, password)
        try:
            answers.check(completed, "server refresh", OperationFailed)
        except TargetError as error:
            answers.add_evidence(error, self._obituary())
            raise

    async def see_jump(self) -> None:
        """Wait until the server has asked for the time again, and have it look at the repository by it."""
        await anyio.sleep(JUMP_SECONDS)
        await self.refresh()

    def client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added."""
        return self._open(self.access_of(client), self.place.client(client))

    def impostor(self, client: str) -> ClientSnapshotter:
        """A snapshotter that claims to be `client`, from elsewhere and with a wrong password."""
        return self._open(self._access(client, secrets.token_urlsafe()), self.place.server / "impostors" / client)

    def _open(self, access: ClientAccess, directory: Path) -> ClientSnapshotter:
        return open_client(self.kopia, access, ClientPlace(directory, self.ways.of(access.client), self._obituary))

    @property
    def only_here(self) -> str | None:
        """Virtual time is told by the gateway, on this machine."""
        return None if self.place.time is None else "the clock of virtual time can only be asked from there"

    def add_last_words(self, error: TargetError) -> None:
        """How the server has ended, and the last of its log."""
        if self._obituary():
            answers.add_evidence(error, self._obituary())

    def access_of(self, client: str) -> ClientAccess:
        """With the client's own password, and nothing of the storage."""
        return self._access(client, self.users.password(client))

    def _access(self, client: str, password: str) -> ClientAccess:
        place = self.place
        details = KopiaDetails(
            fingerprint=self.address.fingerprint,
            password=password,
            testbed=place.testbed,
            operation_seconds_max=place.operation_seconds_max,
            seed=place.seed,
            verify_files_percent=self.verify_files_percent,
            connect_options=tuple(options_for(Command.CONNECT, place.parameters)),
            keep=None if place.retention is None else place.retention.model_dump(),
            clock_url=command_clock(place, client),
        )
        return ClientAccess(TARGET, client, self.process.address, encode_details(details))

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

    async def change_password(self, client: str) -> None:
        """Give the client's user a password that nobody knows."""
        await self.users.change_password(client)
        await self.refresh()

    async def restore_password(self, client: str) -> None:
        """Give the user the password back that the client has."""
        await self.users.restore_password(client)
        await self.refresh()

    async def narrow_rights(self, client: str) -> None:
        """Let the client only read its own snapshots; others keep all their rights.

        Of all rules that match, Kopia takes the one that gives most. So the rule for everybody has to go, after each
        has got one of its own.
        """
        await together(
            functools.partial(self._add_rule, one, one, "READ" if one == client else "FULL")
            for one in self.known | {client}
        )
        await self._delete_rules([rule for rule in await self._snapshot_rules() if rule.is_everybodys])
        await self.refresh()

    async def widen_rights(self, client: str) -> None:
        """Give the client all rights back that clients have."""
        rules = await self._snapshot_rules()
        if not any(rule.is_everybodys for rule in rules):
            await self._add_rule(repository_answers.EVERYBODY, "OWN_USER@OWN_HOST", "FULL")
        await self._delete_rules([rule for rule in rules if not rule.is_everybodys])
        await self.refresh()

    async def _snapshot_rules(self) -> list[repository_answers.AccessRule]:
        return repository_answers.read_snapshot_rules(await self.repository.commands.list_access_rules())

    async def _add_rule(self, user: str, owner: str, access: str) -> None:
        """Give a user access to the snapshots of an owner, `user@host`."""
        name, _, host = owner.partition("@")
        target = f"type=snapshot,username={name},hostname={host}"
        completed = await self.repository.commands.add_access_rule(user, target, access)
        answers.check(completed, f"adding a rule for {user}", OperationUnknown)

    async def _delete_rules(self, rules: Sequence[repository_answers.AccessRule]) -> None:
        for rule in rules:
            completed = await self.repository.commands.delete_access_rule(rule.id)
            answers.check(completed, "deleting a rule", OperationUnknown)


@asynccontextmanager
async def serve(access: DirectAccess, users: Users) -> AsyncIterator[KopiaServer]:
    """Start a server before an open repository, set a new repository up meanwhile, and end the server with the block.

    Raises HarnessError, one line, when the server does not start.
    """
    place, repository = access.place, access.repository
    certificate, key = place.server / "certificate.pem", place.server / "key.pem"
    if not (certificate.exists() and key.exists()):
        # Kopia makes both or none; what a crash left of them is of no use.
        certificate.unlink(missing_ok=True)
        key.unlink(missing_ok=True)

    launch = functools.partial(
        repository.commands.start_server,
        certificate=certificate,
        key=key,
        control_password=place.secrets.get(_CONTROL_SECRET),
        log=place.server / "server.log",
        clock_url=None if place.time is None else place.time.url(IDENTITY, SERVER_CLOCK_SECONDS),
        password_file=users.file,
    )
    async with ServerProcess(
        launch, _LISTENING, "Kopia's server", answers.last_words, host=place.listen_host
    ) as process:
        ahead = set(place.clients_ahead if place.is_new else ())
        # Maintenance and rules are read from the repository when they are needed, and `add_clients` refreshes.
        await together(
            [
                process.wait,
                repository.identify,
                repository.connect_auditor,
                functools.partial(repository.prepare, has_server=True),
                *(functools.partial(users.add_ahead, client) for client in sorted(ahead)),
            ]
        )
        yield KopiaServer(
            kopia=access.kopia,
            place=place,
            repository=repository,
            verify_files_percent=access.verify_files_percent,
            address=ServerAddress(process.url, _fingerprint(certificate)),
            process=process,
            users=users,
            ways=Ways(place.route),
            added_ahead=ahead,
        )


def _fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate itself, as clients compare it. Kopia says it only when it makes the certificate."""
    try:
        content = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    except (OSError, ValueError) as error:
        raise HarnessError(f"{certificate} is no certificate, delete it to have a new one made: {error}") from error
    return hashlib.sha256(content).hexdigest()
