"""Content that describes itself: what every byte of a file must be, from a few numbers.

A file is a row of blocks of 4,096 bytes. Block `i` of version `v` of stream `s` is a pure function of (s, v, i): 32
bytes of header that say so, then bytes that follow from them. The last block of a file is a prefix of its whole block,
so that files grow and shrink without changing what they keep. One exception: a last block shorter than a header (a
*bare tail*) has no room to describe itself; it holds the bytes that the header would otherwise cover, and belongs to
the same stream and version as the block before it.

So a file's `segments` and size give back all of its bytes, a block found in a restored file says where it comes from,
and two files that share a stream and a version share blocks for a backup to deduplicate. A stream whose number is odd
is compressible. Stream 0 is a hole: zeros that may take no space on the disk.

Pure: the bytes come from blake3's extendable output, which reaches any offset without what stands before it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import blake3

from snapstorm.model.manifest import Segment

BLOCK_BYTES = 4096
HEADER_BYTES = 32
CHUNK_BLOCKS = 256
"""Blocks made at once: large enough to spare calls, small enough to stay in the processor's cache (1 MiB)."""

HOLE = 0
"""The stream of segments that are zeros."""

VERSION_MAX = (1 << 32) - 1
POSITION_MAX = 1 << 40
"""No file has more blocks (4 PiB): a header that tells of one is damaged."""

Buffer: TypeAlias = bytes | bytearray | memoryview

_MAGIC = b"\x89SNSTORM"
_HEADER = struct.Struct("<8sQIIQ")  # magic, stream, version, flags, block index
_KEY = struct.Struct("<8sQII")  # magic, stream, version, flags
_FLAG_COMPRESSIBLE = 1
_REPEATED_BYTES = 64
_REPEATS = BLOCK_BYTES // _REPEATED_BYTES
_ZERO_BLOCK = bytes(BLOCK_BYTES)


class BlockId(NamedTuple):
    """Which block some bytes are: its stream, the version of the stream, and its place in the file, in blocks."""

    stream: int
    version: int
    position: int


class BlockRange(NamedTuple):
    """Blocks in a row of one version of one stream, as they lie in a file; its last block may be cut short."""

    stream: int
    version: int
    first_block: int
    length_bytes: int

    @property
    def offset_bytes(self) -> int:
        return self.first_block * BLOCK_BYTES


def draw_stream(draws: random.Random, *, compressible: bool) -> int:
    """A new stream's number: never a hole, and odd exactly when its content compresses."""
    return (1 + draws.getrandbits(62)) << 1 | compressible


def is_compressible(stream: int) -> bool:
    """Whether the stream repeats 64 bytes throughout each block."""
    return stream & 1 == 1


