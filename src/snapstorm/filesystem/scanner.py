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
from pathlib import Path
from typing import NamedTuple, TypeAlias

import blake3

from snapstorm.errors import HarnessError
from snapstorm.filesystem.descriptors import (
    TreePath,
    explain_os_error,
    joined,
    open_directory,
    opened_parent,
    walk_tree,
)
from snapstorm.filesystem.file_memory import FileMemory
from snapstorm.model.content import BLOCK_BYTES, BlockId, claimed_blocks, content_digest, segments_of
from snapstorm.model.manifest import ROOT, Entry, EntryType, Manifest, Segment, show_path
from snapstorm.runtime.threads import run_file_work

SegmentsOf: TypeAlias = Callable[[bytes], tuple[Segment, ...]]
"""Returns, for a file's path in the tree, what its writer knows of its content."""

_BUFFER_BYTES = 1 << 20
_SMALL_BYTES_MAX = 64 << 10
"""Read at once, which takes a third less time than through the buffer."""
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_XATTRS = (errno.ENOTSUP, errno.ENOSYS)
_NAME_ENCODING, _NAME_ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
"""What `os.fsencode` uses. Looking it up takes a twentieth of the time that a file takes."""

assert _BUFFER_BYTES % BLOCK_BYTES == 0, "blocks never straddle two reads"


class TreeScan(NamedTuple):
    """A manifest, and what it leaves out: which names are the same file, and when each entry was changed."""

    manifest: Manifest
    inodes: dict[bytes, tuple[int, int]]
    """(device, inode) of each file that has more than one name, by path."""
    changed_ns: dict[bytes, int]
    """The change time (ctime) of each entry, by path."""


def scan_tree(
    root: TreePath, segments: SegmentsOf | None = None, *, read_segments_from_headers: bool = False
) -> Manifest:
    """The manifest of the tree at `root`, which may also be a single file. Never follows a link.

    Segments come from `segments`. Where it returns none, or with `read_segments_from_headers`, they are recovered from
    the files. That is slower, because each file's content is generated again to prove them; segments that can't be
    proved stay empty.

    Raises HarnessError when something can't be read, or changes while it is read, because nobody else may write there.
    """
    return scan_tree_and_inodes(root, segments, read_segments_from_headers=read_segments_from_headers).manifest


def scan_tree_and_inodes(
    root: TreePath, segments: SegmentsOf | None = None, *, read_segments_from_headers: bool = False
) -> TreeScan:
    """`scan_tree`, including what is needed to recognise hard links."""
    return _scan(root, _Scanner(segments, read_segments_from_headers))


def scan_changes(root: TreePath, segments: SegmentsOf, memory: FileMemory) -> TreeScan:
    """A scan that reads only the files that have changed since the last scan with this memory."""
    memory.begin_scan()
    scan = _scan(root, _RememberingScanner(segments, memory))
    memory.end_scan()
    return scan


def look_at_tree(root: TreePath, remembered: Mapping[bytes, Entry]) -> TreeScan:
    """What is in a tree, without reading any file. Quick, and good enough to go on from; never used for judging.

    A file whose size, mode and mtime equal those of its entry in `remembered` is assumed to have that entry's content.
    The content of other files is left open (no digest, no segments).
    """
    return _scan(root, _Looker(remembered))


def _scan(root: TreePath, scanner: _Scanner) -> TreeScan:
    try:
        with opened_parent(root) as (parent_fd, name):
            scanner.scan_root(parent_fd, name)
    except OSError as error:
        raise explain_os_error(os.fsencode(root), error) from error
    return TreeScan(Manifest.of(scanner.entries), scanner.inodes, scanner.changed_ns)


async def scan_if_there(root: Path, *, is_small: bool = False) -> Manifest:
    """`scan_tree` in a thread; the empty manifest if nothing exists. For `is_small`, see `run_file_work`."""
    return await run_file_work(_scan_if_there, root, is_small=is_small)


