"""A restic client is made from its value alone."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from snapstorm.errors import HarnessError, TestbedError
from snapstorm.model.client_access import ClientAccess, ClientPlace, encode_details
from snapstorm.runtime.machine import ProcessNumbering, process_numbering
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.programs import Programs
from snapstorm.targets.restic.clients import (
    CERTIFICATE,
    TARGET,
    BesideServer,
    ResticDetails,
    check_told_apart,
    details_of,
    open_client,
)
from snapstorm.targets.restic.command import Actor, Restic

DETAILS = ResticDetails(
    certificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    password="s3cret-password",
    path="client-1@storm/",
    repository_password="s3cret-repository",
    repository_id="",
    testbed="bed",
    tells_counts=True,
    operation_seconds_max=17.0,
    seed=5,
    options=("--compression=max",),
    numbering=process_numbering(),
)
ACCESS = ClientAccess(TARGET, "client-1@storm", "10.0.0.1:8000", encode_details(DETAILS))
RESTIC = Restic(Programs([Path("/programs/restic")]), {}, ProcessRunner("bed"), 17.0)


def test_the_value_travels_whole_and_shows_no_secret() -> None:
    """All fields come back."""
    arrived = msgspec.msgpack.decode(msgspec.msgpack.encode(ACCESS), type=ClientAccess)
    assert details_of(arrived) == DETAILS
    assert "s3cret" not in repr(arrived) + repr(details_of(arrived))


def test_the_client_has_what_the_value_says(tmp_path: Path) -> None:
    """Its passwords are secret in its environment; it trusts the server's certificate alone."""
    client = open_client(RESTIC, ACCESS, ClientPlace(tmp_path / "connection"))
    assert (client.host, client.testbed, client.actor.unlocker) == ("client-1@storm", "bed", None)
    assert client.actor.environment.secret == {
        "RESTIC_PASSWORD": "s3cret-repository",
        "RESTIC_REPOSITORY": "rest:https://client-1%40storm:s3cret-password@10.0.0.1:8000/client-1@storm/",
    }
    certificate = tmp_path / "connection" / CERTIFICATE
    assert client.actor.certificate == certificate
    assert certificate.read_text() == DETAILS.certificate
    assert stat.S_IMODE(certificate.stat().st_mode) == 0o600
    assert "s3cret" not in repr(client)


def test_a_client_that_goes_by_a_relay_finds_the_server_there(tmp_path: Path) -> None:
    """The rest of its address stays."""
    client = open_client(RESTIC, ACCESS, ClientPlace(tmp_path, address="127.0.0.1:7"))
    assert client.actor.repository.endswith("@127.0.0.1:7/client-1@storm/")


def test_another_repository_than_before_is_noticed_without_the_server(tmp_path: Path) -> None:
    """The one that the value names, or else the first that is found."""
    fresh = open_client(RESTIC, ACCESS, ClientPlace(tmp_path))
    fresh.check_repository("one")
    fresh.check_repository("one")
    named = ClientAccess(
        TARGET, "client-1@storm", "10.0.0.1:8000", encode_details(msgspec.structs.replace(DETAILS, repository_id="one"))
    )
    for client in (fresh, open_client(RESTIC, named, ClientPlace(tmp_path))):
        with pytest.raises(TestbedError, match="is not the one that this testbed knows"):
            client.check_repository("two")


def test_a_client_beside_the_server_has_its_locks_removed_there(tmp_path: Path) -> None:
    """By who works straight on the repository."""
    administrator, sources = Actor(tmp_path / "administrator", "/repository", "password"), {"id": "/source"}
    beside = BesideServer(administrator, lambda _: None, sources)
    client = open_client(RESTIC, ACCESS, ClientPlace(tmp_path), beside)
    assert client.actor.unlocker is administrator
    assert client.sources is sources


def test_machines_of_one_name_are_refused() -> None:
    """Where processes are not the same: on another kernel, or in another container."""
    server = ProcessNumbering("host", "boot-1", "pid:[1]")
    check_told_apart(server, server)
    check_told_apart(server, ProcessNumbering("other", "boot-2", "pid:[1]"))
    for other in (server._replace(boot_id="boot-2"), server._replace(namespace="pid:[2]")):
        with pytest.raises(HarnessError, match="are both called 'host'"):
            check_told_apart(server, other)
