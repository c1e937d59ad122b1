"""Explains a difference: what a file contains in place of its own content.

Every block identifies itself (see `model.content`), so wrong blocks can be distinguished: an old version, a block of
another file, zeros, a torn or a changed block. An explanation never decides whether something is wrong; the digest
does.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import blake3

from snapstorm.errors import HarnessError
from snapstorm.filesystem.descriptors import explain_os_error, opened_parent
from snapstorm.model.content import (
    BLOCK_BYTES,
    CHUNK_BLOCKS,
    HEADER_BYTES,
    HOLE,
    BlockId,
    block_bytes,
    find_header,
    is_zeros,
    read_header,
    run_bytes,
    runs,
)
from snapstorm.model.manifest import Entry, EntryType

DIFFERENCES_MAX = 20
"""The maximum number of differences that an explanation lists; the others are counted."""

_JUDGED_BLOCKS_MAX = 250_000
"""The maximum number of differing blocks (1 GiB) that are examined, at 10 to 50 us each; the others are counted."""

_FEW_BYTES = 64
"""The maximum number of differing bytes for which a block counts as the right block with changed bytes."""

_DENSE_SHARE = 0.5
"""If a greater share of a stretch differs, it contains something else; random bytes agree by chance in one of 256."""

_VERSIONS_TRIED = 8
"""How many versions before the expected one are tried for the foreign part of a torn block."""


class BlockDifferenceKind(StrEnum):
    ZEROS = "zeros"
    STALE_VERSION = "stale version"
    NEWER_VERSION = "newer version"
    OTHER_STREAM = "block of another stream"
    MISPLACED = "misplaced"
    TORN = "torn"
    CHANGED_BYTES = "changed bytes"
    FOREIGN = "foreign bytes"
    TRUNCATED = "truncated"
    TOO_LONG = "too long"
    UNEXPLAINED = "unexplained"
    """The content differs although each block is a whole block of this file. Only if segments are not known."""
    MORE = "more"
    """Stands for all differences beyond the limit of the list."""


@dataclass(frozen=True)
class BlockDifference:
    """A stretch of a file with one kind of difference."""

    offset_bytes: int
    """Where it begins; for torn blocks and changed bytes, the first byte that differs."""
    length_bytes: int
    kind: BlockDifferenceKind
    words: str
    shift_blocks: int = 0
    """How far a misplaced block is from its place: positive if it is too late in the file."""

    def __str__(self) -> str:
        return f"at byte {self.offset_bytes:,}: {self.words}"


class _Change(NamedTuple):
    """Where the bytes of a block differ: the first and the last position, and how many there are."""

    first: int
    last: int
    differing: int

    @property
    def is_dense(self) -> bool:
        return self.differing > _DENSE_SHARE * (self.last - self.first + 1)


@dataclass(frozen=True)
class ContentExplained:
    """An explanation of the content of one file: the blocks that are wrong."""

    blocks: tuple[BlockDifference, ...] = ()
    problem: str = ""
    """Why it could not be explained."""


def explain_contents(expected: Sequence[Entry], tree: Path) -> dict[bytes, ContentExplained]:
    """What is wrong in the files below `tree` that should be these entries, by their paths. Never raises: what explains
    decides nothing, so neither does its failure."""
    return {entry.path: _explain_content(entry, tree) for entry in expected}


def _explain_content(expected: Entry, tree: Path) -> ContentExplained:
    path = tree / os.fsdecode(expected.path) if expected.path else tree
    try:
        return ContentExplained(tuple(explain_difference(expected, path)))
    except HarnessError as error:
        return ContentExplained(problem=f"it can't be explained: {error}")


def explain_difference(expected: Entry, actual_file: Path) -> list[BlockDifference]:
    """What is wrong in a file that should have the content of `expected`, in order; empty if nothing is.

    With the entry's segments every byte is compared. Without them, each block is judged by its own header. Raises
    HarnessError if the file can't be read.
    """
    if expected.type is not EntryType.FILE:
        raise ValueError(f"only files have content to explain, not a {expected.type.value}")
    try:
        with opened_parent(actual_file) as (parent_fd, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent_fd)
        try:
            return _explain(expected, fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise explain_os_error(os.fsencode(actual_file), error) from error


def _explain(expected: Entry, fd: int) -> list[BlockDifference]:
    if expected.segments or not expected.size:
        found = _collected(_compared_with_segments(expected, fd))
    else:
        hasher = blake3.blake3()
        found = _collected(_judged_by_headers(fd, expected.size, hasher))
        if hasher.digest() == expected.digest:
            found = []  # Holes look like lost bytes.
        elif not found:
            words = "the content differs, but each block is a whole block of one stream, perhaps of another version"
            found = [BlockDifference(0, expected.size, BlockDifferenceKind.UNEXPLAINED, words)]
    return [*found, *_size_differences(expected.size, os.fstat(fd).st_size)]


def _size_differences(expected_bytes: int, actual_bytes: int) -> Iterator[BlockDifference]:
    surplus = actual_bytes - expected_bytes
    if surplus < 0:
        words = f"truncated: the file ends here, {-surplus:,} bytes are missing"
        yield BlockDifference(actual_bytes, -surplus, BlockDifferenceKind.TRUNCATED, words)
    elif surplus > 0:
        words = f"too long: {surplus:,} bytes follow where the file must end"
        yield BlockDifference(expected_bytes, surplus, BlockDifferenceKind.TOO_LONG, words)


def _collected(differing: Iterator[Callable[[], BlockDifference]]) -> list[BlockDifference]:
    """What is wrong with blocks that differ. Adjacent ones of one kind are merged. Those beyond the limits are not
    examined, only counted."""
    kept: list[BlockDifference] = []
    in_a_row: list[int] = []
    more_blocks = 0
    for judged_blocks, judge in enumerate(differing):
        if more_blocks or judged_blocks >= _JUDGED_BLOCKS_MAX:
            more_blocks += 1
            continue
        found = judge()
        if kept and _is_continued(kept[-1], found):
            kept[-1] = replace(kept[-1], length_bytes=kept[-1].length_bytes + found.length_bytes)
            in_a_row[-1] += 1
        elif len(kept) < DIFFERENCES_MAX:
            kept.append(found)
            in_a_row.append(1)
        else:
            more_blocks = 1
    result = [
        replace(one, words=f"{one.words}; {blocks:,} such blocks in a row") if blocks > 1 else one
        for one, blocks in zip(kept, in_a_row, strict=True)
    ]
    if more_blocks:
        end_bytes = kept[-1].offset_bytes + kept[-1].length_bytes
        words = f"and {more_blocks:,} more differing blocks"
        result.append(BlockDifference(end_bytes, 0, BlockDifferenceKind.MORE, words))
    return result


def _is_continued(last: BlockDifference, found: BlockDifference) -> bool:
    """Whether two adjacent differences are the same one; torn blocks and changed bytes are never merged."""
    if last.kind is not found.kind or last.kind in (BlockDifferenceKind.TORN, BlockDifferenceKind.CHANGED_BYTES):
        return False
    if last.offset_bytes + last.length_bytes != found.offset_bytes:
        return False
    return last.words == found.words or last.shift_blocks == found.shift_blocks != 0


# --- with segments: every byte is known


def _compared_with_segments(expected: Entry, fd: int) -> Iterator[Callable[[], BlockDifference]]:
    """For each block that differs, what judges it."""
    for run in runs(expected.segments, expected.size):
        want = run_bytes(run)
        have = os.pread(fd, run.length_bytes, run.offset_bytes)
        if have == want:
            continue
        for at in range(0, len(have), BLOCK_BYTES):
            have_block = have[at : at + BLOCK_BYTES]
            want_block = bytes(want[at : at + len(have_block)])
            if have_block != want_block:
                block = BlockId(run.stream, run.version, run.first_block + at // BLOCK_BYTES)
                yield functools.partial(judge_block, block, want_block, have_block)


def judge_block(expected: BlockId, want: bytes, have: bytes) -> BlockDifference:
    """What `have` is, which was found in place of the block `expected` with the bytes `want`. They differ, and have the
    same length."""
    if is_zeros(have):
        return _whole_block(expected, have, BlockDifferenceKind.ZEROS, "zeros")
    claimed = read_header(have)
    if claimed is not None and block_bytes(claimed, len(have)) == have:
        return _judge_whole(expected, claimed, have)
    change = _compare(want, have)
    if change.differing <= _FEW_BYTES or not change.is_dense:
        return _changed_bytes(expected, change)
    is_cut = change.first >= HEADER_BYTES or change.last < len(have) - _FEW_BYTES
    if is_cut or (claimed is not None and _compare(block_bytes(claimed, len(have)), have).first >= HEADER_BYTES):
        return _torn(expected, claimed, change, have)
    inner = find_header(have)
    shifted = f"; a block begins {inner} bytes into it, so the content has shifted" if inner else ""
    return _whole_block(expected, have, BlockDifferenceKind.FOREIGN, f"foreign bytes{shifted}")


def _judge_whole(expected: BlockId, claimed: BlockId, have: bytes) -> BlockDifference:
    """A block that is whole, but not the expected one."""
    kinds = BlockDifferenceKind
    if claimed.stream != expected.stream:
        place = "a hole" if expected.stream == HOLE else f"stream {expected.stream:016x}"
        words = f"version {claimed.version} of another stream, {claimed.stream:016x}, in place of {place}"
        return _whole_block(expected, have, kinds.OTHER_STREAM, words)
    if claimed.position != expected.position:
        version = "" if claimed.version == expected.version else f" (version {claimed.version})"
        words = f"misplaced: block {claimed.position}{version} of the same stream stands at block {expected.position}"
        found = _whole_block(expected, have, kinds.MISPLACED, words)
        return replace(found, shift_blocks=expected.position - claimed.position)
    is_stale = claimed.version < expected.version
    word, kind = ("stale", kinds.STALE_VERSION) if is_stale else ("newer", kinds.NEWER_VERSION)
    words = f"{word} version {claimed.version} of the same stream, in place of version {expected.version}"
    return _whole_block(expected, have, kind, words)


def _whole_block(expected: BlockId, have: bytes, kind: BlockDifferenceKind, words: str) -> BlockDifference:
    return BlockDifference(expected.position * BLOCK_BYTES, len(have), kind, words)


def _changed_bytes(expected: BlockId, change: _Change) -> BlockDifference:
    offset_bytes = expected.position * BLOCK_BYTES + change.first
    length_bytes = change.last - change.first + 1
    count = "1 byte differs" if change.differing == 1 else f"{change.differing} bytes differ"
    words = f"changed bytes: from byte {offset_bytes:,} on, {count} from what was written"
    return BlockDifference(offset_bytes, length_bytes, BlockDifferenceKind.CHANGED_BYTES, words)


def _torn(expected: BlockId, claimed: BlockId | None, change: _Change, have: bytes) -> BlockDifference:
    """A block of several parts: a part of it, or its header, is as expected, and another part is not."""
    other = _name_part(expected, claimed, change, have)
    end = change.last + 1
    if change.first >= HEADER_BYTES:
        after = "" if end == len(have) else f" up to byte {end} of it"
        words = f"torn: the first {change.first:,} bytes of the block are right, then follow {other}{after}"
    elif end < len(have):
        words = f"torn: the first {end:,} bytes of the block are {other}, the rest is right"
    else:
        words = f"torn: the block begins as {_name_block(expected, claimed)}, but not all of it is that"
    offset_bytes = expected.position * BLOCK_BYTES + change.first
    return BlockDifference(offset_bytes, end - change.first, BlockDifferenceKind.TORN, words)


def _name_part(expected: BlockId, claimed: BlockId | None, change: _Change, have: bytes) -> str:
    """What the differing part of a torn block is."""
    part = slice(change.first, change.last + 1)
    if is_zeros(have[part]):
        return "zeros"
    versions = range(expected.version - 1, max(0, expected.version - 1 - _VERSIONS_TRIED), -1)
    candidates = [expected._replace(version=version) for version in (*versions, expected.version + 1)]
    for candidate in ([claimed] if claimed else []) + (candidates if expected.stream != HOLE else []):
        if block_bytes(candidate, len(have))[part] == have[part]:
            return _name_block(expected, candidate)
    return "foreign bytes"


def _name_block(expected: BlockId, block: BlockId | None) -> str:
    if block is None:
        return "foreign bytes"
    stream = "the same stream" if block.stream == expected.stream else f"another stream, {block.stream:016x}"
    place = "" if block.position == expected.position else f", block {block.position}"
    return f"version {block.version} of {stream}{place}"


def _compare(want: bytes | bytearray, have: bytes) -> _Change:
    """Where two different blocks of the same length differ."""
    xor = (int.from_bytes(want, "big") ^ int.from_bytes(have, "big")).to_bytes(len(have), "big")
    first = len(xor) - len(xor.lstrip(b"\0"))
    return _Change(first, len(xor.rstrip(b"\0")) - 1, len(xor) - xor.count(0))


# --- without segments: only the headers of blocks are known


def _judged_by_headers(fd: int, size_bytes: int, hasher: blake3.blake3) -> Iterator[Callable[[], BlockDifference]]:
    """For each block up to a size with which something is wrong, what tells it. Hashes what it reads."""
    own_stream: int | None = None
    offset_bytes = 0
    while chunk := os.pread(fd, min(CHUNK_BLOCKS * BLOCK_BYTES, size_bytes - offset_bytes), offset_bytes):
        hasher.update(chunk)
        for at in range(0, len(chunk), BLOCK_BYTES):
            have = chunk[at : at + BLOCK_BYTES]
            claimed = read_header(have)
            own_stream = claimed.stream if own_stream is None and claimed else own_stream
            found = _judge_claim(own_stream, claimed, (offset_bytes + at) // BLOCK_BYTES, have)
            if found is not None:
                yield _told(found)
        offset_bytes += len(chunk)


def _told(found: BlockDifference) -> Callable[[], BlockDifference]:
    return lambda: found


def _judge_claim(own_stream: int | None, claimed: BlockId | None, position: int, have: bytes) -> BlockDifference | None:
    """What is wrong with a block, judged only by its own header; None if nothing is."""
    if len(have) < HEADER_BYTES:
        return None
    if claimed is None or own_stream is None:
        here = BlockId(own_stream or HOLE, 0, position)
        if is_zeros(have):
            words = "zeros, or a hole: what was written here is not known"
            return _whole_block(here, have, BlockDifferenceKind.ZEROS, words)
        return _whole_block(here, have, BlockDifferenceKind.FOREIGN, "foreign bytes")
    whole = bytes(block_bytes(claimed, len(have)))
    if whole != have:
        return judge_block(claimed._replace(position=position), whole, have)
    if claimed.stream == own_stream and claimed.position == position:
        return None
    return _judge_whole(BlockId(own_stream, claimed.version, position), claimed, have)
