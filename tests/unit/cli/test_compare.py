"""`snapstorm compare`: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.cli.compare import compare
from snapstorm.errors import ConfigError, HarnessError


@pytest.fixture(autouse=True)
def in_scratch(scratch: Path) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(scratch)
    yield
    tempfile.tempdir = before


def test_a_page_is_printed_or_written(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else is left."""
    page = scratch / "page.md"
    assert compare(target=["memory"], faults=["kill-server"], times=False) == 0
    printed = capsys.readouterr().out
    assert compare(target=["memory"], faults=["none"], times=False, write=page) == 0
    assert printed.startswith("# memory: side by side")
    assert "| `kill-server` | recovered" in printed
    assert "kill-server" not in page.read_text()
    assert os.listdir(scratch) == ["page.md"]


def test_a_violation_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(target=["memory:old-password-still-good"], faults=["change-password"], times=False) == 1
    assert "**violated: clients-isolated**" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "faults", "seed", "words"),
    [
        (["memory", "memory"], None, 1, "named twice"),
        (["memry"], None, 1, "did you mean 'memory'"),
        (["memory"], ["kil-server"], 1, "did you mean 'kill-server'"),
        (["memory"], None, -1, "--seed must be from 0"),
    ],
)
def test_bad_input_is_refused(target: list[str], faults: list[str] | None, seed: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        compare(target=target, faults=faults, seed=seed, times=False)


@pytest.mark.parametrize("parameter", ["clients=shared", "kopia.users=mixed", "memory.clients"])
def test_a_setting_belongs_to_a_target_that_is_compared(parameter: str) -> None:
    with pytest.raises(ConfigError, match="TARGET.NAME=VALUE|NAME=VALUE"):
        compare(target=["memory"], parameter=[parameter], faults=["none"], times=False)


def test_a_setting_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(target=["memory"], parameter=["memory.clients=shared"], faults=["none"], times=False) == 0
    assert "memory, clients=shared" in capsys.readouterr().out


def test_a_page_that_can_not_be_written_is_told_at_once(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HarnessError, match="can't be written to .*missing/page.md: No such file"):
        compare(target=["memory"], write=scratch / "missing" / "page.md")
    assert capsys.readouterr().err == ""
    assert os.listdir(scratch) == []
