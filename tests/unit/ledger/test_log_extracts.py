"""Logs are cut to the time that matters, whatever their size and whichever of the two forms their lines have."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapstorm.ledger.log_extracts import Window, extract_logs

BEGAN = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC).timestamp()

PLAIN = "{stamp} DEBUG kopia/repo line {number}"
JSON = '{{"t":"{stamp}","m":"line {number}"}}'


def stamp(second: float) -> str:
    return datetime.fromtimestamp(BEGAN + second, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def write_log(path: Path, form: str, seconds: range, more: str = "") -> None:
    """A line for each second, and after each what has no time of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [form.format(stamp=stamp(second), number=second) + more for second in seconds]
    path.write_text("\n".join(lines) + "\n")


def numbers(text: str) -> list[int]:
    return [int(line.split("line ")[1].split('"')[0]) for line in text.splitlines() if "line " in line]


@pytest.mark.parametrize("form", [PLAIN, JSON])
@pytest.mark.parametrize("count", [40, 20_000])
def test_lines_of_the_time_are_kept_and_no_others(form: str, count: int, tmp_path: Path) -> None:
    """From the first line of the time to the last, in small files and in large ones."""
    write_log(tmp_path / "logs" / "cli-logs" / "a.log", form, range(count))
    kept = extract_logs(tmp_path / "logs", tmp_path / "into", Window(BEGAN + 10, BEGAN + 20))
    assert kept == 1
    assert numbers((tmp_path / "into" / "cli-logs-a.log").read_text()) == list(range(10, 20))


def test_a_line_without_a_time_belongs_to_the_one_before(tmp_path: Path) -> None:
    """What follows a line of the time, such as a stack of calls, stays with it."""
    write_log(tmp_path / "logs" / "a.log", PLAIN, range(30), more="\n    at somewhere")
    extract_logs(tmp_path / "logs", tmp_path / "into", Window(BEGAN + 10, BEGAN + 12))
    text = (tmp_path / "into" / "a.log").read_text()
    assert numbers(text) == [10, 11]
    assert text.count("at somewhere") == 2


def test_of_too_much_text_the_last_part_is_kept(tmp_path: Path) -> None:
    """A megabyte, the end of the time, with a word on what was left out."""
    write_log(tmp_path / "logs" / "a.log", PLAIN, range(3000), more="x" * 1000)
    extract_logs(tmp_path / "logs", tmp_path / "into", Window(BEGAN, BEGAN + 2900))
    text = (tmp_path / "into" / "a.log").read_text()
    assert len(text) < (1 << 20) + 100
    assert "left out" in text.splitlines()[0]
    assert "line 2899x" in text
    assert "line 2900x" not in text


def test_a_file_that_was_not_written_to_since_is_left_out(tmp_path: Path) -> None:
    """And so is a link to one, such as Kopia's `latest.log`."""
    log = tmp_path / "logs" / "old.log"
    write_log(log, PLAIN, range(10))
    os.utime(log, (BEGAN, BEGAN))
    (tmp_path / "logs" / "latest.log").symlink_to("old.log")
    assert extract_logs(tmp_path / "logs", tmp_path / "into", Window(BEGAN + 10, BEGAN + 20)) == 0
    assert not (tmp_path / "into").exists()


def test_a_log_without_any_times_keeps_its_end(tmp_path: Path) -> None:
    """What a process writes to its standard error has no times."""
    (tmp_path / "server.log").write_text("SERVER ADDRESS: https://localhost\n" * 5000)
    assert extract_logs(tmp_path / "server.log", tmp_path / "into", Window(BEGAN, BEGAN + 1)) == 1
    assert 0 < (tmp_path / "into" / "server.log").stat().st_size <= 64 << 10


def test_what_is_missing_gives_nothing(tmp_path: Path) -> None:
    """No logs, no directory."""
    assert extract_logs(tmp_path / "none", tmp_path / "into", Window(0, 1)) == 0
    assert not (tmp_path / "into").exists()
