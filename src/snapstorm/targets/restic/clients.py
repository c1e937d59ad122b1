"""Clients of a rest-server, made from a value: on this machine and on others in the same way."""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from snapstorm.errors import HarnessError, TestbedError
from snapstorm.model.client_access import ClientAccess, ClientPlace, HidesFields, decode_details
from snapstorm.runtime.machine import ProcessNumbering, process_numbering
from snapstorm.targets.restic.command import Actor, Restic, make_private
from snapstorm.targets.restic.snapshotter import ResticClient

TARGET = "restic"
CERTIFICATE = "server.pem"
"""The file of a client's with the server's certificate. No secret."""


class ResticDetails(HidesFields, frozen=True, kw_only=True):
    """What a client of a rest-server has to know."""

    certificate: str
    """The server's, as PEM: clients trust no other one."""
    password: str
    """The client's, for the server."""
    path: str
    """Of its repository on the server."""
    repository_password: str
    repository_id: str
    """restic's own; empty where it is not known yet."""
    testbed: str
    """The testbed's id, for tags."""
    tells_counts: bool
    """Whether each program tells in listings what a creation has told."""
    operation_seconds_max: float
    seed: int
    """Which of several programs runs follows from it."""
    options: tuple[str, ...] = ()
    """Words of each command that writes."""
    numbering: ProcessNumbering
    """That of the server's machine."""


@dataclass(frozen=True)
class BesideServer:
    """What a client has besides that is on the machine of the server."""

    unlocker: Actor
    """Removes what killed commands have left, straight in the repository."""
    check_repository: Callable[[str], None]
    """Raises TestbedError for the id of a repository that is another one than before, and remembers a new one."""
    sources: MutableMapping[str, str] = field(default_factory=dict)
    """What each snapshot was taken of, by its id, as far as any client has said it."""


def details_of(access: ClientAccess) -> ResticDetails:
    """The fields of a restic client. Raises HarnessError for a value that is not of one."""
    return decode_details(access, TARGET, ResticDetails)


def open_client(
    restic: Restic, access: ClientAccess, place: ClientPlace, beside: BesideServer | None = None
) -> ResticClient:
    """The client. One that is not `beside` the server removes locks of its own machine through the server. Raises
    HarnessError."""
    details = details_of(access)
    if beside is None:
        check_told_apart(details.numbering, process_numbering())
    certificate = place.directory / CERTIFICATE
    _write(certificate, details.certificate)
    user = f"{quote(access.client, safe='')}:{quote(details.password, safe='')}"
    return ResticClient(
        restic=restic,
        actor=Actor(
            place.directory,
            f"rest:https://{user}@{place.address or access.server}/{details.path}",
            details.repository_password,
            certificate=certificate,
            unlocker=beside.unlocker if beside is not None else None,
        ),
        host=access.client,
        testbed=details.testbed,
        tells_counts=details.tells_counts,
        check_repository=beside.check_repository if beside is not None else _Known(access).check,
        obituary=place.obituary,
        sources=beside.sources if beside is not None else {},
    )


def check_told_apart(server: ProcessNumbering, here: ProcessNumbering) -> None:
    """Raise HarnessError where restic can't tell this machine from the server's: a lock bears the name of its machine
    and the number of a process, and restic removes it when there is no such process on the machine of that name."""
    if server.host_name == here.host_name and server != here:
        raise HarnessError(
            f"this machine and the one of the run are both called {here.host_name!r}: restic would take each other's "
            "locks for its own and remove them; give one of them another host name"
        )


class _Known:
    """The repository of one client, as it is known here."""

    def __init__(self, access: ClientAccess) -> None:
        self._client = access.client
        self._id = details_of(access).repository_id

    def check(self, repository_id: str) -> None:
        """Raise TestbedError for another repository than before; the first one is remembered."""
        self._id = self._id or repository_id
        if self._id != repository_id:
            raise TestbedError(
                f"the repository of {self._client} is not the one that this testbed knows; put that one back, or "
                "choose another testbed"
            )


def _write(path: Path, text: str) -> None:
    """Replace a file that nobody else may read. Raises HarnessError."""
    new = path.with_suffix(".new")
    try:
        make_private(path.parent)
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text)
        new.replace(path)
    except OSError as error:
        raise HarnessError(f"can't write {path}: {error.strerror}") from error
