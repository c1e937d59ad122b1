"""The files of a Kopia repository in a directory: which they are, what they hold, and which rules they follow."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from snapstorm.model.abilities import Blob

ENDING = ".f"
_FILES, _REST = "p", "q"
"""Packs of what is in files; packs of directories, and of manifests, most of which are soon out of date."""
_SESSIONS = "s"
_COMPACTED = re.compile(r"xs(\d+)_[0-9a-f]+-(s[0-9a-f]+)-c(\d+)")
"""One of the COUNT index blobs into which a session has compacted an epoch (Kopia's `internal/completeset`)."""

_PACK = re.compile(rb"\b[pq][0-9a-f]{32}(?:-s[0-9a-f]+)?")
"""As in `invalid checksum at PACK offset ...`, `failed to get blob with ID PACK: BLOB not found`, `backed by missing
blob PACK` (measured, 0.19.0 and 0.23.1)."""


def packs_named(printed: bytes) -> frozenset[str]:
    """The ids of the packs that Kopia names in what it prints."""
    return frozenset(found.decode() for found in _PACK.findall(printed))


def find_packs(directory: Path) -> list[Blob]:
    """The packs of a repository, in the order of their ids."""
    return [
        Blob(blob_id, path, path.stat().st_size, holds_files=prefix == _FILES)
        for prefix in (_FILES, _REST)
        for blob_id, path in sorted(blobs(directory, prefix))
        if path.exists()
    ]


def count_sessions(directory: Path) -> int:
    """How many writers have said that they are at work, and not that they have ended."""
    return sum(1 for _ in blobs(directory, _SESSIONS))


def epochs_compacted_twice(directory: Path) -> list[str]:
    """In words, each epoch that has more than one complete set of compacted indexes."""
    return describe_double_compactions(blob_id for blob_id, _ in blobs(directory, "x"))


def describe_double_compactions(blob_ids: Iterable[str]) -> list[str]:
    """Of these blobs, in words, the epochs with more than one complete set: with two, contents were lost (#5371).

    A set is complete once it has as many blobs as each of their names says; what a killed writer leaves is not.
    """
    found: dict[int, dict[tuple[str, int], int]] = defaultdict(lambda: defaultdict(int))
    for blob_id in blob_ids:
        match = _COMPACTED.fullmatch(blob_id)
        if match is not None:
            found[int(match[1])][match[2], int(match[3])] += 1
    return [
        f"epoch {epoch} has {len(complete)} complete sets of compacted indexes, of sessions {', '.join(complete)}"
        for epoch, blobs_by_set in sorted(found.items())
        if len(complete := sorted(session for (session, count), blobs in blobs_by_set.items() if blobs == count)) > 1
    ]


def blobs(directory: Path, prefix: str = "", id_so_far: str = "") -> Iterator[tuple[str, Path]]:
    """The id and the file of each blob whose id begins so, without unfinished ones.

    A blob's file lies in directories named for the beginning of its id: `p12/3ab/4567...-s89.f`. Looks only where such
    blobs can be, because somebody may be waiting for one to signal a process.
    """
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                blob_id = id_so_far + entry.name
                length = min(len(blob_id), len(prefix))
                if blob_id[:length] != prefix[:length]:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from blobs(directory / entry.name, prefix, blob_id)
                elif blob_id.endswith(ENDING) and blob_id.startswith(prefix):
                    yield blob_id.removesuffix(ENDING), directory / entry.name
    except FileNotFoundError:
        return  # Its last blob was just deleted.
