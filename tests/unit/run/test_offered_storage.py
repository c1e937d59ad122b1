"""What snapstorm offers to the target: how much storage of ours holds that may be deleted at any time."""

from __future__ import annotations

from pathlib import Path

from tests.unit.gateway.asking import SIGNED, ask

from snapstorm.model.location import GatewayStorage
from snapstorm.model.protocols import TargetPlace
from snapstorm.run.offered_storage import storage_for
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.secrets import FileSecretStore


def test_what_is_locked_makes_the_size_unknown(scratch: Path) -> None:
    """Until it may be deleted, nobody can say how much should be there."""
    place = TargetPlace("bed", scratch, FileSecretStore(scratch / "secrets.toml"))
    with storage_for(GatewayStorage(), place, Clock()) as offered:
        gateway, unlocked_bytes = offered.gateway, offered.unlocked_bytes
        assert gateway is not None
        assert unlocked_bytes is not None
        key = place.secrets.get("gateway access")
        signed = {"authorization": SIGNED["authorization"].replace("0123", key)}
        assert ask(gateway, "PUT", "/free", b"12345", signed)[0] == 200
        assert unlocked_bytes() == 5
        locked = signed | {"x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z"}
        assert ask(gateway, "PUT", "/locked", b"123", locked)[0] == 200
        assert unlocked_bytes() is None
        assert offered.held_bytes is not None
        assert offered.held_bytes() == 8
    with storage_for(None, place, Clock()) as offered:
        assert offered.unlocked_bytes is None
