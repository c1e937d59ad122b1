"""How much a storage may hold: what was needed lately, and some more."""

from __future__ import annotations

import pytest

from snapstorm.model.manifest import Entry, EntryType, Manifest
from snapstorm.model.observations import decode_held, encode_held
from snapstorm.model.seen import HeldSeen
from snapstorm.model.stored_size import (
    COLLECTIONS_MAX,
    NEEDED_FACTOR,
    SLACK_BYTES,
    Collection,
    allowed_bytes,
    last_apart,
    needed_bytes,
)


def collection(tick: int, at_ns: int) -> Collection:
    return Collection(tick, at_ns, 1, float(tick))


def file(path: bytes, content: bytes, size: int) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, 0, 0, 0, size, content)


def test_collections_count_once_within_the_gap() -> None:
    """From the last one back, each counts that is early enough before the one that counts after it."""
    found = last_apart([collection(*pair) for pair in ((1, 0), (2, 9), (3, 20), (4, 25), (5, 30))], 10)
    assert [one.began_tick for one in found] == [5, 3, 2]
    assert last_apart([], 10) == []


def test_no_more_collections_count_than_are_enough() -> None:
    found = last_apart([collection(tick, 10 * tick) for tick in range(20)], 10)
    assert [one.began_tick for one in found] == list(range(19, 19 - COLLECTIONS_MAX, -1))


def test_each_content_is_needed_once() -> None:
    """Also where several trees, or several files of one, have it. Directories have none."""
    directory = Entry(b"", EntryType.DIRECTORY, 0o755, 0, 0, 0)
    first = Manifest((directory, file(b"a", b"1", 100), file(b"b", b"1", 100), file(b"c", b"2", 5)))
    second = Manifest((directory, file(b"d", b"1", 100), file(b"e", b"3", 1000)))
    assert needed_bytes([first, second]) == 1105
    assert needed_bytes([]) == 0


@pytest.mark.parametrize("needed", [0, 1_000_000])
def test_the_slack_is_allowed_on_top(needed: int) -> None:
    assert allowed_bytes(needed) == NEEDED_FACTOR * needed + SLACK_BYTES


def test_what_was_seen_can_be_read_again() -> None:
    seen = HeldSeen(held_bytes=3, needed_bytes=2, collections=5)
    assert decode_held(encode_held(seen)) == seen
    with pytest.raises(ValueError, match="MessagePack"):
        decode_held(b"\xc1rubbish")
