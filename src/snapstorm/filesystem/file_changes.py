"""Changes of single files on disk. Each change is fully specified: nothing is drawn here, and nothing is remembered."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import NamedTuple

import blake3

from snapstorm.filesystem.planning import NewFile
from snapstorm.filesystem.scanner import FileContent, FileReader, read_xattrs
from snapstorm.filesystem.tree_state import FileState
from snapstorm.model.content import (
    BLOCK_BYTES,
    HOLE,
    VERSION_MAX,
    BlockRange,
    blocks_in,
    draw_stream,
    has_bare_tail,
    overwritten,
    run_bytes,
    runs,
    shortened,
    whole_file,
)
from snapstorm.model.manifest import Segment, Xattrs

_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HASHED_BYTES_MAX = 64 << 10
"""Reading a larger file again takes hardly longer than hashing it here."""
_APPEND_BYTES_MAX = 256 << 10
_OVERWRITTEN_BLOCKS_MAX = 16


class Written(NamedTuple):
    """What was written to a new file."""

    bytes_written: int
    digest: bytes | None
    """The digest of its content as a scan would find it, if it costs next to nothing: for the many small files."""
    xattrs: Xattrs = ()
    """What a scan would find: some systems give attributes to every new file, or those of its directory."""


class ContentChange(NamedTuple):
    """A file's content after a change, and which of its blocks must be written for it."""

    size_bytes: int
    segments: tuple[Segment, ...]
    first_block: int
    end_block: int

    @property
    def bytes_written(self) -> int:
        """How many bytes must be written."""
        return max(0, min(self.end_block * BLOCK_BYTES, self.size_bytes) - self.first_block * BLOCK_BYTES)


# --- making files


def create_file(dir_fd: int, file: NewFile) -> Written:
    """Make a file, with its holes. Leaves nothing behind when it fails."""
    fd = os.open(file.name, _CREATE_FLAGS, 0o600, dir_fd=dir_fd)
    try:
        written = _write_new(fd, file)
        for name, value in file.xattrs:
            os.setxattr(fd, name, value)
        # Explicitly, because of the umask; and after writing, which clears setuid.
        os.fchmod(fd, file.mode)
        os.utime(fd, ns=(file.mtime_ns, file.mtime_ns))
        if written.digest is not None:
            written = written._replace(xattrs=read_xattrs(fd) or ())
    except BaseException:
        os.close(fd)
        os.unlink(file.name, dir_fd=dir_fd)
        raise
    os.close(fd)
    return written


def _write_new(fd: int, file: NewFile) -> Written:
    bytes_written, digest = 0, None
    for run in runs(file.segments, file.size_bytes):
        if run.stream != HOLE:
            content = _write(fd, run)
            bytes_written += run.length_bytes
            if run.length_bytes == file.size_bytes <= _HASHED_BYTES_MAX:
                digest = blake3.blake3(content).digest()
    if file.segments and file.segments[-1].stream == HOLE:
        os.ftruncate(fd, file.size_bytes)
    return Written(bytes_written, digest)


def _write(fd: int, run: BlockRange) -> bytearray:
    content = run_bytes(run)
    written = os.pwrite(fd, content, run.offset_bytes)
    # A full disk first shows as a short write; the next write raises.
    while written < run.length_bytes:
        written += os.pwrite(fd, memoryview(content)[written:], run.offset_bytes + written)
    return content


# --- deciding a file's content after a change


def plan_overwrite(state: FileState, draws: random.Random) -> ContentChange:
    """Give some consecutive blocks a new version; the size stays. For files that are not empty."""
    size_bytes = state.size_bytes
    if not state.segments:
        return _plan_rewrite(state, size_bytes, draws)
    blocks = blocks_in(size_bytes)
    # A bare tail has no header of its own and continues the block before it, so no change begins there.
    first = draws.randrange(max(1, blocks - has_bare_tail(size_bytes)))
    end = min(first + draws.randint(1, _OVERWRITTEN_BLOCKS_MAX), blocks)
    new = Segment(_main_stream(state, draws), next_version(state), first, end - first)
    segments = overwritten(state.segments, new, size_bytes)
    return ContentChange(size_bytes, segments, first, _with_bare_tail(end, size_bytes))


