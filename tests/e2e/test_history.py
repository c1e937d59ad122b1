"""What a testbed has proven, as `snapstorm history` tells it, and what keeps it from being told wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.e2e.commandline import SMALL, snapstorm

BED = ("--target", "memory", "--clients", "2", "--actions", "30", "--seed", "5", *SMALL)


def test_history_tells_runs_survival_and_debt(scratch: Path) -> None:
    """Two runs: each live snapshot was proven, by which version, which way; in words and as JSON."""
    bed = scratch / "bed"
    for _ in range(2):
        assert snapstorm("run", *BED, "--testbed", bed).status == 0
    told = snapstorm("history", "--testbed", bed, "--json")
    assert told.status == 0, told.stderr
    assert [run["verdict"] for run in told.json["runs"]] == ["pass", "pass"]
    assert told.json["runs_total"] == 2
    assert told.json["snapshots"]
    for snapshot in told.json["snapshots"]:
        assert snapshot["last_verified"]["run"] == 2
        assert snapshot["last_verified"]["through"] in ("client", "auditor")
        assert snapshot["restore_debt"] < 1
    proven = told.json["survival_by_age"]["up to a day"]["snapshots"]
    assert proven >= len(told.json["snapshots"])
    assert [row["snapshots"] for row in told.json["survival_by_version"]] == [proven]
    words = snapstorm("history", "--testbed", bed)
    assert words.stdout.startswith(f"{proven} snapshot(s) up to ")
    assert "taken by -> restored by" in words.stdout


def test_a_snapshot_that_aged_is_swept_first(scratch: Path) -> None:
    """A bounded sweep takes the greatest debt first: what was proven long ago, and an older version took."""
    bed = scratch / "bed"
    assert snapstorm("run", *BED, "--testbed", bed).status == 0
    with sqlite3.connect(bed / "ledger.sqlite3") as ledger:
        live = ledger.execute("SELECT operation FROM expectations WHERE state = 'live' ORDER BY began_tick").fetchall()
        assert len(live) > 1
        ledger.execute(
            "UPDATE verifications SET at_utc = '2020-01-01T00:00:00Z' WHERE number ="
            " (SELECT last_verification FROM expectations WHERE operation = ?)",
            live[-1],
        )
    ledger.close()
    (first, *_) = snapstorm("history", "--testbed", bed, "--json").json["snapshots"]
    assert first["operation"] == live[-1][0]
    assert first["restore_debt"] > 365
    assert snapstorm("sweep", "--testbed", bed).status == 0
    assert all(told["restore_debt"] < 1 for told in snapstorm("history", "--testbed", bed, "--json").json["snapshots"])


def test_a_clock_that_went_backwards_is_refused(scratch: Path) -> None:
    """Ages and retention would be wrong: one line, and no new run."""
    bed = scratch / "bed"
    assert snapstorm("run", *BED, "--testbed", bed).status == 0
    with sqlite3.connect(bed / "ledger.sqlite3") as ledger:
        ledger.execute("UPDATE runs SET ended_utc = '2099-01-01T00:00:00Z'")
    ledger.close()
    refused = snapstorm("run", *BED, "--testbed", bed)
    assert refused.status == 3
    assert "clock" in refused.stderr
    assert "2099-01-01T00:00:00Z" in refused.stderr
    assert snapstorm("history", "--testbed", bed, "--json").json["runs_total"] == 1


def test_a_limit_below_one_is_refused(scratch: Path) -> None:
    """Bad usage says so, also before it says that there is no testbed."""
    assert snapstorm("history", "--testbed", scratch / "none", "--limit", "0").status == 2
    missing = snapstorm("history", "--testbed", scratch / "none")
    assert (missing.status, len(missing.stderr.splitlines())) == (2, 1)
