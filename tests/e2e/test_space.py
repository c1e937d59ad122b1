"""Storage comes back from the real Kopia, and a target that keeps it is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.commandline import snapstorm


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("mode", ["direct", pytest.param("server", marks=pytest.mark.long)])
def test_room_comes_back_once_it_is_collected(mode: str, scratch: Path) -> None:
    """The scenario passes, has measured, and has deleted more than it left."""
    ran = snapstorm("run", "space", "--mode", mode, "--testbed", scratch / "bed", "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["actions"]["check-storage"]["ok"] == 1
    assert ran.json["actions"]["run-gc"]["ok"] == 8


@pytest.mark.usefixtures("nothing_left")
def test_room_that_does_not_come_back_is_a_leak(scratch: Path) -> None:
    """The verdict names the guarantee, and both figures."""
    ran = snapstorm("run", "space", "--target", "memory:collection-frees-nothing", "--testbed", scratch / "bed")
    assert ran.status == 1
    assert "no-leak" in ran.stderr
    assert "were marked" in ran.stderr
