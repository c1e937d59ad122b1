"""Virtual time: days of real Kopia in seconds, through kills, and refused where it can't be."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.commandline import snapstorm

from snapstorm.ledger.crash_points import VARIABLE
from snapstorm.targets.kopia.discovery import find_virtual_kopia

DAYS = """
clients = 2
virtual_start = 2022-01-01
rounds = 3
steps = [
    { action = "write-random-files", count = 3, size_bytes = 5000 },
    { action = "snapshot-root" },
    { action = "run-gc", alone = true, every = 2 },
    { action = "restore-random-snapshot", every = 3 },
    { action = "advance-time", days = 2, alone = true },
]
"""
DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def days(scratch: Path) -> Path:
    config = scratch / "days.toml"
    config.write_text(DAYS)
    return config


def rows(bed: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as connection:
        return connection.execute(query).fetchall()


def virtual_days(bed: Path) -> float:
    """How many virtual days the testbed has come to, by the dates of what is stored."""
    with closing(sqlite3.connect(next((bed / "gateway").glob("*.sqlite3")))) as connection:
        first, last = connection.execute("SELECT min(at_ns), max(at_ns) FROM writes").fetchone()
    return float((last - first) / DAY_NS)


@pytest.mark.usefixtures("nothing_left")
def test_days_pass_with_kopia_and_a_testbed_goes_on_in_them(scratch: Path, days: Path) -> None:
    """Kopia dates its snapshots by virtual time, or they would be misdated; the gateway dates what is stored."""
    bed = scratch / "bed"
    ran = snapstorm("run", "--config", days, "--testbed", bed, "--seed", "1", "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["virtual"]["began_utc"] == "2022-01-01T00:00:00Z"
    assert int(ran.json["virtual"]["days"]) == 6
    assert "virtual    6.0 days lived, from 2022-01-01T00:00:00Z to 2022-01-07T" in ran.stderr
    assert ran.json["target"]["executable"] == str(find_virtual_kopia().path)
    assert 5.9 < virtual_days(bed) < 6.1
    said = [found[0] for found in rows(bed, "SELECT at_utc FROM verifications")]
    assert all(moment.startswith("2022-01-0") for moment in said)
    swept = snapstorm("sweep", "--testbed", bed, "--json")
    assert swept.status == 0, swept.stderr
    assert swept.json["virtual"]["began_utc"] >= ran.json["virtual"]["ended_utc"]
    rechecked = snapstorm("recheck", bed)
    assert rechecked.status == 0, rechecked.stderr


@pytest.mark.usefixtures("nothing_left")
def test_clocks_that_are_apart(scratch: Path, days: Path) -> None:
    """Each client's snapshots are dated by its own clock."""
    days.write_text(f'clock_skews = ["5h", "-2d"]\n{DAYS}')
    ran = snapstorm("run", "--config", days, "--testbed", scratch / "bed", "--virtual-days", "2", "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["virtual"]["clocks_ahead_seconds"] == {
        "client-1@snapstorm": 18_000.0,
        "client-2@snapstorm": -172_800.0,
    }
    assert int(ran.json["virtual"]["days"]) == 2


def killed_between_record_and_act(scratch: Path, words: tuple[str | Path, ...], bed: Path) -> None:
    """Run until a kill right after the commit that records the first jump: nobody has been told the new time yet."""
    for commit in range(8, 80):
        tried = scratch / f"tried-{commit}"
        ran = snapstorm(*words, "--testbed", tried, env={VARIABLE: f"{commit}:after"})
        assert ran.status == -signal.SIGKILL, ran.stderr
        if rows(tried, "SELECT 1 FROM clock_jumps"):
            assert rows(tried, "SELECT 1 FROM operations WHERE action = 'advance-time' AND outcome IS NULL")
            tried.rename(bed)
            return
    raise AssertionError("no jump was recorded")


def test_a_jump_that_was_recorded_has_happened(scratch: Path) -> None:
    """Whoever is killed before it acts on it: time goes on from there, and later runs still go on."""
    bed, config = scratch / "bed", scratch / "jump.toml"
    config.write_text(
        'clients = 1\nvirtual_start = 2022-01-01\nsteps = [{ action = "advance-time", days = 40, alone = true },\n'
        '    { action = "write-random-files", count = 1 }, { action = "snapshot-root" }]\n'
    )
    words = ("run", "--config", config, "--target", "memory", "--seed", "3", "--json")
    killed_between_record_and_act(scratch, words, bed)
    again = snapstorm(*words, "--testbed", bed)
    assert again.status == 0, again.stderr
    assert again.json["virtual"]["began_utc"].startswith("2022-02-10T00:0")
    assert again.json["virtual"]["ended_utc"].startswith("2022-03-22T00:0")


@pytest.mark.usefixtures("nothing_left")
def test_kopia_goes_on_after_a_kill_between_record_and_act(scratch: Path, days: Path) -> None:
    """Nothing that was acknowledged before the jump is lost or misdated after it."""
    bed = scratch / "bed"
    words = ("run", "--config", days, "--testbed", bed, "--seed", "1", "--json")
    first = snapstorm(*words)
    assert first.status == 0, first.stderr
    jumps = len(rows(bed, "SELECT 1 FROM clock_jumps"))
    commits = 0
    while len(rows(bed, "SELECT 1 FROM clock_jumps")) == jumps:
        commits += 12
        assert commits < 400
        killed = snapstorm(*words, env={VARIABLE: f"{commits}:after"})
        assert killed.status == -signal.SIGKILL, killed.stderr
    went_on = snapstorm(*words)
    assert went_on.status == 0, went_on.stderr
    assert went_on.json["restores_verified_earlier_runs"] > 0
    assert went_on.json["virtual"]["began_utc"] > first.json["virtual"]["ended_utc"]


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("--repository", "elsewhere"), 2, "must be behind the gateway"),
        (("--program", "STOCK"), 3, "was not built with -tags=testing; `make tools-all` builds"),
        (("--virtual-days", "0"), 2, "--virtual-days must be at least 1, not 0"),
    ],
)
def test_bad_input(
    scratch: Path, days: Path, real_kopia: Path, words: tuple[str, ...], status: int, complaint: str
) -> None:
    """One line, before anything is changed."""
    named = [str(real_kopia) if word == "STOCK" else word for word in words]
    ran = snapstorm("run", "--config", days, "--testbed", scratch / "bed", *named, cwd=scratch)
    assert ran.status == status
    assert complaint in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert {path.name for path in scratch.iterdir()} <= {days.name}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (DAYS.replace("virtual_start = 2022-01-01", ""), "has advance-time, which needs a virtual_start"),
        (DAYS.replace("2022-01-01", '"long ago"'), "is no moment: write it as 2022-01-01"),
        (DAYS.replace("days = 2, alone = true", "days = 2"), "possible only in a step with alone = true"),
        (DAYS.replace("days = 2", "days = 0"), "time only goes forward"),
        (f'clock_skews = ["soon"]\n{DAYS}', "is no skew"),
    ],
)
def test_scenarios_that_can_not_be(scratch: Path, text: str, complaint: str) -> None:
    config = scratch / "days.toml"
    config.write_text(text)
    ran = snapstorm("run", "--config", config, "--testbed", scratch / "bed")
    assert ran.status == 2
    assert complaint in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_only_scenarios_that_advance_time_last_for_days(scratch: Path) -> None:
    ran = snapstorm("run", "--virtual-days", "5", "--testbed", scratch / "bed")
    assert ran.status == 2
    assert "scenario randomized does not advance time in its steps" in ran.stderr
