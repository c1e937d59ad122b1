"""Killed right before or right after any commit of its ledger, a run loses nothing and invents nothing."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm

from snapstorm.ledger.crash_points import VARIABLE

SCENARIO = scenario(
    "write-random-files count = 3, size_bytes = 1000",
    "snapshot-root repeat = 3",
    "restore-random-snapshot",
    "delete-random-snapshot",
    "expire keep_latest = 1",
    "restore-into-data-directory",
    "modify-files",
    "snapshot-root",
)
WITH_RETENTION = scenario(
    "write-random-files count = 3, size_bytes = 1000",
    "snapshot-root repeat = 4",
    "restore-random-snapshot",
    "delete-random-snapshot",
    "snapshot-root repeat = 2",
    "modify-files",
    "snapshot-root",
)
WITH_RETENTION += "[retention]\nlatest = 2\n"
"""Most creations also end a snapshot."""
COMMITS_MAX = 400


def rows(database: Path, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def live(bed: Path) -> set[str]:
    """The ids of the snapshots that the ledger promises."""
    found = rows(bed / "ledger.sqlite3", "SELECT snapshot FROM expectations WHERE state = 'live'")
    return {row[0] for row in found}


def crash(scratch: Path, commit: int, when: str, steps: str = SCENARIO) -> bool:
    """Crash a run on a testbed of its own, go on, and check. Returns whether there was such a commit."""
    bed, config = scratch / f"bed-{commit}-{when}", scratch / "steps.toml"
    config.write_text(steps)
    words = ("run", "--config", config, "--target", "memory", "--testbed", bed, "--seed", "11", "--json")
    crashed = snapstorm(*words, env={VARIABLE: f"{commit}:{when}"})
    if crashed.status == 0:
        return False
    assert crashed.status == -signal.SIGKILL, crashed.stderr
    ledger = bed / "ledger.sqlite3"
    has_history = ledger.exists() and rows(ledger, "SELECT 1 FROM sqlite_master WHERE name = 'runs'")
    promised = live(bed) if has_history else set()
    if has_history and rows(ledger, "SELECT 1 FROM expectations"):
        swept = snapstorm("sweep", "--testbed", bed, "--json")
        # With nothing to restore, a sweep has shown nothing; that is no pass.
        assert swept.status == (0 if live(bed) else 4), swept.stderr
        assert promised <= live(bed), "a promise was lost"
        assert live(bed) == {
            row[0] for row in rows(bed / "repository" / "snapshots.sqlite3", "SELECT id FROM snapshots")
        }
    again = snapstorm(*words)
    assert again.status == 0, again.stderr
    assert again.json["snapshots"]["in_doubt"] == 0
    assert rows(ledger, "SELECT id FROM operations WHERE outcome IS NULL") == []
    return True


@pytest.mark.parametrize(("commit", "when"), [(1, "before"), (2, "after"), (5, "after"), (9, "before"), (14, "after")])
def test_a_crash_at_a_commit_loses_nothing(scratch: Path, commit: int, when: str) -> None:
    """A few of all the commits of a run; the others are walked in the long test."""
    assert crash(scratch, commit, when)


@pytest.mark.parametrize("commit", range(16, 46, 6))
def test_a_crash_in_the_midst_of_work_loses_nothing(scratch: Path, commit: int) -> None:
    """While clients write, snapshot, restore and delete."""
    assert crash(scratch, commit, "before" if commit % 12 else "after")


@pytest.mark.parametrize("commit", range(9, 30, 4))
def test_a_crash_while_snapshots_expire_loses_nothing(scratch: Path, commit: int) -> None:
    """What the policy keeps is there, and of what it does not keep nothing is promised."""
    assert crash(scratch, commit, "before" if commit % 8 == 1 else "after", WITH_RETENTION)


@pytest.mark.long
@pytest.mark.parametrize("steps", [SCENARIO, WITH_RETENTION], ids=["all-kept", "with-retention"])
def test_a_crash_at_any_commit_loses_nothing(scratch: Path, steps: str) -> None:
    """Each commit of a whole run, before and after it."""
    for when in ("before", "after"):
        commit = 1
        while crash(scratch, commit, when, steps):
            commit += 1
            assert commit < COMMITS_MAX, "the run has no end"
        assert commit > 40, "the walk has met too few commits to mean anything"