def blocks_in(size_bytes: int) -> int:
    """How many blocks a file of this size has, the last one perhaps cut short."""
    return -(-size_bytes // BLOCK_BYTES)


def has_bare_tail(size_bytes: int) -> bool:
    """Whether the last block of a file of this size is too short for a header."""
    return 0 < size_bytes % BLOCK_BYTES < HEADER_BYTES


# --- from numbers to bytes


def run_bytes(run: BlockRange) -> bytearray:
    """The content of a run, headers included."""
    if run.stream == HOLE:
        return bytearray(run.length_bytes)
    flags = _flags(run.stream)
    key = blake3.blake3(_KEY.pack(_MAGIC, run.stream, run.version, flags))
    content = _repeating(key, run) if flags else bytearray(key.digest(length=run.length_bytes, seek=run.offset_bytes))
    put_header = _HEADER.pack_into
    # The last place where a header still fits ends the range: a bare tail gets none.
    for index, offset in enumerate(range(0, run.length_bytes - HEADER_BYTES + 1, BLOCK_BYTES), run.first_block):
        put_header(content, offset, _MAGIC, run.stream, run.version, flags, index)
    return content


def block_bytes(block: BlockId, length_bytes: int = BLOCK_BYTES) -> bytearray:
    """One block, or the beginning of it as it stands at the end of a file."""
    return run_bytes(BlockRange(block.stream, block.version, block.position, length_bytes))


def runs(
    segments: Iterable[Segment], size_bytes: int, first_block: int = 0, end_block: int | None = None
) -> Iterator[BlockRange]:
    """The runs that make up a file, in order, each small enough to be made in memory.

    `first_block` and `end_block` limit them to a part of the file.
    """
    end_block = blocks_in(size_bytes) if end_block is None else end_block
    for segment in segments:
        block = max(segment.first_block, first_block)
        segment_end = min(segment.first_block + segment.blocks, end_block)
        while block < segment_end:
            next_block = min(block + CHUNK_BLOCKS, segment_end)
            length_bytes = min(next_block * BLOCK_BYTES, size_bytes) - block * BLOCK_BYTES
            yield BlockRange(segment.stream, segment.version, block, length_bytes)
            block = next_block


def content_digest(segments: Iterable[Segment], size_bytes: int) -> bytes:
    """The digest (blake3, 32 bytes) that a file of these segments has."""
    hasher = blake3.blake3()
    for run in runs(segments, size_bytes):
        hasher.update(run_bytes(run))
    return hasher.digest()


def _flags(stream: int) -> int:
    return _FLAG_COMPRESSIBLE if is_compressible(stream) else 0


def _repeating(key: blake3.blake3, run: BlockRange) -> bytearray:
    """Content that a compressor shortens: 64 bytes, other ones for each block, repeated."""
    blocks = blocks_in(run.length_bytes)
    seeds = key.digest(length=blocks * _REPEATED_BYTES, seek=run.first_block * _REPEATED_BYTES)
    content = bytearray().join(
        seeds[at : at + _REPEATED_BYTES] * _REPEATS for at in range(0, len(seeds), _REPEATED_BYTES)
    )
    del content[run.length_bytes :]
    return content


# --- from bytes to numbers


def read_header(block: Buffer, offset_bytes: int = 0) -> BlockId | None:
    """What the bytes at an offset say that they are; None if they are no header.

    A claim only: whether the rest of the block bears it out, `block_bytes` tells.
    """
    if len(block) - offset_bytes < HEADER_BYTES:
        return None
    magic, stream, version, flags, position = _HEADER.unpack_from(block, offset_bytes)
    if magic != _MAGIC or stream == HOLE or flags != _flags(stream) or position > POSITION_MAX:
        return None
    return BlockId(stream, version, position)


def find_header(block: Buffer) -> int | None:
    """The offset at which a header begins somewhere inside of a block, for data that has shifted."""
    found = bytes(block).find(_MAGIC)
    return found if found >= 0 else None


def is_zeros(block: Buffer) -> bool:
    """Whether there is nothing but zeros in a block, or the beginning of one."""
    # As bytes: comparing a memoryview goes element by element.
    return bytes(block) == (_ZERO_BLOCK if len(block) == BLOCK_BYTES else bytes(len(block)))


def claimed_blocks(content: memoryview, first_block: int) -> Iterator[BlockId | None]:
    """What each block of a part of a file, beginning at a block's start, says that it is; None where it says nothing.

    Zeros count as a hole. A bare tail can't speak for itself: `segments_of` gives it to the block before it.
    """
    for index, offset in enumerate(range(0, len(content), BLOCK_BYTES), first_block):
        block = content[offset : offset + BLOCK_BYTES]
        claimed = read_header(block)
        yield BlockId(HOLE, 0, index) if claimed is None and is_zeros(block) else claimed


def segments_of(blocks: Sequence[BlockId | None], size_bytes: int) -> tuple[Segment, ...]:
    """The segments of a file whose blocks claim to be these; empty if any of them can't be told or stands elsewhere."""
    telling = blocks[:-1] if has_bare_tail(size_bytes) else blocks
    if not telling or any(block is None or block.position != position for position, block in enumerate(telling)):
        return ()
    found = [Segment(block.stream, block.version, block.position, 1) for block in telling if block is not None]
    if len(telling) < len(blocks):
        found.append(found[-1]._replace(first_block=len(telling)))
    return _joined(found, size_bytes)


# --- what edits do to segments


def whole_file(stream: int, version: int, size_bytes: int) -> tuple[Segment, ...]:
    """The segments of a file written at once; none for an empty file."""
    return (Segment(stream, version, 0, blocks_in(size_bytes)),) if size_bytes else ()


def overwritten(segments: Iterable[Segment], new: Segment, size_bytes: int) -> tuple[Segment, ...]:
    """The segments of a file of this size after the blocks of `new` were written over it."""
    new_end = new.first_block + new.blocks
    before = [_cut(segment, 0, new.first_block) for segment in segments]
    after = [_cut(segment, new_end, segment.first_block + segment.blocks) for segment in segments]
    return _joined([*before, new, *after], size_bytes)


def shortened(segments: Iterable[Segment], size_bytes: int) -> tuple[Segment, ...]:
    """The segments of a file after everything beyond this size was cut off."""
    return _joined([_cut(segment, 0, blocks_in(size_bytes)) for segment in segments], size_bytes)


def _cut(segment: Segment, first_block: int, end_block: int) -> Segment:
    """The part of a segment that lies within these blocks; it may have none left."""
    first = max(segment.first_block, first_block)
    end = min(segment.first_block + segment.blocks, end_block)
    return segment._replace(first_block=first, blocks=max(0, end - first))


def _joined(segments: Iterable[Segment], size_bytes: int) -> tuple[Segment, ...]:
    """The one way to write these segments down: no empty ones, neighbours of one version joined, the bare tail with
    the block before it."""
    result: list[Segment] = []
    for segment in segments:
        if segment.blocks == 0:
            continue
        last = result[-1] if result else None
        if last and (last.stream, last.version) == (segment.stream, segment.version):
            result[-1] = last._replace(blocks=last.blocks + segment.blocks)
        else:
            result.append(segment)
    if has_bare_tail(size_bytes) and len(result) > 1 and result[-1].blocks == 1:
        result.pop()
        result[-1] = result[-1]._replace(blocks=result[-1].blocks + 1)
    return tuple(result)
