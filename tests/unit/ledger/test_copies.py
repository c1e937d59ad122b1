"""Copies of a ledger: whole or refused, at any moment."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from snapstorm.errors import TestbedError
from snapstorm.ledger.copies import STATE_NAME, CopyState, parse_state, read_state, take_copy, write_copy
from snapstorm.ledger.ledger import Ledger

STATE = CopyState(
    testbed="t",
    instance="i",
    host="h",
    directory="/d",
    run=3,
    tick=4,
    is_final=True,
    written_utc="2026-01-01T00:00:00Z",
    lease_until_utc=None,
    repository="/r",
    mode="server",
    target="kopia",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite3"
    opened = Ledger.open(path)
    opened.set_fact("colour", "green")
    opened.close()
    return path


def test_a_copy_is_what_was_committed(ledger: Path, tmp_path: Path) -> None:
    """Also while somebody writes; the state comes back as it was written."""
    writing = Ledger.open(ledger)
    writing.set_fact("colour", "blue")
    written = write_copy(ledger, tmp_path / "copy", STATE)
    writing.set_fact("colour", "red")
    writing.close()
    assert read_state(tmp_path / "copy") == written
    assert replace(written, ledger_file="", ledger_blake3="") == STATE
    assert take_copy(tmp_path / "copy", tmp_path / "taken.sqlite3") == written
    taken = Ledger.open(tmp_path / "taken.sqlite3")
    assert taken.fact("colour") == "blue"
    taken.close()


def test_a_newer_copy_replaces_the_older_one(ledger: Path, tmp_path: Path) -> None:
    """One ledger file stays, and nothing half written."""
    write_copy(ledger, tmp_path / "copy", STATE)
    opened = Ledger.open(ledger)
    opened.set_fact("colour", "blue")
    opened.close()
    second = write_copy(ledger, tmp_path / "copy", replace(STATE, run=4))
    assert {entry.name for entry in (tmp_path / "copy").iterdir()} == {STATE_NAME, second.ledger_file}


def test_what_is_not_whole_is_refused(ledger: Path, tmp_path: Path) -> None:
    """No state, no file, half a file, a flipped byte: one line, and nothing is taken."""
    copy, taken = tmp_path / "copy", tmp_path / "taken.sqlite3"
    with pytest.raises(TestbedError, match=f"it has no {STATE_NAME}"):
        take_copy(tmp_path, taken)
    state = write_copy(ledger, copy, STATE)
    file = copy / state.ledger_file
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]):
        file.write_bytes(damaged)
        with pytest.raises(TestbedError, match="damaged or half written"):
            take_copy(copy, taken)
    file.unlink()
    with pytest.raises(TestbedError, match="half written: there is no"):
        take_copy(copy, taken)
    assert not taken.exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": "x"}'])
def test_a_damaged_state_is_refused(text: str) -> None:
    """With the place that it was read from."""
    with pytest.raises(TestbedError, match=r"there .*damaged"):
        parse_state(text, "there")


def test_a_newer_state_is_refused() -> None:
    """Its fields may mean something else."""
    with pytest.raises(TestbedError, match="newer snapstorm"):
        parse_state(json.dumps({**asdict(STATE), "schema": 2}), "x")
