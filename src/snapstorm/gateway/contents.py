"""The bytes of all objects that a bucket ever held, by digest, in one file that only grows.

Bytes that are dropped to make room leave a hole in it.

One file, because a virtual year stores tens of thousands of small objects, and creating a file for each would cost more
than writing it. Where a digest lies is kept by `write_log`, in the transaction that makes a write part of the bucket.
If the process is killed between the two, no row names the bytes, and the next ones overwrite them.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from blake3 import blake3

DIGEST_BYTES = 16
"""Enough to tell objects apart: nobody chooses them with intent."""

_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02
"""Of `fallocate`, in Linux's `falloc.h`."""


class Content(NamedTuple):
    """Where bytes lie in the file."""

    digest: bytes
    offset: int
    """Below 0 if the bytes were dropped: then it is -1 less where they were."""
    size_bytes: int

    @property
    def is_dropped(self) -> bool:
        """Whether the bytes are gone."""
        return self.offset < 0

    @property
    def dropped(self) -> Content:
        """The same, without its bytes."""
        return self if self.is_dropped else self._replace(offset=-1 - self.offset)


def digest_of(data: bytes) -> bytes:
    """What tells these bytes from others."""
    return blake3(data).digest(DIGEST_BYTES)


class Contents:
    """The file. Raises OSError where the disk does."""

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self._path = str(path)
        flags = os.O_RDONLY if is_read_only else os.O_RDWR | os.O_CREAT
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._known: dict[bytes, Content] = {}
        self._end = 0
        self.bytes_kept = 0
        """How much is known together, without what was dropped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        os.close(self._fd)

    def know(self, content: Content) -> None:
        """Count these bytes as written; they are neither overwritten nor, unless they are dropped, stored a second
        time."""
        if content.is_dropped:
            self._end = max(self._end, -1 - content.offset + content.size_bytes)
        elif content.digest not in self._known:
            self._known[content.digest] = content
            self._end = max(self._end, content.offset + content.size_bytes)
            self.bytes_kept += content.size_bytes

    def drop(self, content: Content) -> None:
        """Forget these bytes, and give their room back to the disk, where its file system can do that."""
        if self._known.pop(content.digest, None) is None:
            return
        self.bytes_kept -= content.size_bytes
        offset, size_bytes = ctypes.c_long(content.offset), ctypes.c_long(content.size_bytes)
        ctypes.CDLL(None).fallocate(self._fd, _KEEP_SIZE_AND_PUNCH_HOLE, offset, size_bytes)

    def store(self, data: bytes) -> Content:
        """Write bytes that are not there yet. They stay from the moment they are made known."""
        digest = digest_of(data)
        known = self._known.get(digest)
        if known is not None:
            return known
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, memoryview(data)[written:], self._end + written)
        return Content(digest, self._end, len(data))

    def read(self, content: Content, first: int, count: int) -> bytes:
        """`count` bytes of a content, from its byte `first` on. Raises OSError if they were dropped, or the file is too
        short."""
        if content.is_dropped:
            raise OSError(errno.ENODATA, "these contents of the gateway were dropped to make room", self._path)
        data = os.pread(self._fd, count, content.offset + first)
        if len(data) != count:
            raise OSError(errno.EIO, "the contents of the gateway are shorter than they were written", self._path)
        return data