def _scan_if_there(root: Path) -> Manifest:
    return scan_tree(root) if os.path.lexists(root) else Manifest(())


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
        hasher: blake3.blake3 | None = None
        left_bytes = size_bytes
        while True:
            count = self._fill(fd, left_bytes)
            left_bytes -= count
            # The buffer is filled unless the file ends, so this read is the last one.
            is_last = count < _BUFFER_BYTES
            if left_bytes < 0 or (is_last and left_bytes > 0):
                raise HarnessError("its size changed while it was being read")
            content = self._view[:count]
            if blocks is not None:
                blocks.extend(claimed_blocks(content, len(blocks)))
            hasher = hasher.update(content) if hasher else blake3.blake3(content)
            if is_last:
                return hasher.digest()

    def _fill(self, fd: int, expected_bytes: int) -> int:
        """Read until the buffer is full or the file ends, and return the number of bytes.

        One read is enough for nearly every file; another one follows only if it gave less than expected.
        """
        count = os.readv(fd, [self._view])
        while count < min(expected_bytes, _BUFFER_BYTES):
            more = os.readv(fd, [self._view[count:]])
            if more == 0:
                break
            count += more
        return count


class _Scanner:
    """One scan: collects entries directory by directory."""

    def __init__(self, segments: SegmentsOf | None, read_segments_from_headers: bool) -> None:
        self.entries: list[Entry] = []
        self.inodes: dict[bytes, tuple[int, int]] = {}
        self.changed_ns: dict[bytes, int] = {}
        self._segments = segments
        self._from_headers = read_segments_from_headers
        self._is_plain = segments is None and not read_segments_from_headers
        self._on_file: Callable[[bytes, os.stat_result, Entry], None] | None = None
        """Called for each file that was read."""
        self._reader = FileReader()
        # Cleared if the file system turns out to have none, to save a failing call for each file.
        self._has_xattrs = hasattr(os, "listxattr")

    def scan_root(self, parent_fd: int, name: bytes) -> None:
        status = os.lstat(name, dir_fd=parent_fd)
        if not stat.S_ISDIR(status.st_mode):
            try:
                (self._scan_file if stat.S_ISREG(status.st_mode) else self._scan_other)(parent_fd, name, ROOT)
            except (OSError, HarnessError) as error:
                raise _explained(ROOT, error) from error
            return
        root_fd = open_directory(parent_fd, name)
        try:
            walk_tree(root_fd, self._scan_directory)
        finally:
            os.close(root_fd)

    def _scan_directory(self, fd: int, path: bytes) -> list[bytes]:
        """Add a directory and its entries, except for its subdirectories, whose names are returned."""
        try:
            status = os.fstat(fd)
            self._add(path, EntryType.DIRECTORY, status, xattrs=self._xattrs(fd) if self._has_xattrs else ())
            with os.scandir(fd) as iterator:
                found = list(iterator)
        except OSError as error:
            raise explain_os_error(path, error) from error
        subdirectories: list[bytes] = []
        prefix = joined(path, b"")
        name = b""
        try:
            for item in found:
                name = item.name.encode(_NAME_ENCODING, _NAME_ERRORS)
                if item.is_file(follow_symlinks=False):
                    self._scan_file(fd, name, prefix + name)
                elif item.is_dir(follow_symlinks=False):
                    subdirectories.append(name)
                else:
                    self._scan_other(fd, name, prefix + name)
        except (OSError, HarnessError) as error:
            raise _explained(prefix + name, error) from error
        return subdirectories

    def _scan_file(self, dir_fd: int, name: bytes, path: bytes) -> None:
        fd = os.open(name, _FILE_FLAGS, dir_fd=dir_fd)
        try:
            status = os.fstat(fd)
            size_bytes = status.st_size
            if not stat.S_ISREG(status.st_mode):
                raise HarnessError("was replaced while its tree was being scanned")
            digest, segments = self._content(fd, path, status)
            xattrs = self._xattrs(fd) if self._has_xattrs else ()
        finally:
            os.close(fd)
        if status.st_nlink > 1:
            self.inodes[path] = (status.st_dev, status.st_ino)
        entry = Entry(
            path,
            EntryType.FILE,
            status.st_mode & 0o7777,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            size_bytes,
            digest,
            b"",
            xattrs,
            segments,
        )
        self.entries.append(entry)
        self.changed_ns[path] = status.st_ctime_ns
        if self._on_file is not None:
            self._on_file(path, status, entry)

    def _content(self, fd: int, path: bytes, status: os.stat_result) -> tuple[bytes, tuple[Segment, ...]]:
        if self._is_plain:
            return self._reader.digest(fd, status.st_size), ()
        known = self._segments(path) if self._segments else ()
        if self._from_headers or (self._segments and not known and status.st_size):
            return self._reader.content(fd, status.st_size)
        return FileContent(self._reader.digest(fd, status.st_size), known)

    def _scan_other(self, dir_fd: int, name: bytes, path: bytes) -> None:
        status = os.lstat(name, dir_fd=dir_fd)
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=dir_fd)
            self._add(path, EntryType.SYMLINK, status, target=target)
        else:
            self._add(path, EntryType.SPECIAL, status)

    def _add(
        self,
        path: bytes,
        kind: EntryType,
        status: os.stat_result,
        target: bytes = b"",
        xattrs: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        mode = status.st_mode & 0o7777
        owner, group, mtime_ns = status.st_uid, status.st_gid, status.st_mtime_ns
        self.entries.append(Entry(path, kind, mode, owner, group, mtime_ns, target=target, xattrs=xattrs))
        self.changed_ns[path] = status.st_ctime_ns

    def _xattrs(self, fd: int) -> tuple[tuple[bytes, bytes], ...]:
        """Extended attributes of the `user.` namespace; the others belong to the system."""
        try:
            names = os.listxattr(fd)
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                raise
            self._has_xattrs = False
            return ()
        if not names:
            return ()
        return tuple(sorted((os.fsencode(name), os.getxattr(fd, name)) for name in names if name.startswith("user.")))


class _RememberingScanner(_Scanner):
    """A scan that does not read unchanged files again."""

    def __init__(self, segments: SegmentsOf, memory: FileMemory) -> None:
        super().__init__(segments, read_segments_from_headers=False)
        self._segments_of = segments
        self._memory = memory
        self._on_file = memory.learn

    def _scan_file(self, dir_fd: int, name: bytes, path: bytes) -> None:
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        entry = self._memory.recall(path, status, self._segments_of(path))
        if entry is None:
            super()._scan_file(dir_fd, name, path)
        else:
            self.entries.append(entry)
            self.changed_ns[entry.path] = status.st_ctime_ns


class _Looker(_Scanner):
    """A scan that reads no file."""

    def __init__(self, remembered: Mapping[bytes, Entry]) -> None:
        super().__init__(None, read_segments_from_headers=False)
        self._remembered = remembered

    def _content(self, fd: int, path: bytes, status: os.stat_result) -> tuple[bytes, tuple[Segment, ...]]:
        known = self._remembered.get(path)
        if known is None or not _is_unchanged(known, status):
            return FileContent(b"", ())
        return FileContent(known.digest, known.segments)


def _explained(path: bytes, error: OSError | HarnessError) -> HarnessError:
    return explain_os_error(path, error) if isinstance(error, OSError) else HarnessError(f"{show_path(path)}: {error}")


def _is_unchanged(entry: Entry, status: os.stat_result) -> bool:
    """Whether a file looks unchanged: a write that nobody has finished leaves the present time as its mtime."""
    looks = (entry.type, entry.size, entry.mtime_ns, entry.mode)
    return looks == (EntryType.FILE, status.st_size, status.st_mtime_ns, status.st_mode & 0o7777)
