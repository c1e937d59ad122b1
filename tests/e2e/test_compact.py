"""`snapstorm compact`: smaller, and nothing lost by it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.commandline import SMALL, snapstorm

BED = ("--target", "memory", "--clients", "2", "--actions", "30", *SMALL)


def test_a_compacted_testbed_goes_on(scratch: Path) -> None:
    """The ledger shrinks, what was proven is told the same, and the next run passes with its history."""
    bed = scratch / "bed"
    for _ in range(4):
        assert snapstorm("run", *BED, "--testbed", bed).status == 0
    told = snapstorm("history", "--testbed", bed, "--json").json
    bytes_before = (bed / "ledger.sqlite3").stat().st_size
    compacted = snapstorm("compact", "--testbed", bed, "--keep-runs", "1")
    assert compacted.status == 0, compacted.stderr
    assert "dropped" in compacted.stdout
    assert (bed / "ledger.sqlite3").stat().st_size < bytes_before
    again = snapstorm("history", "--testbed", bed, "--json").json
    for key in ("proven", "survival_by_age", "survival_by_version", "runs_total", "runs"):
        assert again[key] == told[key]
    ran = snapstorm("run", *BED, "--testbed", bed, "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["restores_verified_earlier_runs"] > 0


def test_bad_input_is_refused(scratch: Path) -> None:
    """No testbed, and a number that keeps nothing: exit 2, one line, nothing made."""
    for words in (("--testbed", scratch / "none"), ("--testbed", scratch / "none", "--keep-runs", "0")):
        refused = snapstorm("compact", *words)
        assert (refused.status, len(refused.stderr.splitlines())) == (2, 1)
    assert not (scratch / "none").exists()
