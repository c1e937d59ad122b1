"""Which of several Kopias the next process is."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.targets.kopia.discovery import find_version
from snapstorm.targets.programs import Programs

OLD, NEW = Path("/old/kopia"), Path("/new/kopia")


def test_draws_follow_from_the_seed_and_from_who_asks() -> None:
    """The order in which actors ask among each other changes nothing."""
    one, other = Programs([OLD, NEW], 7), Programs([OLD, NEW], 7)
    first = [one.draw("a") for _ in range(30)]
    for _ in range(30):
        other.draw("b")
    assert first == [other.draw("a") for _ in range(30)]
    assert set(first) == {OLD, NEW}
    assert first != [Programs([OLD, NEW], 8).draw("a")] * 30


def test_a_single_program_is_always_drawn() -> None:
    """And it is what must be done by the newest."""
    programs = Programs([OLD])
    assert {programs.draw("a") for _ in range(5)} == {programs.newest_named} == {OLD}
    with pytest.raises(ValueError, match="a program"):
        Programs([])


def test_a_version_is_found_on_path_or_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is nowhere is an error that says what to do."""
    program = tmp_path / "kopia-9.8.7"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_version("9.8.7") == program
    with pytest.raises(HarnessError, match=r"no Kopia 9\.8\.6 was found: .*make tools-all.*--program"):
        find_version("9.8.6")
