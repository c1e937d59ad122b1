"""Fixtures for tests of targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.targets import executables


@pytest.fixture
def no_kopia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Kopia anywhere: not in the environment, not on PATH, and no build of the project's own."""
    monkeypatch.delenv("KOPIA_EXE", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(executables, "__file__", str(tmp_path / "package" / "executables.py"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
