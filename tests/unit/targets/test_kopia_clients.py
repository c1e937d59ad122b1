"""A Kopia client is made from its value alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from snapstorm.errors import HarnessError
from snapstorm.model.client_access import ClientAccess, ClientPlace, encode_details
from snapstorm.model.retention import KeepPolicy
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.kopia.clients import TARGET, KopiaDetails, details_of, open_client
from snapstorm.targets.kopia.command import Kopia
from snapstorm.targets.programs import Programs

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
