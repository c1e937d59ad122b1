"""The scanner: turns a tree on disk into its manifest, in one pass.

Synchronous, for a worker thread. On small files the time goes into system calls, and more threads do not reduce their
number. So each file costs one open, stat, list of attributes, read and close, and no path is looked up from the root.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import blake3

from snapstorm.errors import HarnessError
from snapstorm.filesystem.change_detection import TreeLooks, looks_of
from snapstorm.filesystem.descriptors import (
    DIRECTORY_FLAGS,
    TreePath,
    explain_os_error,
    opened_parent,
    walk_tree,
)
from snapstorm.filesystem.file_memory import FileMemory
from snapstorm.model.content import BLOCK_BYTES, BlockId, claimed_blocks, content_digest, segments_of
from snapstorm.model.manifest import ROOT, Entry, EntryType, Manifest, Segment, Xattrs, show_path

SegmentsOf: TypeAlias = Callable[[bytes], tuple[Segment, ...]]
"""Returns, for a file's path in the tree, what its writer knows of its content."""

_BUFFER_BYTES = 256 * BLOCK_BYTES
_SMALL_BYTES_MAX = 64 << 10
"""Read at once, which takes a third less time than through the buffer."""
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_XATTRS = (errno.ENOTSUP, errno.ENOSYS)
_NOT_FOR_US = (errno.EACCES, errno.EPERM, errno.ENODATA, errno.ENOTSUP)
"""What systems answer for attributes of their own that they list and don't show to this process."""
TYPES = {
    stat.S_IFREG: EntryType.FILE,
    stat.S_IFDIR: EntryType.DIRECTORY,
    stat.S_IFLNK: EntryType.SYMLINK,
    stat.S_IFIFO: EntryType.FIFO,
    stat.S_IFSOCK: EntryType.SOCKET,
    stat.S_IFCHR: EntryType.CHARACTER_DEVICE,
    stat.S_IFBLK: EntryType.BLOCK_DEVICE,
}
"""By what `stat.S_IFMT` gives."""
_NAME_ENCODING, _NAME_ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
"""What `os.fsencode` uses. Looking it up takes a twentieth of the time that a file takes."""


class TreeScan(NamedTuple):
    """A manifest, and the looks of the same entries."""

    manifest: Manifest
    looks: TreeLooks


def scan_tree(root: TreePath, segments: SegmentsOf | None = None) -> Manifest:
    """The manifest of the tree at `root`, which may also be a single file. Never follows a link.

    Segments come from `segments`. Where it returns none, they are recovered from the files, which is slower, because
    each file's content is generated again to prove them. Segments that can't be proved stay empty.

    Raises HarnessError when something can't be read, or changes while it is read, because nobody else may write there.
    """
    return _Scanner(segments).scan(root).manifest


def scan_tree_and_looks(root: TreePath) -> TreeScan:
    """`scan_tree` with all segments from the files, and the looks."""
    return _Scanner(lambda _: ()).scan(root)


def scan_changes(root: TreePath, segments: SegmentsOf, memory: FileMemory) -> TreeScan:
    """A scan that reads only the files that have changed since the last scan with this memory."""
    with memory.scanning():
        return _RememberingScanner(segments, memory=memory).scan(root)


def look_at_tree(root: TreePath, remembered: Mapping[bytes, Entry]) -> Manifest:
    """What is in a tree, without reading any file. Quick, and good enough to go on from; never used for judging.

    A file whose size, mode and mtime equal those of its entry in `remembered` is assumed to have that entry's content.
    The content of other files is left open (no digest, no segments).
    """
    return _Looker(None, remembered=remembered).scan(root).manifest


def scan_if_there(root: Path) -> Manifest:
    """`scan_tree`; the empty manifest if nothing exists."""
    return _Scanner(None).scan(root).manifest if os.path.lexists(root) else Manifest.of(())


