"""A writer's knowledge of its tree: which entries exist and what is in them, so that choosing needs no disk access.

Every choice is made from sorted lists, so that the same draws on the same tree choose the same entries. The lists are
kept sorted as the tree changes, and never sorted again as a whole.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from snapstorm.filesystem.descriptors import joined, split
from snapstorm.model.manifest import ROOT, SMALL_BYTES_MAX, SMALL_ENTRIES_MAX, EntryType, Manifest, Segment


class SortedPaths(Sequence[bytes]):
    """A sorted set of paths, for drawing by position."""

    def __init__(self) -> None:
        self._paths: list[bytes] = []
        self._changes: dict[bytes, bool] = {}

    def add(self, path: bytes) -> None:
        self._changes[path] = True

    def discard(self, path: bytes) -> None:
        self._changes[path] = False

    def __len__(self) -> int:
        return len(self._settled())

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self._settled()[index]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._settled())

    def below(self, directory: bytes) -> list[bytes]:
        """The paths below a directory, which are adjacent in the order."""
        paths = self._settled()
        if directory == ROOT:
            return list(paths)
        # "0" is the character after "/".
        return paths[bisect.bisect_left(paths, directory + b"/") : bisect.bisect_left(paths, directory + b"0")]

    def _settled(self) -> list[bytes]:
        """The list with all changes applied. Changes come in large numbers, and are cheaper to apply together."""
        if self._changes:
            self._paths = [path for path in self._paths if path not in self._changes]
            self._paths.extend(sorted(path for path, is_present in self._changes.items() if is_present))
            # Sorting two sorted runs is one merge in C.
            self._paths.sort()
            self._changes.clear()
        return self._paths


@dataclass(slots=True)
class FileState:
    """One file. Its hard links share it."""

    size_bytes: int
    segments: tuple[Segment, ...]
    """Empty for an empty file, and if the content is not known."""
    mode: int
    version: int = 0
    """The latest version that its writer gave to any of its blocks."""
    names: int = 1


@dataclass(slots=True)
class DirectoryState:
    mode: int
    names: set[bytes] = field(default_factory=set)
    """The names of all entries in it."""
    subdirectories: list[bytes] = field(default_factory=list)
    """Names, sorted."""


class TreeState:
    """The whole tree. The root always exists, with the empty path, and is in none of the sorted lists."""

    def __init__(self) -> None:
        self.files: dict[bytes, FileState] = {}
        self.directories: dict[bytes, DirectoryState] = {ROOT: DirectoryState(0o755)}
        self.file_paths = SortedPaths()
        self.directory_paths = SortedPaths()
        self.other_paths = SortedPaths()
        """Links, and everything else without content."""
        self._others = 0
        self.bytes_total = 0
        """Bytes of content, holes included; a file with two names counts once."""

    @property
    def is_empty(self) -> bool:
        return not self.directories[ROOT].names

    @property
    def is_small(self) -> bool:
        """Whether the tree can be read in a moment."""
        entries = len(self.files) + len(self.directories) + self._others
        return entries <= SMALL_ENTRIES_MAX and self.bytes_total <= SMALL_BYTES_MAX

    def segments_of(self, path: bytes) -> tuple[Segment, ...]:
        """What is known of a file's content; empty if nothing is."""
        state = self.files.get(path)
        return state.segments if state else ()

    def learn(self, manifest: Manifest) -> None:
        """Add what a scan has found out about the content of files of which nothing was known."""
        for entry in manifest.entries:
            state = self.files.get(entry.path) if entry.segments else None
            if state is not None and not state.segments and state.size_bytes == entry.size:
                state.segments = entry.segments
                state.version = max(segment.version for segment in entry.segments)

    def add_file(self, path: bytes, state: FileState) -> None:
        """Add a name for a file; a second name for the same state is a hard link."""
        self._add_name(path)
        self.files[path] = state
        self.file_paths.add(path)
        if state.names == 1:
            self.bytes_total += state.size_bytes

    def add_hard_link(self, path: bytes, existing: bytes) -> None:
        state = self.files[existing]
        state.names += 1
        self.add_file(path, state)

    def add_directory(self, path: bytes, mode: int) -> None:
        directory, name = split(path)
        self._add_name(path)
        bisect.insort(self.directories[directory].subdirectories, name)
        self.directories[path] = DirectoryState(mode)
        self.directory_paths.add(path)

    def add_other(self, path: bytes) -> None:
        self._add_name(path)
        self.other_paths.add(path)
        self._others += 1

    def resize(self, state: FileState, size_bytes: int) -> None:
        self.bytes_total += size_bytes - state.size_bytes
        state.size_bytes = size_bytes

    def rename_file(self, path: bytes, new_path: bytes) -> None:
        state = self.files[path]
        state.names += 1
        self.add_file(new_path, state)
        self.remove(path)

    def remove(self, path: bytes) -> int:
        """Remove an entry with everything below it, and return how many entries that were."""
        directory, name = split(path)
        self.directories[directory].names.discard(name)
        if path not in self.directories:
            self._remove_leaf(path)
            return 1
        self.directories[directory].subdirectories.remove(name)
        leaves = self.file_paths.below(path) + self.other_paths.below(path)
        directories = [*self.directory_paths.below(path), path]
        for leaf in leaves:
            self._remove_leaf(leaf)
        for below in directories:
            del self.directories[below]
            self.directory_paths.discard(below)
        return len(leaves) + len(directories)

    def entries_in(self, directory: bytes) -> list[bytes]:
        """The paths of a directory's own entries, sorted."""
        return [joined(directory, name) for name in sorted(self.directories[directory].names)]

    def directories_with_entries(self) -> list[bytes]:
        """The directories that are not empty, in order, the root first."""
        return [path for path in [ROOT, *self.directory_paths] if self.directories[path].names]

    def _add_name(self, path: bytes) -> None:
        directory, name = split(path)
        self.directories[directory].names.add(name)

    def _remove_leaf(self, path: bytes) -> None:
        state = self.files.pop(path, None)
        if state is None:
            self.other_paths.discard(path)
            self._others -= 1
            return
        self.file_paths.discard(path)
        state.names -= 1
        if state.names == 0:
            self.bytes_total -= state.size_bytes


def tree_state_of(manifest: Manifest) -> TreeState:
    """The state of a tree that was scanned with segments from headers."""
    tree = TreeState()
    # Directories come before their entries, because entries are sorted by path.
    for entry in manifest.entries:
        if entry.type is EntryType.DIRECTORY:
            if entry.path == ROOT:
                tree.directories[ROOT].mode = entry.mode
            else:
                tree.add_directory(entry.path, entry.mode)
        elif entry.type is not EntryType.FILE:
            tree.add_other(entry.path)
        elif entry.target in tree.files:
            tree.add_hard_link(entry.path, entry.target)
        else:
            version = max((segment.version for segment in entry.segments), default=0)
            tree.add_file(entry.path, FileState(entry.size, entry.segments, entry.mode, version))
    return tree
