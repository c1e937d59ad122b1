"""Clients of an sshd before borg's repositories, made from a value: on this machine and on others in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.client_access import ClientAccess, ClientPlace, HidesFields, decode_details
from snapstorm.targets.borg.answers import Answers
from snapstorm.targets.borg.command import Actor, Borg, served
from snapstorm.targets.borg.snapshotter import BorgClient
from snapstorm.targets.borg.ssh_access import KEY, KNOWN_HOSTS, SshWay, words_for

TARGET = "borg"


class BorgDetails(HidesFields, frozen=True, kw_only=True):
    """What a client of an sshd of ours has to know."""

    user: str
    """As whom sshd lets in."""
    host_key: str
    """The line that tells by which key the server is known."""
    key: str
    """The client's private key, as OpenSSH has it in a file."""
    repository: str
    """The name of the repository that it uses."""
    passphrase: str
    """That of the repository."""
    testbed: str
    """The testbed's id, for comments."""
    compression: str
    counts_bytes: bool
    """Whether every program under test counts the bytes of files alone."""
    operation_seconds_max: float
    seed: int
    """Which of several programs runs, at either end, follows from it."""
    programs_count: int
    """How many programs are under test. They have the same order on every machine."""


def details_of(access: ClientAccess) -> BorgDetails:
    """The fields of a borg client. Raises HarnessError for a value that is not of one."""
    return decode_details(access, TARGET, BorgDetails)


def open_client(
    borg: Borg, access: ClientAccess, place: ClientPlace, ssh: Path, executables: Sequence[Path]
) -> BorgClient:
    """The client. `executables`: the programs under test, on this machine. Raises HarnessError."""
    details = details_of(access)
    if len(executables) != details.programs_count:
        raise HarnessError(
            f"{access.client} can't be here: {len(executables)} programs of borg are under test on this machine, and "
            f"{details.programs_count} beside the server"
        )
    way = SshWay(
        ssh=ssh,
        address=place.address or access.server,
        user=details.user,
        host_key=details.host_key,
        known_hosts=place.directory / KNOWN_HOSTS,
        key_file=place.directory / KEY,
        words=words_for(executables),
        key=details.key,
    )
    where = served(access.client, details.repository)
    return BorgClient(
        borg=borg,
        actor=Actor(access.client, place.directory, where, details.passphrase, way),
        answers=Answers(details.repository),
        testbed=details.testbed,
        compression=details.compression,
        counts_bytes=details.counts_bytes,
        way=way,
    )
