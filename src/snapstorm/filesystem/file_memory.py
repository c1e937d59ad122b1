"""What earlier scans of a client's tree have read, so that only what has changed since is read again.

Rests on the time of change that the system stamps on a file and that no program can set: a file with the same inode and
the same such time is the same in all that a manifest holds, unless it was changed twice within one tick of the system's
clock. So a file is trusted only if its stamp was already some time old when the scan began that read it. From time to
time a scan reads everything again and proves that what was remembered is right.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from snapstorm.errors import HarnessError
from snapstorm.model.manifest import Entry, show_path
from snapstorm.runtime.clock import Clock

TICK_NS_MAX = 200_000_000
"""A stamp that is older than this when a scan begins can't come again. Systems stamp by ticks of 1 to 10 ms."""
PROVED_EVERY = 16
"""One scan of so many reads everything."""


class KnownFile(NamedTuple):
    """A file as a scan has read it."""

    inode: tuple[int, int]
    changed_ns: int
    entry: Entry


class FileMemory:
    """The files of one tree by path. Used by one scan at a time."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._known: dict[bytes, KnownFile] = {}
        self._found: dict[bytes, KnownFile] = {}
        self._scans = 0
        self._trusted_before_ns = 0
        self._is_proving = False

    def begin_scan(self) -> None:
        """A scan of the whole tree begins; what it does not meet is forgotten."""
        self._found = {}
        self._trusted_before_ns = self._clock.wall_ns() - TICK_NS_MAX
        self._is_proving = self._scans % PROVED_EVERY == PROVED_EVERY - 1
        self._scans += 1

    def end_scan(self) -> None:
        """It has come to its end."""
        self._known, self._found = self._found, {}

    def recall(self, path: bytes, status: os.stat_result) -> Entry | None:
        """What was read of a file, if it has not changed since and is not to be read again."""
        known = self._known.get(path)
        if known is None or self._is_proving or not _is_same(known, status):
            return None
        self._found[path] = known
        return known.entry

    def learn(self, path: bytes, status: os.stat_result, entry: Entry) -> None:
        """A file was read. Raises HarnessError if it is not what was remembered of it, although it has not changed."""
        known = self._known.get(path)
        if known is not None and _is_same(known, status) and known.entry.digest != entry.digest:
            raise HarnessError(
                f"{show_path(path)}: its content is not what was read before, although it was not written since"
            )
        if status.st_ctime_ns < self._trusted_before_ns:
            self._found[path] = KnownFile((status.st_dev, status.st_ino), status.st_ctime_ns, entry)


def _is_same(known: KnownFile, status: os.stat_result) -> bool:
    return known.inode == (status.st_dev, status.st_ino) and known.changed_ns == status.st_ctime_ns
