"""Claims about explanations: each kind of planted damage is called by its name, at its offset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import blake3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapstorm.errors import HarnessError
from snapstorm.filesystem.explain import (
    DIFFERENCES_MAX,
    BlockDifference,
    BlockDifferenceKind,
    explain_difference,
    judge_block,
)
from snapstorm.model.content import BLOCK_BYTES, HEADER_BYTES, HOLE, BlockId, block_bytes, run_bytes, runs, whole_file
from snapstorm.model.manifest import Entry, EntryType, Segment

STREAM, OTHER_STREAM = 0x1000, 0x2000
VERSION = 5
BLOCKS = 12
KINDS = BlockDifferenceKind


def content_of(segments: tuple[Segment, ...], size_bytes: int) -> bytearray:
    return bytearray(b"".join(run_bytes(run) for run in runs(segments, size_bytes)))


def entry_of(segments: tuple[Segment, ...], size_bytes: int, *, is_known: bool = True) -> Entry:
    digest = blake3.blake3(content_of(segments, size_bytes)).digest()
    known = segments if is_known else ()
    return Entry(b"f", EntryType.FILE, 0o644, 0, 0, 0, size=size_bytes, digest=digest, segments=known)


SEGMENTS = whole_file(STREAM, VERSION, BLOCKS * BLOCK_BYTES)
EXPECTED = entry_of(SEGMENTS, BLOCKS * BLOCK_BYTES)
EXPECTED_UNKNOWN = entry_of(SEGMENTS, BLOCKS * BLOCK_BYTES, is_known=False)


def explain(content: bytes | bytearray, directory: Path, expected: Entry = EXPECTED) -> list[BlockDifference]:
    file = directory / "restored"
    file.write_bytes(content)
    return explain_difference(expected, file)


def planted(position: int, block: bytes | bytearray, offset_bytes: int = 0) -> bytearray:
    content = content_of(SEGMENTS, BLOCKS * BLOCK_BYTES)
    at = position * BLOCK_BYTES + offset_bytes
    content[at : at + len(block)] = block
    return content


WHOLE_BLOCKS = [
    (bytes(BLOCK_BYTES), KINDS.ZEROS, "zeros"),
    (block_bytes(BlockId(STREAM, 3, 9)), KINDS.STALE_VERSION, "stale version 3 of the same stream"),
    (block_bytes(BlockId(STREAM, 6, 9)), KINDS.NEWER_VERSION, "newer version 6 of the same stream"),
    (block_bytes(BlockId(OTHER_STREAM, 1, 9)), KINDS.OTHER_STREAM, "version 1 of another stream, 0000000000002000"),
    (block_bytes(BlockId(STREAM, VERSION, 7)), KINDS.MISPLACED, "block 7 of the same stream stands at block 9"),
    (block_bytes(BlockId(STREAM, 2, 7)), KINDS.MISPLACED, "block 7 (version 2) of the same stream stands at block 9"),
    (blake3.blake3(b"no").digest(length=BLOCK_BYTES), KINDS.FOREIGN, "foreign bytes"),
    (bytes(block_bytes(BlockId(STREAM, VERSION, 9)))[-100:] + bytes(block_bytes(BlockId(STREAM, VERSION, 9)))[:-100],
     KINDS.FOREIGN, "a block begins 100 bytes into it"),
]  # fmt: skip


@pytest.mark.parametrize(("block", "kind", "words"), WHOLE_BLOCKS, ids=lambda value: str(value)[:20])
def test_a_wrong_block_is_named(block: bytes, kind: BlockDifferenceKind, words: str, tmp_path: Path) -> None:
    """A whole block that is not the right one is called what it is, at the offset where it stands."""
    (found,) = explain(planted(9, block), tmp_path)
    assert (found.offset_bytes, found.length_bytes, found.kind) == (9 * BLOCK_BYTES, BLOCK_BYTES, kind)
    assert words in found.words


@settings(deadline=None)  # Writes files, for which a busy disk takes its time.
@given(st.integers(0, BLOCKS * BLOCK_BYTES - 1), st.integers(1, 255))
def test_a_flipped_byte_is_found_exactly(
    tmp_path_factory: pytest.TempPathFactory, offset_bytes: int, mask: int
) -> None:
    """Wherever one byte changes, in a header too, its exact offset is told."""
    content = content_of(SEGMENTS, BLOCKS * BLOCK_BYTES)
    content[offset_bytes] ^= mask
    (found,) = explain(content, tmp_path_factory.getbasetemp())
    assert (found.offset_bytes, found.length_bytes, found.kind) == (offset_bytes, 1, KINDS.CHANGED_BYTES)
    assert "1 byte differs" in found.words


def test_several_changed_bytes_are_counted(tmp_path: Path) -> None:
    """The count of changed bytes in a block is told with the offset of the first."""
    content = content_of(SEGMENTS, BLOCKS * BLOCK_BYTES)
    for at in (5000, 5100, 5200):
        content[at] ^= 1
    (found,) = explain(content, tmp_path)
    assert (found.offset_bytes, found.kind) == (5000, KINDS.CHANGED_BYTES)
    assert "3 bytes differ" in found.words


TORN = [
    (1024, bytes(BLOCK_BYTES - 1024), "first 1,024 bytes of the block are right, then follow zeros"),
    (512, block_bytes(BlockId(STREAM, 4, 9))[512:], "first 512 bytes of the block are right, then follow version 4"),
    (0, block_bytes(BlockId(STREAM, 3, 9))[:512], "first 512 bytes of the block are version 3 of the same stream"),
    (0, bytes(2048), "first 2,048 bytes of the block are zeros, the rest is right"),
    (2048, b"\xaa" * 1024, "then follow foreign bytes up to byte 3072"),
    (32, b"\xaa" * (BLOCK_BYTES - 32), "first 32 bytes of the block are right, then follow foreign bytes"),
]


@pytest.mark.parametrize(("at", "part", "words"), TORN, ids=lambda value: str(value)[:30])
def test_a_torn_block_is_named(at: int, part: bytes, words: str, tmp_path: Path) -> None:
    """A block of two parts is torn, where it tears, and what the wrong part is."""
    (found,) = explain(planted(9, part, at), tmp_path)
    assert found.kind is KINDS.TORN
    # Headers have bytes in common, so that the first difference may come a little later than the tear.
    assert 0 <= found.offset_bytes - (9 * BLOCK_BYTES + at) < HEADER_BYTES
    assert words in found.words


def test_a_block_torn_between_two_wrong_versions_is_torn(tmp_path: Path) -> None:
    """A block whose header and payload are of different wrong versions is torn."""
    block = block_bytes(BlockId(STREAM, 3, 9))[:512] + block_bytes(BlockId(STREAM, 4, 9))[512:]
    (found,) = explain(planted(9, block), tmp_path)
    assert found.kind is KINDS.TORN
    assert "begins as version 3 of the same stream" in found.words


@pytest.mark.parametrize("is_known", [True, False])
def test_files_of_the_wrong_length_are_reported(is_known: bool, tmp_path: Path) -> None:
    """Missing and surplus bytes are counted, with and without segments."""
    expected = EXPECTED if is_known else EXPECTED_UNKNOWN
    content = content_of(SEGMENTS, BLOCKS * BLOCK_BYTES)
    (short,) = [item for item in explain(content[:-5000], tmp_path, expected) if item.kind is not KINDS.UNEXPLAINED]
    assert (short.offset_bytes, short.length_bytes, short.kind) == (len(content) - 5000, 5000, KINDS.TRUNCATED)
    (long,) = explain(content + b"more", tmp_path, expected)
    assert (long.offset_bytes, long.length_bytes, long.kind) == (len(content), 4, KINDS.TOO_LONG)


def test_neighbours_of_one_kind_become_one(tmp_path: Path) -> None:
    """A run of blocks with the same fault is one difference that says how many there are."""
    content = content_of(SEGMENTS, BLOCKS * BLOCK_BYTES)
    content[BLOCK_BYTES : 4 * BLOCK_BYTES] = bytes(3 * BLOCK_BYTES)
    content[5 * BLOCK_BYTES : 7 * BLOCK_BYTES] = content[6 * BLOCK_BYTES : 8 * BLOCK_BYTES]
    zeros, shifted = explain(content, tmp_path)
    assert (zeros.offset_bytes, zeros.length_bytes) == (BLOCK_BYTES, 3 * BLOCK_BYTES)
    assert "3 such blocks in a row" in zeros.words
    assert (shifted.offset_bytes, shifted.length_bytes, shifted.shift_blocks) == (5 * BLOCK_BYTES, 2 * BLOCK_BYTES, -1)


def test_the_list_is_limited(tmp_path: Path) -> None:
    """Damage everywhere gives a short list that ends with a count of the rest."""
    blocks = 3 * DIFFERENCES_MAX
    segments = whole_file(STREAM, 1, blocks * BLOCK_BYTES)
    content = content_of(segments, blocks * BLOCK_BYTES)
    for at in range(0, len(content), BLOCK_BYTES):
        content[at + 77] ^= 1
    found = explain(content, tmp_path, entry_of(segments, len(content)))
    assert len(found) == DIFFERENCES_MAX + 1
    assert found[-1].kind is KINDS.MORE
    assert f"{blocks - DIFFERENCES_MAX} more" in found[-1].words


def test_equal_content_has_no_differences(tmp_path: Path) -> None:
    """Nothing is reported where nothing differs, holes and unknown segments included."""
    segments = (Segment(HOLE, 0, 0, 3), Segment(STREAM, 1, 3, 2), Segment(HOLE, 0, 5, 1))
    size_bytes = 6 * BLOCK_BYTES - 7
    content = content_of(segments, size_bytes)
    assert explain(content, tmp_path, entry_of(segments, size_bytes)) == []
    assert explain(content, tmp_path, entry_of(segments, size_bytes, is_known=False)) == []
    assert explain(b"", tmp_path, entry_of((), 0)) == []


def test_a_filled_hole_is_reported(tmp_path: Path) -> None:
    """Bytes where a hole must be are reported as what they are."""
    segments = (Segment(STREAM, 1, 0, 1), Segment(HOLE, 0, 1, 2))
    content = content_of(segments, 3 * BLOCK_BYTES)
    content[2 * BLOCK_BYTES :] = block_bytes(BlockId(OTHER_STREAM, 4, 2))
    (found,) = explain(content, tmp_path, entry_of(segments, 3 * BLOCK_BYTES))
    assert (found.kind, found.offset_bytes) == (KINDS.OTHER_STREAM, 2 * BLOCK_BYTES)
    assert "in place of a hole" in found.words


UNKNOWN: list[tuple[Callable[[], bytearray], BlockDifferenceKind]] = [
    (lambda: planted(9, bytes(BLOCK_BYTES)), KINDS.ZEROS),
    (lambda: planted(9, block_bytes(BlockId(OTHER_STREAM, 1, 9))), KINDS.OTHER_STREAM),
    (lambda: planted(9, block_bytes(BlockId(STREAM, VERSION, 7))), KINDS.MISPLACED),
    (lambda: planted(9, b"\xaa" * BLOCK_BYTES), KINDS.FOREIGN),
    (lambda: planted(9, b"\xaa" * 2000, 1000), KINDS.TORN),
    (lambda: planted(9, b"\xaa\xab", 1000), KINDS.CHANGED_BYTES),
]


@pytest.mark.parametrize(("damaged", "kind"), UNKNOWN)
def test_unknown_content_is_judged_by_its_headers(
    damaged: Callable[[], bytearray], kind: BlockDifferenceKind, tmp_path: Path
) -> None:
    """Where segments are not known, blocks that contradict themselves or their place are still named."""
    (found,) = explain(damaged(), tmp_path, EXPECTED_UNKNOWN)
    assert found.kind is kind
    assert found.offset_bytes // BLOCK_BYTES == 9


def test_what_headers_cannot_explain_is_said_so(tmp_path: Path) -> None:
    """A stale file of unknown content is not passed over in silence."""
    stale = content_of(whole_file(STREAM, 1, BLOCKS * BLOCK_BYTES), BLOCKS * BLOCK_BYTES)
    (found,) = explain(stale, tmp_path, EXPECTED_UNKNOWN)
    assert found.kind is KINDS.UNEXPLAINED


@given(st.integers(1, 200), st.integers(1, 200), st.binary(min_size=1, max_size=300), st.integers(0, BLOCK_BYTES - 300))
def test_any_damage_is_explained(stream: int, version: int, damage: bytes, at: int) -> None:
    """Whatever is done to a block, some explanation is given that points into the block."""
    block = BlockId(2 * stream, version, 3)
    want = bytes(block_bytes(block))
    have = want[:at] + damage + want[at + len(damage) :]
    if have != want:
        found = judge_block(block, want, have)
        assert 3 * BLOCK_BYTES <= found.offset_bytes < 4 * BLOCK_BYTES


def test_an_unreadable_file_is_our_failure(tmp_path: Path) -> None:
    """A restored file that is not there can't be explained, and a link is not followed to explain another one."""
    (tmp_path / "link").symlink_to("/etc/hostname")
    for name in ("missing", "link"):
        with pytest.raises(HarnessError):
            explain_difference(EXPECTED, tmp_path / name)
