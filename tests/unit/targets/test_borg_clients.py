"""A borg client over ssh is made from its value alone."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from snapstorm.errors import HarnessError
from snapstorm.model.client_access import ClientAccess, ClientPlace, encode_details
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.borg.clients import TARGET, BorgDetails, details_of, open_client
from snapstorm.targets.borg.command import Borg
from snapstorm.targets.borg.snapshotter import BorgClient
from snapstorm.targets.programs import Programs

pytestmark = pytest.mark.anyio

DETAILS = BorgDetails(
    user="operator",
    host_key="snapstorm ssh-ed25519 AAAA\n",
    key="-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret-key\n-----END OPENSSH PRIVATE KEY-----\n",
    repository="client-1@storm",
    passphrase="s3cret-passphrase",
    testbed="bed",
    compression="lz4",
    counts_bytes=True,
    operation_seconds_max=17.0,
    seed=5,
    programs_count=2,
)
ACCESS = ClientAccess(TARGET, "client-1@storm", "[fd00::1]:2222", encode_details(DETAILS))
HERE = [Path("/elsewhere/old"), Path("/elsewhere/new")]
BORG = Borg(Programs(HERE), ProcessRunner("bed"), 17.0)
SSH = Path("/usr/bin/ssh")


def opened(place: ClientPlace) -> BorgClient:
    return open_client(BORG, ACCESS, place, SSH, HERE)


def test_the_value_travels_whole_and_shows_no_secret() -> None:
    """All fields come back."""
    arrived = msgspec.msgpack.decode(msgspec.msgpack.encode(ACCESS), type=ClientAccess)
    assert details_of(arrived) == DETAILS
    assert "s3cret" not in repr(arrived) + repr(details_of(arrived))


async def test_the_client_shows_its_key_and_knows_the_servers(tmp_path: Path) -> None:
    """Both are files of its own; the private key is closed to others, and gone once it is hidden."""
    client = opened(ClientPlace(tmp_path / "connection"))
    assert client.way is not None
    assert "s3cret" not in repr(client)
    await client.way.show_key()
    key = tmp_path / "connection" / "key"
    assert key.read_text() == DETAILS.key
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert (tmp_path / "connection" / "known_hosts").read_text() == DETAILS.host_key
    client.way.hide_key()
    assert not key.exists()


@pytest.mark.parametrize(("address", "host", "port"), [(None, "fd00::1", 2222), ("127.0.0.1:7", "127.0.0.1", 7)])
def test_the_client_asks_for_the_programs_of_the_server(
    address: str | None, host: str, port: int, tmp_path: Path
) -> None:
    """By their number, as the user that sshd lets in; the passphrase is secret in its environment."""
    environment = opened(ClientPlace(tmp_path, address)).actor.environment(HERE[1], tmp_path / "log")
    assert environment.own["BORG_REMOTE_PATH"] == "borg-1"
    for option in ("User=operator", f"HostName={host}", f"Port={port}"):
        assert f"-o {option} " in environment.own["BORG_RSH"]
    assert environment.secret == {"BORG_PASSPHRASE": "s3cret-passphrase"}
    assert "s3cret" not in repr(environment.own)


def test_other_programs_than_beside_the_server_are_refused(tmp_path: Path) -> None:
    """Their numbers would mean others."""
    with pytest.raises(HarnessError, match="1 programs of borg are under test on this machine, and 2 beside"):
        open_client(BORG, ACCESS, ClientPlace(tmp_path), SSH, HERE[:1])
