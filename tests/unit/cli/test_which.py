"""Which run is meant by what was typed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from snapstorm.cli.which import find_run
from snapstorm.errors import ConfigError, SnapstormError, TestbedError
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.testbed.testbed import LEDGER_NAME


def _testbed(directory: Path, runs: int, violated: int | None = None) -> Path:
    directory.mkdir()
    ledger = Ledger.open(directory / LEDGER_NAME)
    for _ in range(runs):
        number = ledger.begin_run(seed=1, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
        if number == violated:
            ledger.add_violation(number, Violation(Guarantee.NO_LEAK, "it leaks"), None, "x")
    ledger.close()
    return directory


def test_a_testbed_alone_means_its_latest_run(tmp_path: Path) -> None:
    """Where no run has found a violation, the latest one is meant."""
    assert find_run(str(_testbed(tmp_path / "bed", 3))) == (tmp_path / "bed", 3)


def test_a_run_that_found_a_violation_is_what_one_asks_for(tmp_path: Path) -> None:
    """The latest run with a violation comes before later ones without."""
    assert find_run(str(_testbed(tmp_path / "bed", 3, violated=2))) == (tmp_path / "bed", 2)


def test_a_number_names_its_run(tmp_path: Path) -> None:
    """A number after a colon is the run's."""
    assert find_run(f"{_testbed(tmp_path / 'bed', 3, violated=2)}:1") == (tmp_path / "bed", 1)


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found does not depend on where one stands later."""
    _testbed(tmp_path / "bed", 1)
    monkeypatch.chdir(tmp_path)
    assert find_run("bed:1") == (tmp_path / "bed", 1)


def test_a_directory_whose_name_has_a_colon_is_itself(tmp_path: Path) -> None:
    """A testbed that is called `bed:1` can be named, alone and with a number."""
    _testbed(tmp_path / "bed:1", 2)
    assert find_run(str(tmp_path / "bed:1")) == (tmp_path / "bed:1", 2)
    assert find_run(f"{tmp_path / 'bed:1'}:1") == (tmp_path / "bed:1", 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not as an empty text"),
        ("gone", "there is no testbed at"),
        ("gone:1", "there is no testbed at"),
        ("bed:", "is no number"),
        ("bed:one", "is no number"),
        ("bed:-1", "is no number"),
        ("bed:²", "is no number"),
        ("bed:4", "no run 4; its latest is 2"),
        ("bed:0", "no run 0"),
        ("bed:99999999999999999999", "no run 99999999999999999999"),
        ("none", "there has been no run on the testbed"),
        ("none:1", "no run 1; it has none"),
        ("file", "is not a directory"),
        ("file:1", "is not a directory"),
        ("empty", "is no testbed"),
        ("x" * 5000, "can't be used"),
        ("x" * 5000 + ":1", "can't be used"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    """An unknown testbed or run is the user's mistake, told in one clear line."""
    _testbed(tmp_path / "bed", 2)
    _testbed(tmp_path / "none", 0)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        find_run(text)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["bed", "bed:1"])
def test_a_ledger_of_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A testbed of a newer snapstorm is not read by an older one."""
    _testbed(tmp_path / "bed", 1)
    connection = sqlite3.connect(tmp_path / "bed" / LEDGER_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TestbedError, match="newer snapstorm"):
        find_run(text)


def test_a_ledger_that_is_damaged_is_refused(tmp_path: Path) -> None:
    """What is no ledger gives one line, not SQLite's own error."""
    _testbed(tmp_path / "bed", 1)
    (tmp_path / "bed" / LEDGER_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(SnapstormError):
        find_run(str(tmp_path / "bed"))
