"""The repository stays within the bytes that it may take."""

from __future__ import annotations

import pytest
from tests.idle_server import IdleServer

from snapstorm.actions.quota import Quota
from snapstorm.errors import ConfigError

pytestmark = pytest.mark.anyio
WEIGHTS = {"snapshot-root": 2, "run-gc": 1, "delete-random-snapshot": 3, "modify-files": 5}


class Holding(IdleServer):
    """A server whose repository holds so many bytes."""

    def __init__(self, used_bytes: int) -> None:
        self._used_bytes = used_bytes

    async def storage_bytes(self) -> int:
        return self._used_bytes


class Silent(IdleServer):
    """A server that can't tell how much its repository holds."""


def quota(used_bytes: int, bytes_max: int | None = 100) -> tuple[Quota, list[str]]:
    notes: list[str] = []
    return Quota(Holding(used_bytes), bytes_max, notes.append), notes


async def test_a_limit_that_can_not_be_kept_is_refused() -> None:
    """Where nobody can tell how much is held, it would be no limit."""
    with pytest.raises(ConfigError, match="leave --repository-bytes-max out"):
        await Quota(Silent(), 100, lambda _: None).measure()
    await Quota(Silent(), None, lambda _: None).measure()


async def test_without_a_limit_nothing_changes() -> None:
    """All fits, no weight changes, nothing is measured or noted."""
    without, notes = quota(10**9, None)
    async with without.reserved(10**12) as fits:
        assert fits
    assert without.weights(WEIGHTS, 0) == WEIGHTS
    assert notes == []


@pytest.mark.parametrize(("used_bytes", "snapshot", "gc", "modify"), [(79, 2, 1, 5), (80, 2, 4, 5), (100, 0, 4, 5)])
async def test_weights_make_room_near_the_limit(used_bytes: int, snapshot: int, gc: int, modify: int) -> None:
    """Near the limit what gives room weighs more; beyond it what takes room weighs nothing."""
    near, _ = quota(used_bytes)
    await near.measure()
    weights = near.weights(WEIGHTS, 3)
    assert (weights["snapshot-root"], weights["run-gc"], weights["modify-files"]) == (snapshot, gc, modify)


async def test_the_last_snapshots_are_not_deleted_for_room() -> None:
    """Short of room, a client with few snapshots deletes none; with more, or with room, it does."""
    near, _ = quota(80)
    await near.measure()
    assert near.weights(WEIGHTS, 2)["delete-random-snapshot"] == 0
    assert near.weights(WEIGHTS, 3)["delete-random-snapshot"] == 12
    far, _ = quota(79)
    await far.measure()
    assert far.weights(WEIGHTS, 1)["delete-random-snapshot"] == 3


async def test_snapshots_at_once_share_what_is_left() -> None:
    """Room that one snapshot may yet need is not given to another; that is said once, and ends with the first."""
    shared, notes = quota(50)
    async with shared.reserved(30) as first, shared.reserved(21) as second, shared.reserved(20) as third:
        assert (first, second, third) == (True, False, True)
        async with shared.reserved(1) as fourth:
            assert not fourth
    async with shared.reserved(50) as again:
        assert again
    assert len(notes) == 1
    assert "50 of at most 100 bytes" in notes[0]
