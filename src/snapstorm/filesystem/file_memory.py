"""What is known of a client's tree, so that a scan reads only what has changed since.

For a small file that its writer has just made, the content is what was written.

For files that earlier scans have read, it depends on the change time (ctime), which the system sets and no program can
set. A file with the same inode and the same change time is the same in everything that a manifest contains, unless it
was changed twice within one tick of the system's clock. So a file is trusted only if its change time was already old
enough when the scan that read it began. From time to time a scan reads everything again and proves that what was
remembered is right.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from snapstorm.errors import HarnessError
from snapstorm.model.manifest import Entry, EntryType, Segment, Xattrs, show_path
from snapstorm.runtime.clock import Clock

TICK_NS_MAX = 200_000_000
"""A change time older than this when a scan begins can't occur again. Systems use ticks of 1 to 10 ms."""
PROVED_EVERY = 16
"""One scan in this many reads everything."""


class WrittenFile(NamedTuple):
    """A new file as its writer has left it, with only one name."""

    size_bytes: int
    mode: int
    mtime_ns: int
    """Drawn from a range of years, so no other file has the same."""
    digest: bytes
    xattrs: Xattrs = ()
    """Some systems give attributes to every new file."""


class KnownFile(NamedTuple):
    """A file as a scan has read it."""

    inode: tuple[int, int]
    changed_ns: int
    entry: Entry


class FileMemory:
    """The files of one tree by path. Used by one scan at a time."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._written: dict[bytes, WrittenFile] = {}
        self._known: dict[bytes, KnownFile] = {}
        self._found: dict[bytes, KnownFile] = {}
        self._scans = 0
        self._trusted_before_ns = 0
        self._is_proving = False

    def expect(self, path: bytes, file: WrittenFile) -> None:
        """A file was made and not touched since."""
        self._written[path] = file

    def forget_expected(self) -> None:
        """Files may be changed in ways that don't show."""
        self._written.clear()

    def forget_all(self) -> None:
        """Forget everything, so that it is read again."""
        self._written.clear()
        self._known.clear()

    @contextmanager
    def scanning(self) -> Iterator[None]:
        """A block that scans the whole tree. Files that it does not find are forgotten. One that fails does not count
        as proof."""
        self._found = {}
        self._trusted_before_ns = self._clock.wall_ns() - TICK_NS_MAX
        self._is_proving = self._scans % PROVED_EVERY == PROVED_EVERY - 1
        yield
        self._scans += 1
        self._known, self._found = self._found, {}
        self._written = {path: file for path, file in self._written.items() if path not in self._known}

    def recall(self, path: bytes, status: os.stat_result, segments: tuple[Segment, ...]) -> Entry | None:
        """The entry of a file that has not changed since and need not be read; `segments` are known from its writer."""
        if self._is_proving:
            return None
        known = self._known.get(path)
        if known is not None and _is_same(known, status):
            self._found[path] = known
            return known.entry
        written = self._written.get(path)
        if written is None or status.st_nlink > 1:
            return None
        looks = (status.st_size, status.st_mode, status.st_mtime_ns)
        if looks != (written.size_bytes, stat.S_IFREG | written.mode, written.mtime_ns):
            return None
        entry = Entry(
            path,
            EntryType.FILE,
            written.mode,
            status.st_uid,
            status.st_gid,
            written.mtime_ns,
            written.size_bytes,
            written.digest,
            xattrs=written.xattrs,
            segments=segments,
        )
        self.learn(path, status, entry)
        return entry

    def learn(self, path: bytes, status: os.stat_result, entry: Entry) -> None:
        """A file was read. Raises HarnessError if it differs from what was remembered, although it has not changed."""
        known = self._known.get(path)
        if known is not None and _is_same(known, status) and known.entry.digest != entry.digest:
            raise HarnessError(
                f"{show_path(path)}: its content is not what was read before, although it was not written since"
            )
        if status.st_ctime_ns < self._trusted_before_ns:
            self._found[path] = KnownFile((status.st_dev, status.st_ino), status.st_ctime_ns, entry)


def _is_same(known: KnownFile, status: os.stat_result) -> bool:
    return known.inode == (status.st_dev, status.st_ino) and known.changed_ns == status.st_ctime_ns
