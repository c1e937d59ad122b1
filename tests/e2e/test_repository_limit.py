"""`--repository-bytes-max`: a testbed doesn't fill the disk, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm

LIMIT_BYTES = 12_000_000


@pytest.mark.parametrize("target", ["memory", "kopia"])
def test_a_repository_stays_within_its_limit(scratch: Path, target: str) -> None:
    """Fixed steps that would store far more: what does not fit is not taken, the rest is verified, a note says why."""
    config = scratch / "grow.toml"
    files = "size_bytes = 400000, odd_percent = 0"
    write_little, write_much = f"write-random-files count = 5, {files}", f"write-random-files count = 20, {files}"
    config.write_text(scenario(write_little, "snapshot-root", "restore-snapshot", write_much, "snapshot-root"))
    bed = scratch / "bed"
    words = ("run", "--config", config, "--target", target, "--testbed", bed, "--json")
    ran = snapstorm(*words, "--repository-bytes-max", f"{LIMIT_BYTES}")
    assert ran.status == 0, ran.stderr
    assert ran.json["actions"]["snapshot-root"]["no_op"] >= 1
    assert ran.json["sweep"]["verified"] >= 2
    assert any("bytes, so a snapshot of" in note for note in ran.json["notes"])
    assert sum(path.stat().st_size for path in (bed / "repository").rglob("*") if path.is_file()) < LIMIT_BYTES


@pytest.mark.parametrize("target", ["memory", pytest.param("kopia", marks=pytest.mark.long)])
def test_a_testbed_at_its_limit_goes_on(scratch: Path, target: str) -> None:
    """Run after run on a repository that is soon full: each takes snapshots, verifies, and has room made at its end."""
    words = ("run", "--target", target, "--testbed", scratch / "bed", "--clients", "2", "--actions", "40", "--json")
    small = ("--option", "write-random-files.size_bytes=100000..300000", "--option", "write-random-files.count=2..6")
    weights = ("--weights", "snapshot-root=40", "--weights", "write-random-files=60", "--weights", "expire=0")
    making_room_seconds = 0.0
    for seed in range(4 if target == "memory" else 2):
        ran = snapstorm(*words, *small, *weights, "--seed", f"{seed}", "--repository-bytes-max", "20MB")
        assert ran.status == 0, ran.stderr
        assert ran.json["snapshots"]["live"] > 0
        making_room_seconds = ran.json["seconds_by_part"]["making_room"]
    assert making_room_seconds > 0


def test_what_is_no_size_is_refused(scratch: Path) -> None:
    """Exit 2, one line, nothing made."""
    for size in ("lots", "0", "-1"):
        refused = snapstorm("run", "--testbed", scratch / "bed", "--target", "memory", f"--repository-bytes-max={size}")
        assert (refused.status, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    assert not (scratch / "bed").exists()
