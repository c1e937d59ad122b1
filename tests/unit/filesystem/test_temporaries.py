"""Each command has a temporary directory for itself; what it leaves there is told, and goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.filesystem.temporaries import NAMES_MAX, Temporaries, temporaries_in

pytestmark = pytest.mark.anyio


async def test_one_that_is_left_empty_is_used_again(tmp_path: Path) -> None:
    """By one command at a time."""
    with temporaries_in(tmp_path / "tmp") as temporaries:
        first, second = temporaries.make(), temporaries.make()
        assert first != second
        assert first.stat().st_mode & 0o777 == 0o700
        assert await temporaries.clear(first) == ()
        assert temporaries.make() == first
        assert temporaries.make() not in (first, second)


async def test_what_comes_later_is_nobody_elses(tmp_path: Path) -> None:
    """A process that was killed may still have written when its command had ended: the next one is not blamed."""
    with temporaries_in(tmp_path / "tmp") as temporaries:
        place = temporaries.make()
        await temporaries.clear(place)
        (place / "late").touch()
        assert list(temporaries.make().iterdir()) == []


async def test_what_is_left_is_told_and_goes(tmp_path: Path) -> None:
    """Whatever its names and its modes are; the next command finds nothing of it."""
    with temporaries_in(tmp_path / "tmp") as temporaries:
        place = temporaries.make()
        (place / "closed").mkdir()
        (place / "closed" / "file").touch()
        (place / "closed").chmod(0)
        Path(os.fsdecode(os.fsencode(place) + b"/\xff")).touch()
        assert await temporaries.clear(place) == ["closed", "\\xff"]
        assert not place.exists()
        assert list(temporaries.make().iterdir()) == []


async def test_of_many_that_are_left_the_first_are_told(tmp_path: Path) -> None:
    """A program that floods its directory does not flood the report."""
    with temporaries_in(tmp_path / "tmp") as temporaries:
        place = temporaries.make()
        for number in range(NAMES_MAX + 1):
            (place / f"{number:03}").touch()
        assert await temporaries.clear(place) == [f"{number:03}" for number in range(NAMES_MAX)]


async def test_one_that_the_command_has_removed_is_no_leak(tmp_path: Path) -> None:
    """It is not used again, either."""
    with temporaries_in(tmp_path / "tmp") as temporaries:
        place = temporaries.make()
        place.rmdir()
        assert await temporaries.clear(place) == ()
        assert temporaries.make().is_dir()


async def test_what_a_killed_run_has_left_goes(tmp_path: Path) -> None:
    """And so does everything at the end of the block."""
    root = tmp_path / "tmp"
    (root / "0").mkdir(parents=True)
    (root / "0" / "left").touch()
    with temporaries_in(root) as temporaries:
        assert list(temporaries.make().iterdir()) == []
    assert not root.exists()


async def test_one_that_can_not_be_made_is_our_own_error(tmp_path: Path) -> None:
    """Nothing is said about the target."""
    with pytest.raises(HarnessError, match="No such file"):
        Temporaries(tmp_path / "missing").make()
