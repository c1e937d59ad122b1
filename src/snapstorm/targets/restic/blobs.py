"""The files of a restic repository in a directory: which they are, and which rules their names follow.

rest-server stores a repository exactly as restic itself does in a directory (0.14.0 and 0.18.1, measured).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from snapstorm.model.abilities import Blob

NAMED_DIGITS = 8
"""Messages name a pack by 8, 10 or all 64 digits of its id."""

_LARGE_BYTES_MIN = 20_000
"""What is in files and what is known about them go to packs of their own, which look alike. In most trees of tests
directories need less."""

_HEXADECIMAL = re.compile(rb"(?<![0-9a-f])[0-9a-f]{8,64}(?![0-9a-f])")
_ID = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"config|data/([0-9a-f]{2})/\1[0-9a-f]{62}|(?:index|keys|locks|snapshots)/[0-9a-f]{64}")
UNFINISHED = re.compile(r"\.rest-server-temp|-tmp-")
"""What rest-server, and restic in a directory, have in the names of files that they are still writing."""


def blobs_named(printed: bytes) -> frozenset[str]:
    """The ids of the packs that restic names in what it prints, and of other things, each by its first digits."""
    return frozenset(found[:NAMED_DIGITS].decode() for found in _HEXADECIMAL.findall(printed))


def find_packs(repository: Path) -> list[Blob]:
    """The packs of a repository, in the order of their ids."""
    found: list[Blob] = []
    for path in sorted(repository.glob("data/??/*")):
        if not _ID.fullmatch(path.name):
            continue
        try:
            size_bytes = path.stat().st_size
        except FileNotFoundError:
            continue
        found.append(Blob(path.name[:NAMED_DIGITS], path, size_bytes, holds_files=size_bytes >= _LARGE_BYTES_MIN))
    return found


def count_locks(repository: Path) -> int:
    """How many processes have said that they are at work, and not that they have ended."""
    return sum(1 for path in repository.glob("locks/*") if _ID.fullmatch(path.name))


def find_irregularities(repository: Path) -> list[str]:
    """In words, the files that no repository of restic's has. Unfinished ones are judged as leaks, after the work."""
    return [
        f"there is a file {path!r}, which belongs to no repository of restic's"
        for path in sorted(_files_below(repository))
        if not _FILE.fullmatch(path) and not UNFINISHED.search(path)
    ]


def _files_below(directory: Path, path_so_far: str = "") -> Iterator[str]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                path = path_so_far + entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield from _files_below(directory / entry.name, f"{path}/")
                else:
                    yield path
    except FileNotFoundError:
        return
