"""Specimens: one small entry of every kind that a target keeps, with a name of every shape."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from snapstorm.filesystem.allowances import (
    PLAIN_DIRECTORY_MODES,
    SPECIALS,
    USER_XATTR_NAMES,
    Allowances,
    draw_xattr_value,
)
from snapstorm.filesystem.descriptors import joined, split
from snapstorm.filesystem.names import non_utf8_names, odd_names, plain_name
from snapstorm.filesystem.planning import (
    MTIME_MIN_NS,
    MTIME_OLD_MIN_NS,
    NewDirectory,
    NewEntry,
    NewFile,
    NewHardLink,
    NewLink,
    dangling_targets,
    draw_mtime_ns,
    draw_special,
    draw_xattrs,
)
from snapstorm.model.change_kinds import Oddity
from snapstorm.model.content import BLOCK_BYTES, HEADER_BYTES, HOLE, draw_stream, overwritten, whole_file
from snapstorm.model.manifest import Segment

_SIZES_BYTES = (1, HEADER_BYTES, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES)
_SIZE_BYTES = 40
"""Size of specimens that test something other than size."""
_SPARSE_BLOCKS = 16


PlannedSpecimen: TypeAlias = tuple[bytes, NewEntry]
"""The directory that an entry belongs to, and the entry."""


class _Planner:
    """Plans the specimens below one directory. Each is complete: no draw is left to make."""

    def __init__(self, directory: bytes, allowed: Allowances, draws: random.Random) -> None:
        self._directory = directory
        self._allowed = allowed
        self._draws = draws
        self._names: set[bytes] = set()

    def plan(self) -> Iterator[PlannedSpecimen]:
        """All specimens, each directory before its entries."""
        directories = list(self._directories())
        for directory in directories:
            yield split(directory.path)[0], directory
        # Files go into directories of every mode, so that none of those stays empty.
        homes = itertools.cycle([self._directory, *(directory.path for directory in directories)])
        for file in self._files():
            yield next(homes), file
        named = self._file()
        yield self._directory, named
        for entry in self._others(named.name):
            yield self._directory, entry

    def _keeps(self, oddity: Oddity) -> bool:
        return oddity in self._allowed.oddities

    def _directories(self) -> Iterator[NewDirectory]:
        """One directory of each mode, the last one inside the first."""
        odd_modes = self._allowed.odd_directory_modes if self._keeps(Oddity.ODD_MODE) else ()
        modes = (*PLAIN_DIRECTORY_MODES, *odd_modes)
        paths: list[bytes] = []
        for mode in modes:
            parent = paths[0] if len(paths) == len(modes) - 1 else self._directory
            paths.append(joined(parent, self._name()))
            yield NewDirectory(paths[-1], mode, draw_mtime_ns(self._draws))

    def _files(self) -> Iterator[NewFile]:
        draws, allowed = self._draws, self._allowed
        sizes_bytes = (0, *_SIZES_BYTES) if self._keeps(Oddity.EMPTY_FILE) else _SIZES_BYTES
        yield from (self._file(size_bytes=size_bytes) for size_bytes in sizes_bytes)
        yield from (self._file(mode=mode) for mode in allowed.file_modes)
        if self._keeps(Oddity.ODD_MODE):
            yield from (self._file(mode=mode) for mode in allowed.odd_file_modes)
        if self._keeps(Oddity.ODD_NAME):
            yield from (self._file(name=name) for name in odd_names(allowed.names, draws))
        if self._keeps(Oddity.NON_UTF8_NAME):
            yield from (self._file(name=name) for name in non_utf8_names(allowed.names, draws))
        if self._keeps(Oddity.OLD_MTIME):
            yield self._file()._replace(mtime_ns=draw_mtime_ns(draws, MTIME_OLD_MIN_NS, MTIME_MIN_NS))
        if self._keeps(Oddity.XATTR):
            yield self._file()._replace(xattrs=draw_xattrs(allowed.xattr_names, draws))
            for name in allowed.xattr_names:
                if name not in USER_XATTR_NAMES:
                    yield self._file()._replace(xattrs=((name, draw_xattr_value(name, draws)),))
        if self._keeps(Oddity.SPARSE_FILE):
            yield self._sparse_file()

    def _others(self, file_name: bytes) -> Iterator[NewEntry]:
        """Links, an empty directory, a hard link and special files. The links point to the file of that name."""
        draws = self._draws
        targets: Sequence[bytes] = [file_name, b"."] if self._keeps(Oddity.SYMLINK) else []
        if self._keeps(Oddity.DANGLING_SYMLINK):
            targets = [*targets, *dangling_targets(self._name())]
        yield from (NewLink(self._name(), target, draw_mtime_ns(draws)) for target in targets)
        if self._keeps(Oddity.EMPTY_DIRECTORY):
            path = joined(self._directory, self._name())
            yield NewDirectory(path, draws.choice(PLAIN_DIRECTORY_MODES), draw_mtime_ns(draws))
        if self._keeps(Oddity.HARD_LINK):
            yield NewHardLink(self._name(), joined(self._directory, file_name))
        for oddity in SPECIALS:
            if self._keeps(oddity):
                yield draw_special(self._name(), oddity, self._allowed, draws)

    def _file(self, *, name: bytes | None = None, size_bytes: int = _SIZE_BYTES, mode: int | None = None) -> NewFile:
        draws = self._draws
        segments = whole_file(draw_stream(draws, compressible=draws.random() < 0.5), 1, size_bytes)
        mode = self._allowed.file_modes[0] if mode is None else mode
        return NewFile(name or self._name(), size_bytes, segments, mode, draw_mtime_ns(draws))

    def _sparse_file(self) -> NewFile:
        """A file with one block between holes."""
        size_bytes = _SPARSE_BLOCKS * BLOCK_BYTES
        block = Segment(draw_stream(self._draws, compressible=False), 1, self._draws.randrange(_SPARSE_BLOCKS), 1)
        segments = overwritten(whole_file(HOLE, 0, size_bytes), block, size_bytes)
        return self._file()._replace(size_bytes=size_bytes, segments=segments)

    def _name(self) -> bytes:
        name = plain_name(self._names, self._allowed.names, self._draws)
        self._names.add(name)
        return name


def plan_specimens(directory: bytes, allowed: Allowances, draws: random.Random) -> Iterator[PlannedSpecimen]:
    """One small entry of each kind, and one name of each shape, below `directory`."""
    for home, entry in _Planner(directory, allowed, draws).plan():
        path = entry.path if isinstance(entry, NewDirectory) else joined(home, entry.name)
        if len(path) <= allowed.path_bytes_max:
            yield home, entry
