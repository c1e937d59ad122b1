"""The borg under test is found in the promised order, and refused in one line where it must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.targets.borg.discovery import PINNED_VERSION, find_borg, find_version

pytestmark = pytest.mark.usefixtures("no_kopia")  # Nor any other program of a target.


def program(path: Path, version: str = PINNED_VERSION) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n[ "$1" = --log-json ] && echo "{path.name} {version}"\n')
    path.chmod(0o755)
    return path


def test_the_first_of_the_promised_places_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--program before the project's own build before PATH."""
    on_path = program(tmp_path / "bin" / "borg", "1.2.9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert (find_borg().path, find_borg().version) == (on_path, "1.2.9")
    (tmp_path / "tools" / f"borg-{PINNED_VERSION}").mkdir(parents=True)
    own = program(tmp_path / ".tools" / "bin" / f"borg-{PINNED_VERSION}")
    assert find_borg().path == own
    assert find_version(PINNED_VERSION) == own
    named = program(tmp_path / "named" / "any name")
    assert find_borg(named).path == named


@pytest.mark.parametrize(
    ("version", "words"),
    [("1.1.18", "too old: the oldest that can be tested is 1.2"), ("2.0.0b25", "only borg 1"), ("what", "is not borg")],
)
def test_what_can_not_be_tested_is_refused(tmp_path: Path, version: str, words: str) -> None:
    """In one line."""
    with pytest.raises(HarnessError, match=words) as caught:
        find_borg(program(tmp_path / "borg", version))
    assert len(str(caught.value).splitlines()) == 1


def test_another_program_is_refused() -> None:
    """It answers something else."""
    with pytest.raises(HarnessError, match="is not borg"):
        find_borg(Path("/bin/true"))


def test_a_missing_one_names_what_makes_it() -> None:
    """The command for the pinned one, and that for others."""
    with pytest.raises(HarnessError, match="make tools-borg"):
        find_borg()
    with pytest.raises(HarnessError, match="make tools-all"):
        find_version("1.2.4")
