"""The command line of the crash explorer: what it refuses, and how it ends."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.directories import memory_directory
from tests.e2e.commandline import command, scenario, snapstorm, wait_until_none_left
from tests.waiting import GIVE_UP_SECONDS

STEPS = scenario("write-random-files count = 3", "snapshot-root", "restore-snapshot", clients=1)


@pytest.fixture(scope="module")
def explorable() -> Iterator[Path]:
    """A testbed behind the gateway, after a short run."""
    with memory_directory() as place:
        config = place / "steps.toml"
        config.write_text(STEPS)
        ran = snapstorm("run", "--testbed", place / "bed", "--repository", "gateway", "--config", config)
        assert ran.status == 0, ran.stderr
        assert "history    " in ran.stdout + ran.stderr
        yield place / "bed"


def refused(*words: str | Path, status: int, complaint: str) -> None:
    ran = snapstorm("explore", *words)
    assert ran.status == status, ran.stderr
    assert complaint in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_what_can_not_be_explored(explorable: Path, scratch: Path) -> None:
    """Each is one clear line."""
    refused(scratch / "none", status=2, complaint="there is no testbed")
    refused(f"{explorable}:7", status=2, complaint="no run 7")
    for option, value in (("--every", "0"), ("--in-flight", "-1"), ("--restore-every", "0"), ("--minutes", "0")):
        refused(explorable, option, value, status=2, complaint=option)
    refused(explorable, "--program", scratch / "kopia", status=3, complaint="there is no Kopia")
    memory = snapstorm("run", "--testbed", scratch / "memory", "--target", "memory", "--actions", "5")
    assert memory.status in (0, 4), memory.stderr
    refused(scratch / "memory", status=2, complaint="has no history of its storage")


def test_a_history_that_is_gone_or_damaged(explorable: Path, scratch: Path) -> None:
    log, contents = explorable / "gateway" / "log.sqlite3", explorable / "gateway" / "contents"
    for path in (log, contents):
        kept = path.read_bytes()
        try:
            path.write_bytes(b"")
            refused(explorable, "--progress", "none", status=3, complaint="history")
            path.unlink()
            refused(explorable, "--progress", "none", status=3, complaint="history")
        finally:
            path.write_bytes(kept)
    with closing(sqlite3.connect(log, isolation_level=None)) as database:
        database.execute("INSERT INTO whole SELECT max(applied) + 1 FROM writes")
    try:
        refused(explorable, "--progress", "none", status=3, complaint="dropped to make room")
    finally:
        with closing(sqlite3.connect(log, isolation_level=None)) as database:
            database.execute("DELETE FROM whole")


def test_a_bound_without_a_gateway(scratch: Path) -> None:
    ran = snapstorm("run", "--testbed", scratch / "bed", "--history-bytes-max", "1GiB")
    assert ran.status == 2
    assert "--repository gateway" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (scratch / "bed").exists()


@pytest.mark.usefixtures("nothing_left")
def test_a_bounded_history_says_so(scratch: Path) -> None:
    """The run goes on, and what can still be explored is."""
    config = scratch / "steps.toml"
    config.write_text(STEPS)
    words = ("run", "--testbed", scratch / "bed", "--repository", "gateway", "--config", config, "--json")
    ran = snapstorm(*words, "--history-bytes-max", "1")
    assert ran.status == 0, ran.stderr
    assert ran.json["history"]["whole_from"] > 0
    explored = snapstorm("explore", scratch / "bed", "--json")
    assert explored.status == 0, explored.stderr
    assert explored.json["points"]["dropped"] > 0
    assert "whole from event" in snapstorm("status", "--testbed", scratch / "bed").stdout


def test_a_signal_ends_it_and_it_can_be_begun_again(explorable: Path) -> None:
    """Nothing is left behind, neither by a signal nor by a kill."""
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        words = command("explore", explorable, "--in-flight", "5", "--go-on", "--restore-every", "1")
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "points" in line:
                    break
            process.send_signal(number)
            process.communicate(timeout=GIVE_UP_SECONDS)
        assert process.returncode == status
        wait_until_none_left(explorable)
        assert (explorable / "explore").exists() is (number == signal.SIGKILL)
    again = snapstorm("explore", explorable, "--json")
    assert again.status == 0, again.stderr
    assert not (explorable / "explore").exists()
