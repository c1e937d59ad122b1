"""Manifests: the whole truth about one tree, and what differs between two of them.

Pure values: making a manifest from a tree is the scanner's work, judging a difference is the checker's.
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import blake3
import msgspec

from snapstorm.model.capabilities import Capabilities, DirectoryTimes

ROOT = b""
"""The path of the tree's own root in its manifest."""


class EntryType(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    SPECIAL = "special"
    """FIFO, socket or device."""


class Segment(NamedTuple):
    """A run of blocks that one version of one stream wrote: what a file's content ought to describe itself as."""

    stream: int
    version: int
    first_block: int
    blocks: int


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of a tree. Paths and names are bytes, as the file system has them, relative to the root, `/`-joined.

    The collector of cycles need not look at entries, of which there are hundreds of thousands: they hold none.
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
    """Where a symbolic link points, as written."""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    """Sorted by name; only the `user.` namespace."""
    segments: tuple[Segment, ...] = ()
    """How the content describes itself, where known. Explains a difference; never decides whether there is one."""


class Counts(NamedTuple):
    """How much there is in a tree."""

    files: int
    directories: int
    """The root included."""
    size_bytes: int
    symlinks: int = 0


_SMALL_ENTRIES_MAX = 16
_SMALL_BYTES_MAX = 64 << 10

_encoder = msgspec.msgpack.Encoder()


class Manifest(msgspec.Struct, frozen=True, dict=True):
    """A tree's entries, sorted by path, its root first with the empty path."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """A manifest of entries in any order."""
        return cls(tuple(sorted(entries, key=operator.attrgetter("path"))))

    @property
    def encoded(self) -> bytes:
        """The manifest as bytes: equal manifests give equal bytes. Made anew each time, as they are twice its size."""
        return _encoder.encode(self)

    @functools.cached_property
    def digest(self) -> str:
        """Names the manifest by its content (blake3, hexadecimal)."""
        return blake3.blake3(self.encoded).hexdigest()

    @functools.cached_property
    def by_path(self) -> dict[bytes, Entry]:
        return {entry.path: entry for entry in self.entries}

    @functools.cached_property
    def bytes_total(self) -> int:
        """Bytes of content in all files."""
        return sum(entry.size for entry in self.entries)

    @functools.cached_property
    def counts(self) -> Counts:
        """How much there is in it."""
        return Counts(
            files=self.count(EntryType.FILE),
            directories=self.count(EntryType.DIRECTORY),
            size_bytes=self.bytes_total,
            symlinks=self.count(EntryType.SYMLINK),
        )

    @property
    def is_small(self) -> bool:
        """Whether a tree like this is read or removed in a moment."""
        return is_small_tree(len(self.entries), self.bytes_total)

    def count(self, kind: EntryType) -> int:
        return sum(entry.type is kind for entry in self.entries)

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
            msgspec.structs.replace(entry, path=entry.path[len(prefix) :])
            for entry in self.entries
            if entry.path == path or entry.path.startswith(prefix)
        )


def is_small_tree(entries: int, bytes_total: int) -> bool:
    """Whether a tree of so much is read or removed in a moment."""
    return entries <= _SMALL_ENTRIES_MAX and bytes_total <= _SMALL_BYTES_MAX


def decode_manifest(encoded: bytes) -> Manifest:
    """The manifest that `Manifest.encoded` gave."""
    return msgspec.msgpack.decode(encoded, type=Manifest)


class DifferenceKind(StrEnum):
    MISSING = "missing"
    EXTRA = "extra"
    TYPE = "type"
    SIZE = "size"
    CONTENT = "content"
    TARGET = "link target"
    MODE = "mode"
    OWNER = "owner"
    MTIME = "mtime"
    XATTRS = "extended attributes"


class Difference(NamedTuple):
    """One way in which an entry is not what it must be."""

    path: bytes
    kind: DifferenceKind
    expected: str
    actual: str

    def __str__(self) -> str:
        if self.kind is DifferenceKind.MISSING:
            return f"{show_path(self.path)}: missing ({self.expected})"
        if self.kind is DifferenceKind.EXTRA:
            return f"{show_path(self.path)}: was never there ({self.actual})"
        return f"{show_path(self.path)}: {self.kind.value} is {self.actual}, must be {self.expected}"


def show_path(path: bytes) -> str:
    """A path for people, on one line, control characters and bytes that are not UTF-8 escaped."""
    if path == ROOT:
        return "."
    text = path.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def path_as_text(path: Path) -> str:
    """A path as text that any database or file can hold, one text for each path: bytes that are not UTF-8 escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(path: Path) -> bool:
    """Whether the path's bytes are valid UTF-8, whatever the locale's encoding."""
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def differences(expected: Manifest, actual: Manifest, capabilities: Capabilities) -> list[Difference]:
    """Everything in which `actual` is not what `expected` becomes on a target that keeps this, in path order."""
    wanted = as_restored(expected, capabilities)
    result: list[Difference] = []
    for want, have in _paired(wanted, actual):
        if want is None:
            assert have is not None
            result.append(Difference(have.path, DifferenceKind.EXTRA, "", _show_entry(have)))
        elif have is None:
            result.append(Difference(want.path, DifferenceKind.MISSING, _show_entry(want), ""))
        elif not _is_same(want, have):
            result.extend(_entry_differences(want, have, capabilities))
    return result


def _paired(wanted: Manifest, found: Manifest) -> Iterator[tuple[Entry | None, Entry | None]]:
    """The entries of both by path, in path order."""
    if [entry.path for entry in wanted.entries] == [entry.path for entry in found.entries]:
        yield from zip(wanted.entries, found.entries, strict=True)
        return
    for path in sorted(wanted.by_path.keys() | found.by_path.keys()):
        yield wanted.by_path.get(path), found.by_path.get(path)


def _is_same(want: Entry, have: Entry) -> bool:
    """Whether nothing at all differs, whatever the target keeps: quicker told than what does, and nearly always so."""
    return (
        want.digest == have.digest
        and want.mtime_ns == have.mtime_ns
        and want.size == have.size
        and want.type is have.type
        and want.mode == have.mode
        and want.uid == have.uid
        and want.gid == have.gid
        and want.target == have.target
        and want.xattrs == have.xattrs
    )


def as_restored(expected: Manifest, capabilities: Capabilities) -> Manifest:
    """What a tree must look like after a snapshot and a restore: what the target is known to drop is dropped, and
    times that it computes are computed."""
    dropped = set[EntryType]()
    if not capabilities.special_files:
        dropped.add(EntryType.SPECIAL)
    if not capabilities.symlinks:
        dropped.add(EntryType.SYMLINK)
    kept = expected
    if any(entry.type in dropped for entry in expected.entries):
        kept = Manifest(tuple(entry for entry in expected.entries if entry.type not in dropped))
    if capabilities.directory_mtime is DirectoryTimes.NEWEST_BELOW:
        return with_newest_times(kept)
    return kept


def with_newest_times(manifest: Manifest) -> Manifest:
    """Every non-empty directory but the root gets the newest mtime of the entries below it (see `DirectoryTimes`).

    Directories below count with the mtime that they had, not with the one that they get (measured on Kopia 0.19.0 and
    0.23.1, and so in its source: `DirManifestBuilder.AddEntry`).
    """
    newest: dict[bytes, int] = {}
    result: list[Entry] = []
    # Reverse path order visits everything below a directory before the directory itself.
    for entry in reversed(manifest.entries):
        newest_below = newest.get(entry.path)
        if entry.path == ROOT:
            result.append(entry)
            continue
        result.append(entry if newest_below is None else msgspec.structs.replace(entry, mtime_ns=newest_below))
        parent = entry.path.rpartition(b"/")[0]
        times = (entry.mtime_ns, newest_below, newest.get(parent))
        newest[parent] = max(time for time in times if time is not None)
    return Manifest(tuple(reversed(result)))


def _entry_differences(want: Entry, have: Entry, capabilities: Capabilities) -> Iterator[Difference]:
    def differs(kind: DifferenceKind, expected: object, actual: object) -> Difference:
        return Difference(want.path, kind, str(expected), str(actual))

    if want.type is not have.type:
        yield differs(DifferenceKind.TYPE, want.type.value, have.type.value)
        return
    if want.size != have.size:
        yield differs(DifferenceKind.SIZE, f"{want.size:,} bytes", f"{have.size:,} bytes")
    elif want.digest != have.digest:
        yield differs(DifferenceKind.CONTENT, want.digest.hex()[:16], have.digest.hex()[:16])
    if want.target != have.target:
        yield differs(DifferenceKind.TARGET, show_path(want.target), show_path(have.target))
    # A symbolic link has no mode of its own on Linux.
    if capabilities.mode and want.type is not EntryType.SYMLINK and want.mode != have.mode:
        yield differs(DifferenceKind.MODE, f"{want.mode:04o}", f"{have.mode:04o}")
    if capabilities.owner and (want.uid, want.gid) != (have.uid, have.gid):
        yield differs(DifferenceKind.OWNER, f"{want.uid}:{want.gid}", f"{have.uid}:{have.gid}")
    if _keeps_mtime(want, capabilities) and want.mtime_ns != have.mtime_ns:
        yield differs(DifferenceKind.MTIME, f"{want.mtime_ns} ns", f"{have.mtime_ns} ns")
    if capabilities.xattrs and want.xattrs != have.xattrs:
        yield differs(DifferenceKind.XATTRS, want.xattrs, have.xattrs)


def comparable(manifest: Manifest, capabilities: Capabilities) -> Manifest:
    """The tree with all blanked that `differences` does not look at: two trees in which nothing differs become equal.

    The expected one must have gone through `as_restored` before.
    """
    return Manifest(tuple(_comparable(entry, capabilities) for entry in manifest.entries))


def _comparable(entry: Entry, capabilities: Capabilities) -> Entry:
    has_mode = capabilities.mode and entry.type is not EntryType.SYMLINK
    has_mtime = _keeps_mtime(entry, capabilities)
    has_xattrs = capabilities.xattrs or not entry.xattrs
    if has_mode and has_mtime and has_xattrs and capabilities.owner and not entry.segments:
        return entry
    return msgspec.structs.replace(
        entry,
        mode=entry.mode if has_mode else 0,
        uid=entry.uid if capabilities.owner else 0,
        gid=entry.gid if capabilities.owner else 0,
        mtime_ns=entry.mtime_ns if has_mtime else 0,
        xattrs=entry.xattrs if capabilities.xattrs else (),
        segments=(),
    )


def _keeps_mtime(entry: Entry, capabilities: Capabilities) -> bool:
    if entry.type is EntryType.DIRECTORY:
        return capabilities.directory_mtime is not DirectoryTimes.NOT_KEPT
    if entry.type is EntryType.SYMLINK:
        return capabilities.symlink_mtime
    return capabilities.file_mtime


def _show_entry(entry: Entry) -> str:
    if entry.type is EntryType.FILE:
        return f"file of {entry.size:,} bytes"
    return f"link to {show_path(entry.target)}" if entry.type is EntryType.SYMLINK else entry.type.value
