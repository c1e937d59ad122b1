"""Damage to restored trees: one thing, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from snapstorm.defects.damage import flip_a_byte


def test_damage_leaves_all_else_as_it_was(scratch: Path) -> None:
    """A flipped byte changes one bit of one file: not its length, and no time of it or of its directory."""
    tree = scratch / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"content")
    os.utime(tree / "file", ns=(1, 2))
    os.utime(tree, ns=(3, 4))
    blow = flip_a_byte(tree)
    assert blow is not None
    assert (tree / "file").read_bytes() == b"content"
    blow()
    damaged = (tree / "file").read_bytes()
    assert [one ^ other for one, other in zip(damaged, b"content", strict=True)] == [0, 0, 0, 0x01, 0, 0, 0]
    assert (tree / "file").stat().st_mtime_ns == 2
    assert tree.stat().st_mtime_ns == 4
