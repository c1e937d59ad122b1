"""A run in which snapshots expire by a policy, and what it finds of Kopia's own retention."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.commandline import Ran, snapstorm

TESTING = Path(".tools/bin/kopia-0.23.1-testing").absolute()

STEPS = """
clients = 1
virtual_start = "2025-12-21T12:00:00Z"
rounds = 5
steps = [
    { action = "write-random-files", count = 2, size_bytes = "1..2000" },
    { action = "snapshot-root" },
    { action = "advance-time", alone = true, days = 7 },
]
[retention]
"""
"""Sundays: of the weeks 51 and 52 of 2025, and 1 to 3 of 2026."""


def run(scratch: Path, keep: str, *more: str | Path) -> Ran:
    config = scratch / "sundays.toml"
    config.write_text(f"{STEPS}{keep}\n")
    return snapstorm("run", "--config", config, "--testbed", scratch / "bed", "--seed", "1", "--json", *more)


def on_kopia(scratch: Path, keep: str) -> Ran:
    return run(scratch, keep, "--kopia", TESTING, "--repository", "gateway")


def test_week_1_that_kopia_takes_for_january_is_found(scratch: Path) -> None:
    """By a run that knows nothing of it, as one violation of one guarantee, with the policy, the kinds and the ids."""
    ran = on_kopia(scratch, "weekly = 10\nmonthly = 12")
    assert ran.status == 1, ran.stderr
    (violation,) = ran.json["violations"]
    assert violation["guarantee"] == "kept-as-promised"
    assert "the policy (weekly 10, monthly 12) keeps it as weekly 2026-W01" in violation["detail"]
    assert "monthly 2026-01" in violation["detail"]
    document = (Path(violation["evidence"]) / "retention.txt").read_text()
    assert document.count("NOT LISTED") == 1
    again = snapstorm("recheck", scratch / "bed", "--json")
    assert again.status == 1
    assert [found["today"] for found in again.json["violations"]] == ["still"]


def test_a_collision_that_is_known_is_listed_and_not_counted(scratch: Path) -> None:
    """The run passes, and so it does when it is judged again; without being told, it would not."""
    keep, more = "weekly = 10\nmonthly = 12", ("--kopia", TESTING, "--repository", "gateway")
    ran = run(scratch, keep, *more, "--known", "weeks-expire")
    assert ran.status == 0, ran.stderr
    assert ran.json["violations"] == []
    assert ran.json["known_bugs"] == {"weeks-expire": 1}
    (known,) = ran.json["known_violations"]
    assert known["guarantee"] == "kept-as-promised"
    assert "keeps it as weekly 2026-W01" in known["detail"]
    status = snapstorm("status", "--testbed", scratch / "bed").stdout
    assert "(accepted: known bug weeks-expire: retention takes an ISO week for a month" in status
    assert snapstorm("recheck", scratch / "bed").status == 0
    explored = snapstorm("explore", scratch / "bed", "--every", "10", "--restore-every", "1", "--json")
    assert explored.status == 0, explored.stdout
    assert explored.json["accepted_losses"] == 1
    assert explored.json["restores_compared"] > 0


def test_a_run_is_judged_again_with_what_is_known_since(scratch: Path) -> None:
    """A violation that a bug predicts counts no more."""
    assert on_kopia(scratch, "weekly = 10\nmonthly = 12").status == 1
    assert snapstorm("recheck", scratch / "bed").status == 1
    again = snapstorm("recheck", scratch / "bed", "--known", "weeks-expire", "--json")
    assert again.status == 0
    assert [found["is_accepted"] for found in again.json["violations"]] == [True]


@pytest.mark.parametrize(("keep", "live"), [("weekly = 10", 5), ("weekly = 2\nlatest = 1", 2), ("monthly = 12", 2)])
def test_kopia_keeps_what_can_not_collide(keep: str, live: int, scratch: Path) -> None:
    """The weeks or the months alone; what is not kept expires, and is counted apart."""
    ran = on_kopia(scratch, keep)
    assert ran.status == 0, ran.stderr
    assert ran.json["snapshots"] == {"live": live, "deleted": 0, "expired": 5 - live, "in_doubt": 0}


def test_a_testbed_keeps_its_policy_and_counts_what_expired(scratch: Path) -> None:
    """Another one that is asked for later changes nothing, which is told; `status` counts as the run does."""
    first = run(scratch, "weekly = 2", "--target", "memory")
    assert first.status == 0, first.stderr
    again = run(scratch, "daily = 5", "--target", "memory")
    assert again.status == 0, again.stderr
    assert "keeps the retention that it was made with: weekly 2" in again.stderr
    status = snapstorm("status", "--testbed", scratch / "bed", "--json")
    assert (
        status.json["snapshots"]
        == again.json["snapshots"]
        == {
            "live": 2,
            "deleted": 0,
            "expired": 8,
            "in_doubt": 0,
        }
    )
    words = snapstorm("status", "--testbed", scratch / "bed").stdout
    assert "2 live, 0 deleted, 8 expired, 0 in doubt" in words


def test_a_planted_collision_is_caught_in_the_simulated_target(scratch: Path) -> None:
    """The same scenario, by name of the defect."""
    ran = run(scratch, "weekly = 10\nmonthly = 12", "--target", "memory:retention-mixes-weeks-and-months")
    assert ran.status == 1, ran.stderr
    assert {violation["guarantee"] for violation in ran.json["violations"]} == {"kept-as-promised"}
