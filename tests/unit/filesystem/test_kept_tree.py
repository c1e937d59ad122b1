"""What is kept of a restored tree."""

from __future__ import annotations

import os
from pathlib import Path

from snapstorm.filesystem.kept_tree import _copy_file


def test_special_files_are_not_copied(tmp_path: Path) -> None:
    """Reading one might never end; files, and their times, are copied."""
    os.mkfifo(tmp_path / "p")
    (tmp_path / "f").write_bytes(b"x")
    os.utime(tmp_path / "f", ns=(1, 2))
    for name in ("p", "f"):
        _copy_file(str(tmp_path / name), str(tmp_path / f"copy of {name}"))
    assert not (tmp_path / "copy of p").exists()
    assert (tmp_path / "copy of f").read_bytes() == b"x"
    assert (tmp_path / "copy of f").stat().st_mtime_ns == 2