def plan_append(state: FileState, bytes_max: int, draws: random.Random) -> ContentChange:
    """Extend the file by at least one byte. Its last block is filled up; new blocks get a new version."""
    size_bytes = state.size_bytes + draws.randint(1, min(_APPEND_BYTES_MAX, bytes_max))
    if state.size_bytes and not state.segments:
        return _plan_rewrite(state, size_bytes, draws)
    old_blocks, blocks = blocks_in(state.size_bytes), blocks_in(size_bytes)
    new = Segment(_main_stream(state, draws), next_version(state), old_blocks, blocks - old_blocks)
    segments = overwritten(state.segments, new, size_bytes)
    return ContentChange(size_bytes, segments, state.size_bytes // BLOCK_BYTES, blocks)


def plan_truncate(state: FileState, draws: random.Random) -> ContentChange:
    """Shorten the file by at least one byte, perhaps to nothing. For files that are not empty."""
    size_bytes = draws.randrange(state.size_bytes)
    blocks = blocks_in(size_bytes)
    segments = shortened(state.segments, size_bytes)
    is_rewritten = has_bare_tail(size_bytes) and bool(segments)
    return ContentChange(size_bytes, segments, blocks - 1 if is_rewritten else blocks, blocks)


def next_version(state: FileState) -> int:
    """The version for new blocks of a file."""
    return min(state.version + 1, VERSION_MAX)


def _plan_rewrite(state: FileState, size_bytes: int, draws: random.Random) -> ContentChange:
    """Write all of the content anew, because the result of editing unknown content would be unknown."""
    segments = whole_file(draw_stream(draws, compressible=False), next_version(state), size_bytes)
    return ContentChange(size_bytes, segments, 0, blocks_in(size_bytes))


def _main_stream(state: FileState, draws: random.Random) -> int:
    """The stream of the file's new blocks: its own, or a new one for a file that consists only of holes."""
    own = next((segment.stream for segment in state.segments if segment.stream != HOLE), None)
    return own if own is not None else draw_stream(draws, compressible=bool(draws.getrandbits(1)))


def _with_bare_tail(end_block: int, size_bytes: int) -> int:
    """The end of the blocks to write. A bare tail is included if the block before it changes."""
    blocks = blocks_in(size_bytes)
    return blocks if has_bare_tail(size_bytes) and end_block == blocks - 1 else end_block


# --- changing files


def change_content(dir_fd: int, name: bytes, change: ContentChange, mode: int, mtime_ns: int) -> None:
    """Make a file's content what `change` says. Sets its mode again, because writing may clear parts of it."""
    with opened_for_change(dir_fd, name) as fd:
        if os.fstat(fd).st_size > change.size_bytes:
            os.ftruncate(fd, change.size_bytes)
        for run in runs(change.segments, change.size_bytes, change.first_block, change.end_block):
            _write(fd, run)
        os.fchmod(fd, mode)
        os.utime(fd, ns=(mtime_ns, mtime_ns))


def read_back(dir_fd: int, name: bytes, mode: int, mtime_ns: int) -> tuple[int, FileContent]:
    """The size and the content of a file whose change failed half-way. Sets its mode and time again."""
    with opened_for_change(dir_fd, name) as fd:
        size_bytes = os.fstat(fd).st_size
        content = FileReader().content(fd, size_bytes)
        os.fchmod(fd, mode)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
        return size_bytes, content


@contextlib.contextmanager
def opened_for_change(dir_fd: int, name: bytes) -> Iterator[int]:
    """Open a file for reading and writing. If its mode forbids that to its owner, the mode is widened first."""
    try:
        fd = os.open(name, _CHANGE_FLAGS, dir_fd=dir_fd)
    except PermissionError:
        os.chmod(name, 0o600, dir_fd=dir_fd)
        fd = os.open(name, _CHANGE_FLAGS, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)
