"""Claims about content that describes itself."""

from __future__ import annotations

import zlib

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.model.content import (
    BLOCK_BYTES,
    CHUNK_BLOCKS,
    HEADER_BYTES,
    HOLE,
    BlockId,
    block_bytes,
    blocks_in,
    claimed_blocks,
    content_digest,
    has_bare_tail,
    overwritten,
    read_header,
    run_bytes,
    runs,
    segments_of,
    shortened,
    whole_file,
)
from snapstorm.model.manifest import Segment

STREAMS = st.integers(2, 1 << 63)
VERSIONS = st.integers(1, (1 << 32) - 1)
SIZES = st.one_of(
    st.integers(0, 100),
    st.integers(0, 6 * BLOCK_BYTES),
    st.builds(lambda blocks, more: blocks * BLOCK_BYTES + more, st.integers(1, 6), st.integers(-40, 40)),
)


def content_of(segments: tuple[Segment, ...], size_bytes: int) -> bytes:
    return b"".join(run_bytes(run) for run in runs(segments, size_bytes))


@given(STREAMS, VERSIONS, st.integers(0, 1 << 40), st.integers(0, BLOCK_BYTES))
def test_a_cut_block_is_a_prefix_of_the_whole_one(stream: int, version: int, position: int, length_bytes: int) -> None:
    """A block cut short at or after its header is a prefix of the whole block; a shorter one has no header."""
    block = BlockId(stream, version, position)
    cut = block_bytes(block, length_bytes)
    assert len(cut) == length_bytes
    if length_bytes >= HEADER_BYTES:
        assert cut == block_bytes(block)[:length_bytes]
        assert read_header(cut) == block
    else:
        assert read_header(cut) is None


@given(STREAMS, VERSIONS, SIZES)
def test_blocks_do_not_depend_on_how_they_are_made(stream: int, version: int, size_bytes: int) -> None:
    """A file made at once equals the same file made block by block."""
    whole = content_of(whole_file(stream, version, size_bytes), size_bytes)
    lengths = [min(BLOCK_BYTES, size_bytes - at) for at in range(0, size_bytes, BLOCK_BYTES)]
    apart = [block_bytes(BlockId(stream, version, at), length) for at, length in enumerate(lengths)]
    assert whole == b"".join(apart)
    assert len(whole) == size_bytes
    assert blake3.blake3(whole).digest() == content_digest(whole_file(stream, version, size_bytes), size_bytes)


def test_content_is_the_same_for_ever() -> None:
    """The bytes of a stream never change: a repository written by an older snapstorm must still be explained."""
    segments = (*whole_file(2, 1, 3 * BLOCK_BYTES), Segment(3, 7, 3, 2), Segment(HOLE, 0, 5, 1))
    assert content_digest(segments, 6 * BLOCK_BYTES - 100).hex() == (
        "0383f22411dd5b34c8a1636fe9f705d56a565eb801f265d5acf6b73a5f7a5c51"
    )


def test_runs_of_large_files_stay_small() -> None:
    """However large a file is, its content is made in pieces of at most 1 MiB."""
    pieces = list(runs(whole_file(2, 1, 10 << 30), 10 << 30))
    assert sum(piece.length_bytes for piece in pieces) == 10 << 30
    assert max(piece.length_bytes for piece in pieces) == CHUNK_BLOCKS * BLOCK_BYTES


@pytest.mark.parametrize(("stream", "ratio_min", "ratio_max"), [(2, 0.95, 1.1), (3, 0.0, 0.1)])
def test_odd_streams_compress_and_even_ones_do_not(stream: int, ratio_min: float, ratio_max: float) -> None:
    """The lowest bit of a stream's number says whether its content compresses."""
    content = content_of(whole_file(stream, 1, 1 << 18), 1 << 18)
    assert ratio_min < len(zlib.compress(content)) / len(content) < ratio_max


def test_tiny_files_differ() -> None:
    """Files too small for a header still differ between streams and versions."""
    tiny = {bytes(block_bytes(BlockId(stream, version, 0), 8)) for stream in (2, 3, 4, 5) for version in (1, 2, 3)}
    assert len(tiny) == 12


@given(st.data())
def test_edited_files_are_recovered_from_their_headers(data: st.DataObject) -> None:
    """After any overwriting, growing and cutting, blocks tell the very segments that the writer keeps."""
    size_bytes = data.draw(SIZES)
    stream = data.draw(STREAMS)
    segments = whole_file(stream, 1, size_bytes)
    for version in range(2, 2 + data.draw(st.integers(0, 5))):
        if data.draw(st.booleans()) and size_bytes:
            size_bytes = data.draw(st.integers(0, size_bytes))
            segments = shortened(segments, size_bytes)
        else:
            grown_bytes = size_bytes + data.draw(st.integers(0, 3 * BLOCK_BYTES))
            new_blocks = blocks_in(grown_bytes) - blocks_in(size_bytes)
            segments = overwritten(segments, Segment(stream, version, blocks_in(size_bytes), new_blocks), grown_bytes)
            size_bytes = grown_bytes
        blocks = blocks_in(size_bytes)
        if blocks:
            first = data.draw(st.integers(0, blocks - 1))
            written = data.draw(st.sampled_from([(HOLE, 0), (stream, version)]))
            new = Segment(*written, first, data.draw(st.integers(1, blocks - first)))
            segments = overwritten(segments, new, size_bytes)
    assert sum(segment.blocks for segment in segments) == blocks_in(size_bytes)
    content = content_of(segments, size_bytes)
    assert len(content) == size_bytes
    recovered = segments_of(list(claimed_blocks(memoryview(content), 0)), size_bytes)
    # A file that has no room for any header can tell nothing.
    assert recovered == (() if size_bytes < HEADER_BYTES else segments)


@given(STREAMS, st.integers(2, 5))
def test_a_bare_tail_belongs_to_the_block_before_it(stream: int, blocks: int) -> None:
    """Overwriting the block before a bare tail takes the tail along; overwriting the tail alone changes nothing."""
    size_bytes = blocks * BLOCK_BYTES + HEADER_BYTES - 1
    assert has_bare_tail(size_bytes)
    segments = whole_file(stream, 1, size_bytes)
    assert overwritten(segments, Segment(stream, 2, blocks, 1), size_bytes) == segments
    taken = overwritten(segments, Segment(stream, 2, blocks - 1, 1), size_bytes)
    assert taken == (Segment(stream, 1, 0, blocks - 1), Segment(stream, 2, blocks - 1, 2))


def test_misplaced_or_foreign_blocks_tell_no_segments() -> None:
    """Segments are recovered only from files whose blocks all stand in their places."""
    one, two = BlockId(2, 1, 0), BlockId(2, 1, 1)
    assert segments_of([one, two], 2 * BLOCK_BYTES) == whole_file(2, 1, 2 * BLOCK_BYTES)
    assert segments_of([two, one], 2 * BLOCK_BYTES) == ()
    assert segments_of([one, None], 2 * BLOCK_BYTES) == ()
    assert segments_of([], 0) == ()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_header(content: bytes) -> None:
    """Bytes that we did not write are not taken for ours."""
    assert read_header(content) is None
