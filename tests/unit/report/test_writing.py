"""Reports are written whole or not at all, and what can't be written is told first."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.unit.report.runs import busy_bed

from snapstorm.cli.report import report
from snapstorm.errors import ConfigError, TestbedError
from snapstorm.report import writing
from snapstorm.report.writing import FILE_NAMES, files_in, report_directory, write_run_report, write_trend_report
from snapstorm.testbed.testbed import LEDGER_NAME


@pytest.fixture
def bed(tmp_path: Path) -> Path:
    busy_bed(tmp_path / "bed").close()
    return tmp_path / "bed"


def test_each_format_is_written_to_its_file(bed: Path, tmp_path: Path) -> None:
    """And nothing is left beside them."""
    out = tmp_path / "out"
    out.mkdir()
    write_run_report(bed, 1, files_in(out))
    assert sorted(path.name for path in out.iterdir()) == sorted(FILE_NAMES.values())
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (out / "report.html").stat().st_mode & 0o777 == 0o666 & ~writing._umask()


def test_a_file_that_is_there_is_replaced(bed: Path, tmp_path: Path) -> None:
    """Whole, or it stays as it was."""
    (tmp_path / "a").write_text("old")
    write_trend_report(bed, {"markdown": tmp_path / "a"})
    assert "old" not in (tmp_path / "a").read_text()


def test_a_link_goes_on_pointing_to_its_file(bed: Path, tmp_path: Path) -> None:
    """What it names is replaced, as a whole."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("old")
    (tmp_path / "link").symlink_to("there/file")
    write_run_report(bed, 1, {"markdown": tmp_path / "link"})
    assert (tmp_path / "link").is_symlink()
    assert "snapstorm" in (tmp_path / "there" / "file").read_text()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file"]


def test_only_files_are_named_when_they_are_written(
    bed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report that goes to the output itself is not followed, or overwritten, by the name of that."""
    report(str(bed), markdown=Path("/dev/null"), html=tmp_path / "a.html")
    assert capsys.readouterr().out == f"{tmp_path / 'a.html'}\n"


def test_a_link_to_nothing_yet_makes_what_it_names(bed: Path, tmp_path: Path) -> None:
    """Not a file of that name beside the link."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to("../there/file")
    write_run_report(bed, 1, {"markdown": tmp_path / "here" / "link"})
    assert "snapstorm" in (tmp_path / "there" / "file").read_text()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["link"]


def test_a_pipe_is_written_as_it_is(bed: Path) -> None:
    """A device is never replaced by a file."""
    write_run_report(bed, 1, {"json": Path("/dev/null")})
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("bed", "it is a directory"),
        ("gone/a.html", "is not a directory"),
        ("bed/ledger.sqlite3/a.html", "inside the testbed"),
        ("bed/ledger.sqlite3", "inside the testbed"),
        ("bed/runs/../a.html", "inside the testbed"),
        ("link-into-bed/a.html", "inside the testbed"),
        ("link-to-ledger", "inside the testbed"),
        ("loop", "can't be written"),
        ("x" * 300, "too long"),
    ],
)
def test_what_can_not_be_written_is_told_before_anything_is(
    bed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    """One clear line, and no other report was begun."""
    monkeypatch.chdir(tmp_path)
    Path("link-into-bed").symlink_to(bed)
    Path("link-to-ledger").symlink_to(bed / LEDGER_NAME)
    Path("loop").symlink_to("loop")
    ledger = (bed / LEDGER_NAME).read_bytes()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ConfigError, match=words) as raised:
        report(str(bed), html=Path("first.html"), markdown=Path(place))
    assert "\n" not in str(raised.value)
    assert sorted(os.listdir(tmp_path)) == before
    assert (bed / LEDGER_NAME).read_bytes() == ledger


def test_an_unknown_run_writes_nothing(bed: Path, tmp_path: Path) -> None:
    """The run is looked for first."""
    with pytest.raises(ConfigError, match="no run 9"):
        report(f"{bed}:9", html=tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_a_newer_ledger_writes_nothing(bed: Path, tmp_path: Path) -> None:
    """Of a schema that is not known nothing is guessed."""
    connection = sqlite3.connect(bed / LEDGER_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TestbedError, match="newer snapstorm"):
        report(str(bed), html=tmp_path / "a.html")
    with pytest.raises(TestbedError, match="newer snapstorm"):
        report(testbed=bed, html=tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "say what to write"),
        ({"run": "bed"}, "say what to write"),
        ({"html": Path("a")}, "give a run"),
        ({"run": "bed", "testbed": Path("bed"), "html": Path("a")}, "give a run"),
        ({"testbed": Path("bed"), "junit": Path("a")}, "--junit is the report of a run"),
        ({"run": "bed", "html": Path("a"), "json_file": Path("./a")}, "the same file"),
        ({"testbed": Path("gone"), "html": Path("a")}, "there is no testbed"),
        ({"run": "gone", "html": Path("a")}, "there is no testbed"),
    ],
)
def test_what_does_not_fit_together_is_told(
    bed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str
) -> None:
    """In one line, before anything is written."""
    monkeypatch.chdir(tmp_path)
    options = dict(arguments)
    run = options.pop("run", None)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ConfigError, match=words):
        report(run, **options)
    assert sorted(os.listdir(tmp_path)) == before


def test_the_testbed_is_not_changed(bed: Path, tmp_path: Path) -> None:
    """Not even its ledger's journal."""
    before = {path: path.stat().st_mtime_ns for path in bed.rglob("*") if path.is_file()}
    report(str(bed), html=tmp_path / "a.html", json_file=tmp_path / "a.json")
    after = {path: path.stat().st_mtime_ns for path in bed.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_a_directory_for_reports_is_made_before_the_run_and_goes_if_nothing_comes(tmp_path: Path) -> None:
    """A run that does not begin leaves nothing behind."""
    with report_directory(tmp_path / "a" / "b") as directory:
        assert directory.path.is_dir()
    assert not (tmp_path / "a").exists()


def test_a_directory_for_reports_holds_every_format(bed: Path, tmp_path: Path) -> None:
    """Also for one run of several."""
    with report_directory(tmp_path / "reports") as directory:
        directory.write(bed, 1)
        directory.write(bed, 1, "stage-2")
    assert sorted(os.listdir(tmp_path / "reports")) == sorted([*FILE_NAMES.values(), "stage-2"])


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/reports", "x" * 300])
def test_where_no_report_can_be_the_run_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """One clear line."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ConfigError, match="can't be written"), report_directory(Path(place).absolute()):
        pytest.fail("it was taken")
    assert os.listdir(tmp_path) == ["file"]
