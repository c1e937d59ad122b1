"""The real Kopia before a storage that refuses, lags or lies: nothing that was promised is lost."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.commandline import SMALL, scenario, snapstorm
from tests.e2e.test_faults import faults_of, go_on, struck_by
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("nothing_left")

BEHIND_THE_GATEWAY = ("--repository", "gateway", "--clients", "2", *SMALL)


@pytest.mark.parametrize(
    "faults",
    [
        "storage-lost-answer,storage-keeps-half",
        *(
            pytest.param(faults, marks=pytest.mark.long)
            for faults in ("storage-refuses", "storage-lags", "storage-lies")
        ),
    ],
)
def test_nothing_is_lost_and_all_recover(faults: str, scratch: Path) -> None:
    """Each fault strikes, is recorded with what it struck, and has healed before all is restored."""
    bed = scratch / "bed"
    ran = snapstorm(
        "run", "--testbed", bed, "--actions", "8", "--seed", "3", "--json", *BEHIND_THE_GATEWAY, "--faults", faults
    )
    assert ran.status == 0, ran.stderr
    assert ran.json["faults"]
    assert ran.json["sweep"] == {"verified": ran.json["snapshots"]["live"], "left": 0}
    assert ran.json["snapshots"]["in_doubt"] == 0
    outcomes = [outcome or "" for _, outcome in faults_of(bed)]
    assert [one for one in outcomes if one != "healed" and not one.startswith("nothing")] == []
    with closing(sqlite3.connect(bed / "gateway" / "log.sqlite3")) as log:
        (strikes,) = log.execute("SELECT count(*) FROM strikes").fetchone()
    assert strikes >= sum(ran.json["faults"].values())
    assert lies_in(bed) == 0


def lies_in(bed: Path) -> int:
    with closing(sqlite3.connect(bed / "gateway" / "log.sqlite3")) as log:
        (lies,) = log.execute("SELECT count(*) FROM lies").fetchone()
    return int(lies)


def stands_still_with_a_lie(run: subprocess.Popen[bytes], bed: Path) -> bool:
    """Stop the run; whether something is not as it was acknowledged. Otherwise it goes on."""
    time.sleep(0.05)
    run.send_signal(signal.SIGSTOP)
    if lies_in(bed):
        return True
    run.send_signal(signal.SIGCONT)
    return False


@pytest.mark.parametrize("fault", [pytest.param("storage-keeps-half", marks=pytest.mark.long), "storage-torn"])
def test_what_a_killed_run_has_left_by_half_is_put_right(fault: str, scratch: Path) -> None:
    """The next start stores what had been sent, says so, and nothing is lost. Half an index would keep Kopia from
    opening the repository at all."""
    bed = scratch / "bed"
    with struck_by(fault, bed, "--repository", "gateway") as run:
        wait_until(lambda: stands_still_with_a_lie(run, bed))
        run.kill()
    again = go_on(bed)
    assert again.status == 0, again.stderr
    assert f"which the fault {fault} of the killed run 1 had left" in again.stderr
    assert again.json["sweep"] == {"verified": again.json["snapshots"]["live"], "left": 0}
    assert [outcome for _, outcome in faults_of(bed) if outcome is None] == []


def test_locked_objects_are_worked_with(scratch: Path) -> None:
    """A full collection extends the locks; nobody is refused anything."""
    bed, config = scratch / "bed", scratch / "locked.toml"
    steps = scenario("write-random-files count = 3", "snapshot-root", "run-gc", "snapshot-root", "restore-snapshot")
    config.write_text(f'{steps}\n[parameters]\nobject-lock = "on"\n')
    refused = snapstorm("run", "--testbed", bed, "--config", config)
    assert refused.status == 2
    assert "object-lock needs a repository behind the gateway" in refused.stderr
    ran = snapstorm("run", "--testbed", bed, "--repository", "gateway", "--config", config, "--json")
    assert ran.status == 0, ran.stderr
    with closing(sqlite3.connect(bed / "gateway" / "log.sqlite3")) as log:
        locks = log.execute(
            "SELECT key, count(DISTINCT locked_until_ns) FROM writes WHERE locked_until_ns GROUP BY key"
        )
        assert any(times > 1 for _, times in locks)
