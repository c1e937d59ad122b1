"""Manifests: everything that is compared of one tree. The scanner makes one from a tree on disk."""

from __future__ import annotations

import functools
import operator
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeAlias

import blake3
import msgspec

ROOT = b""
"""The path of the tree's own root in its manifest."""


class EntryType(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "FIFO"
    SOCKET = "socket"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    SPECIAL = "special"
    """One of the last four, in manifests of older versions, which did not record which."""


SPECIAL_TYPES = frozenset({EntryType.FIFO, EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE, EntryType.SPECIAL})
"""What `Capabilities.special_files` promises. Sockets have a promise of their own."""


Xattrs: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Extended attributes, sorted by name."""


class Segment(NamedTuple):
    """Consecutive blocks that one version of one stream wrote: what a file's content must describe itself as."""

    stream: int
    version: int
    first_block: int
    blocks: int


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of a tree. Paths and names are bytes, as the file system has them, relative to the root, `/`-joined.

    There are hundreds of thousands, and they hold no cycles, so the garbage collector does not track them.
    """

    path: bytes
    type: EntryType
    mode: int
    """Permission bits with setuid, setgid and sticky (`0o7777`)."""
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    """Bytes of content; 0 for everything but files."""
    digest: bytes = b""
    """blake3 of the content, 32 bytes; empty for everything but files."""
    target: bytes = b""
    """Where a symbolic link points, as written. The number of a device, as `major:minor`. For a file with several names
    in this tree, the first of them in path order, the same for each of its names."""
    xattrs: Xattrs = ()
    """All that could be read."""
    segments: tuple[Segment, ...] = ()
    """How the content describes itself, where known. Explains a difference; never decides whether there is one."""


class Counts(NamedTuple):
    """How much there is in a tree."""

    files: int
    directories: int
    """The root included."""
    size_bytes: int
    symlinks: int = 0


SMALL_ENTRIES_MAX = 16
SMALL_BYTES_MAX = 64 << 10
"""A tree of no more is read or removed in a moment."""

_encoder = msgspec.msgpack.Encoder()


class Manifest(msgspec.Struct, frozen=True, dict=True, omit_defaults=True):
    """A tree's entries, sorted by path, its root first with the empty path."""

    entries: tuple[Entry, ...]
    is_detailed: bool = False
    """Whether hard links, the types and numbers of special files, and attributes outside of `user.` are recorded. False
    in what older versions wrote, whose encoding, and so the digest, is still the same."""

    @classmethod
    def of(cls, entries: Iterable[Entry], *, is_detailed: bool = True) -> Manifest:
        """A manifest of entries in any order. The `target` of a file may be anything that all of its names share."""
        found = sorted(entries, key=operator.attrgetter("path"))
        names = Counter(entry.target for entry in found if entry.target and entry.type is EntryType.FILE)
        if names:
            _name_groups(found, names)
        return cls(tuple(found), is_detailed)

    @property
    def encoded(self) -> bytes:
        """The manifest as bytes: equal manifests give equal bytes. Made anew each time, as they are twice its size."""
        return _encoder.encode(self)

    @functools.cached_property
    def digest(self) -> str:
        """Names the manifest by its content (blake3, hexadecimal)."""
        return blake3.blake3(_encoder.encode(self)).hexdigest()

    @functools.cached_property
    def by_path(self) -> dict[bytes, Entry]:
        return {entry.path: entry for entry in self.entries}

    @functools.cached_property
    def has_hard_links(self) -> bool:
        """Whether a file has several names in it."""
        return any(entry.target and entry.type is EntryType.FILE for entry in self.entries)

    @functools.cached_property
    def counts(self) -> Counts:
        """How much there is in it. Each name of a file counts."""
        types, size_bytes = Counter(entry.type for entry in self.entries), sum(entry.size for entry in self.entries)
        return Counts(types[EntryType.FILE], types[EntryType.DIRECTORY], size_bytes, types[EntryType.SYMLINK])

    @functools.cached_property
    def counts_of_files(self) -> Counts:
        """How much there is in it. A file with several names in it counts once."""
        others = [
            entry for entry in self.entries if entry.type is EntryType.FILE and entry.target not in (b"", entry.path)
        ]
        every = self.counts
        size_bytes = every.size_bytes - sum(entry.size for entry in others)
        return every._replace(files=every.files - len(others), size_bytes=size_bytes)

    @property
    def is_small(self) -> bool:
        """Whether a tree like this is read or removed in a moment."""
        return len(self.entries) <= SMALL_ENTRIES_MAX and self.counts.size_bytes <= SMALL_BYTES_MAX

    @property
    def has_empty_directory(self) -> bool:
        """Whether a directory below the root holds nothing."""
        holding = {entry.path.rpartition(b"/")[0] for entry in self.entries}
        return any(entry.type is EntryType.DIRECTORY and entry.path not in holding for entry in self.entries[1:])

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def below(self, path: bytes) -> Manifest:
        """The subtree at `path` as a tree of its own; `path` may also name a file. Empty if there is no such entry."""
        if path == ROOT:
            return self
        prefix = path + b"/"
        return Manifest.of(
            (
                msgspec.structs.replace(entry, path=entry.path[len(prefix) :])
                for entry in self.entries
                if entry.path == path or entry.path.startswith(prefix)
            ),
            is_detailed=self.is_detailed,
        )


def _name_groups(entries: list[Entry], names: Counter[bytes]) -> None:
    """Make the `target` of each file that has several names the first of them, and that of the others empty."""
    first: dict[bytes, bytes] = {}
    for position, entry in enumerate(entries):
        if entry.target and entry.type is EntryType.FILE:
            target = first.setdefault(entry.target, entry.path) if names[entry.target] > 1 else b""
            entries[position] = msgspec.structs.replace(entry, target=target)


def decode_manifest(encoded: bytes) -> Manifest:
    """The manifest that `Manifest.encoded` gave."""
    return msgspec.msgpack.decode(encoded, type=Manifest)


def show_path(path: bytes) -> str:
    """A path for people, on one line, control characters and bytes that are not UTF-8 escaped."""
    if path == ROOT:
        return "."
    text = path.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def path_as_text(path: Path) -> str:
    """A path as text that any database or file can hold, one text for each path: bytes that are not UTF-8 escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def as_text(path: bytes) -> str:
    """A path in a tree in the same form."""
    return path.decode("utf-8", "backslashreplace")


def is_utf8(path: Path) -> bool:
    """Whether the path's bytes are valid UTF-8, whatever the locale's encoding."""
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
