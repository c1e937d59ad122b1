"""Reports as a user asks for them: with a run, of a run, of one that was killed or interrupted, and of a testbed."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.e2e.commandline import SMALL, command, snapstorm
from tests.waiting import GIVE_UP_SECONDS, wait_until

from snapstorm.errors import TestbedError
from snapstorm.testbed.testbed import read_testbed

QUICK = ("--clients", "3", *SMALL, "--progress", "none")
FORMATS = ["junit.xml", "report.html", "report.json", "report.md"]


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_run_on_a_temporary_testbed_leaves_its_reports(scratch: Path) -> None:
    """The testbed of a run that passed is gone by then; what it showed is in the reports."""
    reports = scratch / "a" / "reports"
    ran = snapstorm("run", "--target", "memory", "--actions", "60", *QUICK, "--report", reports, "--json")
    assert ran.status == 0, ran.stderr
    assert not Path(ran.json["testbed"]).exists()
    assert ran.json["testbed"] not in ran.stderr
    assert files_in(reports) == FORMATS
    document = json.loads((reports / "report.json").read_text())
    assert document["verdict"] == "pass"
    assert document["proven"]["restores_verified"] == ran.json["restores_verified"] > 0


def test_a_violated_run_has_reports_and_keeps_its_exit_status(scratch: Path) -> None:
    """The failure names the guarantee, and the page has what differs."""
    bed, reports = scratch / "bed", scratch / "reports"
    target = ("--target", "memory:restore-truncates-a-file")
    ran = snapstorm("run", *target, "--actions", "100", *QUICK, "--testbed", bed, "--report", reports)
    assert ran.status == 1, ran.stderr
    suite = ET.fromstring((reports / "junit.xml").read_text())
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["restored-exactly"]
    assert "truncated" in (reports / "report.html").read_text()


def test_an_interrupted_run_has_reports(scratch: Path) -> None:
    """Up to where it ended."""
    bed, reports = scratch / "bed", scratch / "reports"
    arguments = ("run", "--target", "memory", "--duration", "30m", *QUICK, "--testbed", bed, "--report", reports)
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_for_operations(bed)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=GIVE_UP_SECONDS)
    assert process.returncode == 130, errors
    assert json.loads((reports / "report.json").read_text())["verdict"] == "interrupted"


def test_a_killed_run_is_reported_on_as_far_as_it_came(scratch: Path) -> None:
    """And so is one that is still going on."""
    bed = scratch / "bed"
    arguments = ("run", "--target", "memory", "--duration", "30m", *QUICK, "--testbed", bed)
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_operations(bed)
        alive = snapstorm("report", bed, "--json", scratch / "alive.json")
        process.kill()
    killed = snapstorm("report", f"{bed}:1", "--html", scratch / "a.html", "--junit", scratch / "a.xml")
    assert (alive.status, killed.status) == (0, 0), alive.stderr + killed.stderr
    document = json.loads((scratch / "alive.json").read_text())
    assert document["verdict"] is None
    assert document["operations"]["recorded"] > 0
    assert "NOT ENDED" in (scratch / "a.html").read_text()
    assert ET.fromstring((scratch / "a.xml").read_text()).get("errors") == "1"


def wait_for_operations(bed: Path) -> None:
    def are_done() -> bool:
        with suppress(TestbedError), read_testbed(bed) as ledger:  # It may be just being made.
            return ledger.record.count_operations(1) > 20
        return False

    wait_until(lambda: (bed / "ledger.sqlite3").exists() and are_done())


def test_the_trend_and_every_kind_of_bad_input(scratch: Path) -> None:
    """One testbed of two runs: its trend; and one clear line, the right exit status and no file for what can't be."""
    bed = scratch / "bed"
    for _ in range(2):
        assert snapstorm("run", "--target", "memory", "--actions", "40", *QUICK, "--testbed", bed).status in (0, 4)
    page = scratch / "page.html"
    files = ("--html", page, "--json", scratch / "t.json", "--markdown", "/dev/stdout")
    trend = snapstorm("report", "--testbed", bed, *files)
    assert trend.status == 0, trend.stderr
    assert len(json.loads((scratch / "t.json").read_text())["runs"]) == 2
    assert "| run |" in trend.stdout
    page.unlink()
    newer = scratch / "newer"
    newer.mkdir()
    shutil.copyfile(bed / "ledger.sqlite3", newer / "ledger.sqlite3")
    connection = sqlite3.connect(newer / "ledger.sqlite3")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for arguments, status, words in (
        ((f"{bed}:7", "--html", page), 2, "no run 7"),
        ((f"{bed}:x", "--html", page), 2, "is no number"),
        ((scratch / "gone", "--html", page), 2, "there is no testbed"),
        ((newer, "--html", page), 3, "newer snapstorm"),
        ((bed, "--html", page, "--json", scratch / "gone" / "a"), 2, "is not a directory"),
        ((bed, "--html", bed), 2, "it is a directory"),
        (("--testbed", bed, "--html", page, "--junit", scratch / "a"), 2, "--junit"),
        ((bed,), 2, "say what to write"),
    ):
        ran = snapstorm("report", *arguments)
        assert ran.status == status, (arguments, ran.stderr)
        assert words in ran.stderr
        assert len(ran.stderr.splitlines()) == 1
        assert not page.exists()


@pytest.mark.parametrize(("place", "words"), [("file", "can't be written"), ("bed/reports", "inside the testbed")])
def test_where_no_reports_can_be_no_run_begins(scratch: Path, place: str, words: str) -> None:
    """It is told before anything else is done."""
    (scratch / "file").touch()
    bed = ("--testbed", scratch / "bed")
    ran = snapstorm("run", "--target", "memory", "--actions", "10", *QUICK, *bed, "--report", scratch / place)
    assert ran.status == 2, ran.stderr
    assert words in ran.stderr
    assert files_in(scratch) == ["file"]
