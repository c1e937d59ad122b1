"""The files of a Kopia repository in a directory: which they are, and what they hold."""

from __future__ import annotations

import os
from pathlib import Path

from snapstorm.model.abilities import Blob

_ENDING = ".f"
_FILES, _REST = "p", "q"
"""Packs of what is in files; packs of directories, and of manifests, most of which are soon out of date."""


def find_packs(directory: Path) -> list[Blob]:
    """The packs of a repository, in the order of their ids.

    A blob's file lies in directories named for the beginning of its id: `p12/3ab/4567...-s89.f`.
    """
    found = [
        Blob(blob_id, path, size_bytes, holds_files=prefix == _FILES)
        for prefix in (_FILES, _REST)
        for top in directory.glob(f"{prefix}*")
        for blob_id, path, size_bytes in _blobs_below(top, top.name)
    ]
    return sorted(found, key=lambda blob: blob.id)


def _blobs_below(path: Path, id_so_far: str) -> list[tuple[str, Path, int]]:
    if not path.is_dir():
        size_bytes = path.stat().st_size if path.exists() else 0
        return [(id_so_far.removesuffix(_ENDING), path, size_bytes)] if id_so_far.endswith(_ENDING) else []
    return [found for name in sorted(os.listdir(path)) for found in _blobs_below(path / name, id_so_far + name)]
