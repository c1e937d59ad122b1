"""What lies in a repository of restic, and how a restored tree is moved to where it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.targets.restic import snapshotter
from snapstorm.targets.restic.blobs import blobs_named, count_locks, find_irregularities, find_packs

PACK = "ab" + "0" * 62


def file(path: Path, size_bytes: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size_bytes))
    return path


def test_packs_are_found_by_their_names(tmp_path: Path) -> None:
    """Unfinished files are none, and a blob's id is what messages have at least."""
    small, large = file(tmp_path / "data" / "ab" / PACK), file(tmp_path / "data" / "cd" / ("cd" * 32), 30_000)
    file(tmp_path / "data" / "ab" / f"{PACK}.rest-server-temp")
    found = find_packs(tmp_path)
    assert [(blob.id, blob.path, blob.holds_files) for blob in found] == [
        ("ab000000", small, False),
        ("cdcdcdcd", large, True),
    ]


def test_what_belongs_to_no_repository_is_told(tmp_path: Path) -> None:
    """Locks and unfinished files are judged elsewhere."""
    for name in ("config", f"data/ab/{PACK}", f"data/ab/{PACK}-tmp-123", f"index/{PACK}", f"locks/{PACK}"):
        file(tmp_path / name)
    assert find_irregularities(tmp_path) == []
    assert count_locks(tmp_path) == 1
    file(tmp_path / "data" / "cd" / PACK)
    file(tmp_path / "snapshots" / "notes.txt")
    assert [words.split("'")[1] for words in find_irregularities(tmp_path)] == [
        f"data/cd/{PACK}",
        "snapshots/notes.txt",
    ]


@pytest.mark.parametrize("digits", [8, 10, 64])
def test_a_pack_is_named_by_its_first_digits(digits: int) -> None:
    """Numbers that are too short or too long are no names."""
    assert blobs_named(f"Load(<data/{PACK[:digits]}>, 0, 0) failed".encode()) == {"ab000000"}
    assert blobs_named(b"abcdef0 " + b"a" * 65) == frozenset()


def move_out(names: list[str | None], destination: Path, aside: Path) -> bool:
    return snapshotter._move_out(names, destination, aside)


def test_a_restored_tree_is_moved_and_nothing_is_left(tmp_path: Path) -> None:
    """Through directories that hold one entry each, of a name that is not known."""
    file(tmp_path / "aside" / "a" / "odd" / "src" / "file")
    assert move_out(["a", None, "src"], tmp_path / "tree", tmp_path / "aside")
    assert (tmp_path / "tree" / "file").exists()
    assert not (tmp_path / "aside").exists()


def test_what_was_restored_besides_stays_to_be_seen(tmp_path: Path) -> None:
    """Beside the tree, where it counts as something that nobody asked for."""
    file(tmp_path / "aside" / "src" / "file")
    file(tmp_path / "aside" / "other")
    assert move_out(["src"], tmp_path / "tree", tmp_path / "aside")
    assert (tmp_path / "aside" / "other").exists()


def test_nothing_that_was_restored_is_nothing_at_its_place(tmp_path: Path) -> None:
    """Also where one name is not known and there are several entries."""
    assert not move_out(["src"], tmp_path / "tree", tmp_path / "aside")
    file(tmp_path / "aside" / "one")
    file(tmp_path / "aside" / "two")
    assert not move_out([None], tmp_path / "tree", tmp_path / "aside")
    assert not (tmp_path / "tree").exists()
