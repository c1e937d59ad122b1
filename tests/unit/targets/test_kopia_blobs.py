"""The files of a Kopia repository: ids from paths, and epochs that were compacted twice."""

from __future__ import annotations

from pathlib import Path

from snapstorm.targets.kopia.blobs import (
    blobs,
    count_sessions,
    describe_double_compactions,
    epochs_compacted_twice,
    find_packs,
)

FIRST, SECOND = "s0123456789abcdef147", "sfedcba98765432100147"


def put(directory: Path, *names: str) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 7)


def test_ids_are_put_together_from_directories(tmp_path: Path) -> None:
    """Packs are found by their ids, whatever is unfinished or something else is left out."""
    put(tmp_path, f"p/12a/4567-{FIRST}.f", f"q/00b/89-{FIRST}.f", "p/12a/99.f.tmp.123", "x/n0_/1-c1.f", f"{FIRST}/y.f")
    packs = find_packs(tmp_path)
    assert [(pack.id, pack.holds_files, pack.size_bytes) for pack in packs] == [
        (f"p12a4567-{FIRST}", True, 7),
        (f"q00b89-{FIRST}", False, 7),
    ]
    assert count_sessions(tmp_path) == 1


def test_an_epoch_with_two_complete_sets_is_found(tmp_path: Path) -> None:
    """As #5371 leaves it: two sessions have each compacted the same epoch to its end."""
    put(
        tmp_path,
        f"x/s3_/aa-{FIRST}-c2.f",
        f"x/s3_/bb-{FIRST}-c2.f",
        f"x/s3_/cc-{SECOND}-c1.f",
        f"x/s4_/dd-{FIRST}-c1.f",
    )
    assert epochs_compacted_twice(tmp_path) == [
        f"epoch 3 has 2 complete sets of compacted indexes, of sessions {FIRST}, {SECOND}"
    ]


def test_what_a_killed_writer_leaves_is_no_set() -> None:
    """Half of a set beside a whole one breaks no rule, and neither do sets of different epochs."""
    halves = [f"xs3_aa-{FIRST}-c2", f"xs3_cc-{SECOND}-c1", f"xs4_cc-{SECOND}-c1", "xn3_aa-c1", "xr0_3_aa-c1"]
    assert describe_double_compactions(halves) == []


def ids(directory: Path, prefix: str = "") -> list[str]:
    return sorted(blob_id for blob_id, _ in blobs(directory, prefix))


def test_blobs_are_found_by_the_beginning_of_their_ids(tmp_path: Path) -> None:
    """Directories are part of the id; files that are not finished are not blobs."""
    for name in ("x/n0_/f07-s1-c1.f", "x/e1.f", "q/b8e/7d5-s2.f", "q/b8e/7d6-s2.f.tmp.1", "kopia.repository.f"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert ids(tmp_path) == ["kopia.repository", "qb8e7d5-s2", "xe1", "xn0_f07-s1-c1"]
    assert ids(tmp_path, "x") == ["xe1", "xn0_f07-s1-c1"]
    assert ids(tmp_path, "xn0_f") == ["xn0_f07-s1-c1"]
    assert ids(tmp_path / "missing") == []