def bytes_below(directory: Path) -> int:
    """The sum of the sizes of all files below a directory; files removed meanwhile count nothing."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += bytes_below(directory / entry.name)
            else:
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


class FileContent(NamedTuple):
    """The result of reading a file."""

    digest: bytes
    segments: tuple[Segment, ...]


_NO_CONTENT = FileContent(b"", ())


class FileReader:
    """Reads files through one buffer, which is used again and again."""

    @functools.cached_property
    def _view(self) -> memoryview:
        """Created when a file needs it: nearly all are smaller, and clearing it takes as long as scanning ten of
        those."""
        return memoryview(bytearray(_BUFFER_BYTES))

    def digest(self, fd: int, size_bytes: int) -> bytes:
        """The digest of an open file. Raises HarnessError if it does not have this size when read."""
        if size_bytes <= _SMALL_BYTES_MAX:
            # Nearly every file. One more byte is requested, so that a file that has grown is noticed.
            content = os.read(fd, size_bytes + 1)
            if len(content) == size_bytes:
                return blake3.blake3(content).digest()
            os.lseek(fd, 0, os.SEEK_SET)
        return self._read(fd, size_bytes, None)

    def content(self, fd: int, size_bytes: int) -> FileContent:
        """The digest of an open file, and the segments that its headers claim, if its bytes prove them."""
        blocks: list[BlockId | None] = []
        digest = self._read(fd, size_bytes, blocks)
        segments = segments_of(blocks, size_bytes)
        is_proved = bool(segments) and content_digest(segments, size_bytes) == digest
        return FileContent(digest, segments if is_proved else ())

    def _read(self, fd: int, size_bytes: int, blocks: list[BlockId | None] | None) -> bytes:
        """The digest. What each block claims to be is appended to `blocks`."""
        hasher = blake3.blake3()
        left_bytes = size_bytes
        while left_bytes >= 0 and (count := os.readv(fd, [self._view])):
            left_bytes -= count
            content = self._view[:count]
            if blocks is not None:
                blocks.extend(claimed_blocks(content, len(blocks)))
            hasher.update(content)
        if left_bytes:
            raise HarnessError("its size changed while it was being read")
        return hasher.digest()


def read_xattrs(place: int | bytes) -> Xattrs | None:
    """All extended attributes that this process may read, sorted by name; None if the file system has none.

    `place` is an open file, or a path, which is not followed if it is a link.
    """
    follows = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follows)
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
        return None
    if not names:
        return ()
    found: list[tuple[bytes, bytes]] = []
    for name in names:
        try:
            found.append((os.fsencode(name), os.getxattr(place, name, follow_symlinks=follows)))
        except OSError as error:
            if name.startswith("user.") or error.errno not in _NOT_FOR_US:
                raise
    return tuple(sorted(found))


@dataclass
class _Scanner:
    """One scan: collects entries directory by directory."""

    segments_of: SegmentsOf | None
    entries: list[Entry] = field(default_factory=list)
    looks: TreeLooks = field(default_factory=dict)
    reader: FileReader = field(default_factory=FileReader)
    has_xattrs: bool = hasattr(os, "listxattr")
    """Cleared if the file system turns out to have none, to save a failing call for each file."""

    def scan(self, root: TreePath) -> TreeScan:
        """Scan the tree. Raises HarnessError."""
        try:
            with opened_parent(root) as (parent_fd, name):
                mode = os.lstat(name, dir_fd=parent_fd).st_mode
                if stat.S_ISDIR(mode):
                    root_fd = os.open(name, DIRECTORY_FLAGS, dir_fd=parent_fd)
                    try:
                        walk_tree(root_fd, self._scan_directory)
                    finally:
                        os.close(root_fd)
                else:
                    self._scan_leaf(parent_fd, name, is_file=stat.S_ISREG(mode))
        except OSError as error:
            raise explain_os_error(os.fsencode(root), error) from error
        return TreeScan(Manifest.of(self.entries), self.looks)

    def _scan_leaf(self, parent_fd: int, name: bytes, *, is_file: bool) -> None:
        """Scan a tree that is one entry and no directory."""
        try:
            (self._scan_file if is_file else self._scan_other)(parent_fd, name, ROOT)
        except (OSError, HarnessError) as error:
            raise _explained(ROOT, error) from error

    def _scan_directory(self, fd: int, path: bytes) -> list[bytes]:
        """Add a directory and its entries, except for its subdirectories, whose names are returned."""
        subdirectories: list[bytes] = []
        prefix = path + b"/" if path else b""
        at = path
        try:
            self._add(path, EntryType.DIRECTORY, os.fstat(fd), fd)
            with os.scandir(fd) as iterator:
                found = list(iterator)
            for item in found:
                name = item.name.encode(_NAME_ENCODING, _NAME_ERRORS)
                at = prefix + name
                if item.is_file(follow_symlinks=False):
                    self._scan_file(fd, name, at)
                elif item.is_dir(follow_symlinks=False):
                    subdirectories.append(name)
                else:
                    self._scan_other(fd, name, at)
        except (OSError, HarnessError) as error:
            raise _explained(at, error) from error
        return subdirectories

    def _scan_file(self, dir_fd: int, name: bytes, path: bytes) -> None:
        fd = os.open(name, _FILE_FLAGS, dir_fd=dir_fd)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise HarnessError("was replaced while its tree was being scanned")
            # What all names of a file share; `Manifest.of` makes the first of them of it.
            shared = b"%d %d" % (status.st_dev, status.st_ino) if status.st_nlink > 1 else b""
            self._add(path, EntryType.FILE, status, fd, shared, self._content(fd, path, status))
        finally:
            os.close(fd)

    def _content(self, fd: int, path: bytes, status: os.stat_result) -> FileContent:
        known = self.segments_of(path) if self.segments_of else ()
        if self.segments_of and not known and status.st_size:
            return self.reader.content(fd, status.st_size)
        return FileContent(self.reader.digest(fd, status.st_size), known)

    def _scan_other(self, dir_fd: int, name: bytes, path: bytes) -> None:
        """Add a link or a special file, without following or opening it."""
        status = os.lstat(name, dir_fd=dir_fd)
        kind = TYPES[stat.S_IFMT(status.st_mode)]
        target = b""
        if kind is EntryType.SYMLINK:
            target = os.readlink(name, dir_fd=dir_fd)
        elif kind in (EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE):
            target = b"%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev))
        # No call reads attributes relative to a directory.
        self._add(path, kind, status, b"/proc/self/fd/%d/%s" % (dir_fd, name), target)

    def _add(
        self,
        path: bytes,
        kind: EntryType,
        status: os.stat_result,
        place: int | bytes,
        target: bytes = b"",
        content: FileContent = _NO_CONTENT,
    ) -> None:
        """Add an entry. `place`: see `read_xattrs`."""
        xattrs = read_xattrs(place) if self.has_xattrs else ()
        if xattrs is None:
            xattrs = ()
            # Some file systems have none for links only.
            self.has_xattrs = not isinstance(place, int)
        entry = Entry(
            path,
            kind,
            status.st_mode & 0o7777,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_size if kind is EntryType.FILE else 0,
            content.digest,
            target,
            xattrs,
            content.segments,
        )
        self.entries.append(entry)
        self.looks[path] = looks_of(status)


@dataclass
class _RememberingScanner(_Scanner):
    """A scan that does not read unchanged files again."""

    memory: FileMemory = field(default_factory=FileMemory)

    def _scan_file(self, dir_fd: int, name: bytes, path: bytes) -> None:
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        entry = self.memory.recall(path, status, self.segments_of(path) if self.segments_of else ())
        if entry is None:
            super()._scan_file(dir_fd, name, path)
            self.memory.learn(path, status, self.entries[-1])
        else:
            self.entries.append(entry)
            self.looks[path] = looks_of(status)


@dataclass
class _Looker(_Scanner):
    """A scan that reads no file."""

    remembered: Mapping[bytes, Entry] = field(default_factory=dict)

    def _content(self, fd: int, path: bytes, status: os.stat_result) -> FileContent:
        known = self.remembered.get(path)
        if known is None or not _is_unchanged(known, status):
            return _NO_CONTENT
        return FileContent(known.digest, known.segments)


def _explained(path: bytes, error: OSError | HarnessError) -> HarnessError:
    return explain_os_error(path, error) if isinstance(error, OSError) else HarnessError(f"{show_path(path)}: {error}")


def _is_unchanged(entry: Entry, status: os.stat_result) -> bool:
    """Whether a file looks unchanged: a write that nobody has finished leaves the present time as its mtime."""
    looks = (entry.type, entry.size, entry.mtime_ns, entry.mode)
    return looks == (EntryType.FILE, status.st_size, status.st_mtime_ns, status.st_mode & 0o7777)
