"""What a fault is about to break is found again, wherever the testbed is by then."""

from __future__ import annotations

from pathlib import Path

from snapstorm.ledger.ledger import Ledger


def test_paths_below_the_testbed_go_with_it(tmp_path: Path) -> None:
    """Others, and what is no path, stay as they are."""
    bed, moved = tmp_path / "bed", tmp_path / "moved"
    bed.mkdir()
    (tmp_path / "link").symlink_to(bed)
    ledger = Ledger.open(tmp_path / "link" / "ledger.sqlite3")
    run = ledger.begin_run(seed=1, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
    number = ledger.begin_fault(run, "lose-blob", tick=1, began_seconds=0.0)
    details = {
        "path": str(bed / "repository" / "p"),
        "paths": [str(tmp_path / "link" / "q"), "/elsewhere/bed"],
        "like": f"{bed}-other/p",
        "relative": "repository/p",
        "size_bytes": 7,
    }
    ledger.detail_fault(number, details)
    ledger.close()
    bed.rename(moved)
    ledger = Ledger.open(moved / "ledger.sqlite3")
    (left,) = ledger.open_faults()
    ledger.close()
    assert left.details == {
        **details,
        "path": str(moved / "repository" / "p"),
        "paths": [str(moved / "q"), "/elsewhere/bed"],
    }
