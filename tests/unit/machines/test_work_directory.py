"""A machine works in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.errors import ConfigError, HarnessError
from snapstorm.machines.work_directory import work_directory


def test_a_directory_is_made_and_used_again(scratch: Path) -> None:
    """With what the machine has left in it."""
    for _ in range(2):
        with work_directory(scratch / "a" / "b"):
            (scratch / "a" / "b" / "tree").mkdir(exist_ok=True)


def test_what_is_somebody_elses_is_not_touched(scratch: Path) -> None:
    """Bad usage, before anything is changed."""
    (scratch / "photos").touch()
    with pytest.raises(ConfigError, match="is not empty, and not a machine's: choose another"), work_directory(scratch):
        pass
    assert [path.name for path in scratch.iterdir()] == ["photos"]


def test_two_machines_do_not_work_in_one(scratch: Path) -> None:
    """The second is refused, and the first goes on."""
    with work_directory(scratch):
        with pytest.raises(HarnessError, match="another machine works in"), work_directory(scratch):
            pass
        with pytest.raises(HarnessError, match="another machine works in"), work_directory(scratch):
            pass


def test_what_can_not_be_written_is_told(scratch: Path) -> None:
    """With the reason of the system."""
    (scratch / "file").touch()
    below = scratch / "file" / "below"
    with pytest.raises(HarnessError, match=r"can't work in .*/file/below: Not a directory"), work_directory(below):
        pass
