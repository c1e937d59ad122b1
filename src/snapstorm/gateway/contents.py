"""The bytes of all objects that a bucket ever held, by digest, in one file that only grows.

One file, because a virtual year stores tens of thousands of small objects, and creating a file for each would cost more
than writing it. Where a digest lies is kept by `write_log`, in the transaction that makes a write part of the bucket.
If the process is killed between the two, no row names the bytes, and the next ones overwrite them.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from blake3 import blake3

DIGEST_BYTES = 16
"""Enough to tell objects apart: nobody chooses them with intent."""


class Content(NamedTuple):
    """Where bytes lie in the file."""

    digest: bytes
    offset: int
    size_bytes: int


def digest_of(data: bytes) -> bytes:
    """What tells these bytes from others."""
    return blake3(data).digest(DIGEST_BYTES)


class Contents:
    """The file. Raises OSError where the disk does."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._known: dict[bytes, Content] = {}
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        os.close(self._fd)

    def know(self, content: Content) -> None:
        """Count these bytes as written; they are neither overwritten nor stored a second time."""
        self._known[content.digest] = content
        self._end = max(self._end, content.offset + content.size_bytes)

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
        """`count` bytes of a content, from its byte `first` on. Raises OSError if the file is too short."""
        data = os.pread(self._fd, count, content.offset + first)
        if len(data) != count:
            raise OSError(errno.EIO, "the contents of the gateway are shorter than they were written", self._path)
        return data
