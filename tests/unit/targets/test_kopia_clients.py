"""A Kopia client is made from its value alone."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest

from snapstorm.errors import ConfigError, HarnessError
from snapstorm.model.client_access import ClientAccess, ClientPlace, encode_details
from snapstorm.model.protocols import TargetPlace
from snapstorm.model.retention import KeepPolicy
from snapstorm.runtime.process import ProcessRunner, RunningProcess
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.kopia.clients import TARGET, KopiaDetails, details_of, open_client
from snapstorm.targets.kopia.command import Kopia, ServerAddress
from snapstorm.targets.kopia.repository import Repository
from snapstorm.targets.kopia.server import KopiaServer
from snapstorm.targets.kopia.users import Users
from snapstorm.targets.programs import Programs
from snapstorm.targets.server_process import ServerProcess
from snapstorm.targets.ways import Ways

KEEP = KeepPolicy(daily=3, weekly=2)
DETAILS = KopiaDetails(
    fingerprint="ab" * 32,
    password="s3cret-password",
    testbed="bed",
    operation_seconds_max=17.0,
    seed=5,
    verify_files_percent=100,
    connect_options=("--content-cache-size-mb=1",),
    keep=KEEP.model_dump(),
)
ACCESS = ClientAccess(TARGET, "client-1@storm", "10.0.0.1:51515", encode_details(DETAILS))
KOPIA = Kopia(Programs([Path("/programs/kopia")]), ProcessRunner("bed"), 17.0)


def test_the_value_travels_whole_and_shows_no_secret() -> None:
    """All fields come back."""
    arrived = msgspec.msgpack.decode(msgspec.msgpack.encode(ACCESS), type=ClientAccess)
    assert details_of(arrived) == DETAILS
    assert "s3cret" not in repr(arrived) + repr(details_of(arrived))


def test_the_client_has_what_the_value_says(tmp_path: Path) -> None:
    """Its files in its own place, the password in the environment as a secret, the testbed's retention."""
    client = open_client(KOPIA, ACCESS, ClientPlace(tmp_path, obituary=lambda: "it ended"))
    assert (client.identity, client.testbed, client.retention) == ("client-1@storm", "bed", KEEP)
    environment = client.actor.environment
    assert environment.secret == {"KOPIA_PASSWORD": "s3cret-password"}
    assert environment.own["KOPIA_CONFIG_PATH"] == str(tmp_path / "repository.config")
    assert client.obituary() == "it ended"
    assert "s3cret" not in repr(client)


def test_a_value_of_another_target_makes_no_client(tmp_path: Path) -> None:
    """It is refused before anything is made."""
    with pytest.raises(HarnessError, match="not of kopia"):
        open_client(KOPIA, msgspec.structs.replace(ACCESS, target="tar"), ClientPlace(tmp_path))


class StoppedTime:
    """A virtual time."""

    def now_ns(self, actor: str) -> int:
        return 0

    def url(self, actor: str, valid_seconds: float) -> str:
        return f"http://127.0.0.1:9/{actor}"


def server(directory: Path, time: StoppedTime | None) -> KopiaServer:
    """One that has not been started."""

    def launch(address: str) -> AbstractAsyncContextManager[RunningProcess]:
        raise AssertionError(f"nothing is started at {address}")

    place = TargetPlace("bed", directory, FileSecretStore(directory / "secrets.toml"), time=time)
    repository = Repository(KOPIA, place)
    return KopiaServer(
        kopia=KOPIA,
        place=place,
        repository=repository,
        verify_files_percent=100,
        address=ServerAddress("https://127.0.0.1:9", "ab" * 32),
        process=ServerProcess(launch, re.compile(""), "the server"),
        users=Users(place, repository),
        ways=Ways(None),
    )


def test_virtual_time_keeps_clients_on_this_machine(tmp_path: Path) -> None:
    """There the same value makes the client, with the address of its clock; elsewhere nobody could ask that."""
    timeless, virtual = server(tmp_path, None), server(tmp_path, StoppedTime())
    assert details_of(timeless.client_access("client-1@storm")).clock_url is None
    assert details_of(virtual.access_of("client-1@storm")).clock_url == "http://127.0.0.1:9/client-1@storm"
    with pytest.raises(ConfigError, match="can only be on this machine: the clock of virtual time"):
        virtual.client_access("client-1@storm")
