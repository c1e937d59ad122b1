"""Judging again comes to the same: a digest stands for a comparison, and observations come back as they were."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.capabilities import Capabilities, DirectoryTimes
from snapstorm.model.expectations import Listing
from snapstorm.model.judging import digest_of, judge_restored, promise_of
from snapstorm.model.manifest import Counts, Entry, EntryType, Manifest, Segment
from snapstorm.model.observations import (
    LISTED_MAX,
    RestoreObservation,
    decode_listing,
    decode_receipt,
    decode_restore,
    encode_listing,
    encode_receipt,
    encode_restore,
)

PATHS = (b"", b"a", b"a/b", b"c", b"l")

entries = st.builds(
    Entry,
    path=st.just(b""),
    type=st.sampled_from([EntryType.FILE, EntryType.DIRECTORY, EntryType.SYMLINK, EntryType.FIFO, EntryType.SOCKET]),
    mode=st.sampled_from([0o644, 0o755]),
    uid=st.integers(0, 1),
    gid=st.integers(0, 1),
    mtime_ns=st.integers(1, 3),
    size=st.integers(0, 1),
    digest=st.sampled_from([b"x", b"y"]),
    target=st.sampled_from([b"", b"t"]),
    xattrs=st.sampled_from([(), ((b"user.a", b"1"),), ((b"security.s", b"1"),)]),
    segments=st.sampled_from([(), (Segment(1, 1, 0, 1),)]),
)
trees = st.lists(entries, min_size=1, max_size=len(PATHS)).map(
    lambda found: Manifest.of(
        msgspec.structs.replace(entry, path=path) for entry, path in zip(found, PATHS, strict=False)
    )
)
tables = st.builds(
    Capabilities,
    mode=st.booleans(),
    owner=st.booleans(),
    file_mtime=st.booleans(),
    directory_mtime=st.sampled_from(list(DirectoryTimes)),
    symlink_mtime=st.booleans(),
    symlinks=st.booleans(),
    xattrs=st.booleans(),
    xattr_prefixes=st.sampled_from([("user.",), ("security.", "user.")]),
    hard_links=st.booleans(),
    special_files=st.booleans(),
    sockets=st.booleans(),
)


@given(trees, trees, tables, st.booleans())
def test_digests_are_equal_just_where_nothing_differs(
    whole: Manifest, other: Manifest, table: Capabilities, is_same: bool
) -> None:
    """Whatever the table compares: a restore can be judged again by its digest alone."""
    promise = promise_of(whole, table)
    restored = promise.wanted if is_same else other
    found = judge_restored(promise, restored, is_partial=False)
    digests = [digest_of(tree, promise) for tree in (promise.wanted, restored)]
    same_types = [entry.type for entry in promise.wanted] == [entry.type for entry in restored]
    # Of an entry of another type nothing but the type is told, so that its other fields may be equal by chance.
    assert (digests[0] == digests[1]) == (not found and same_types)


particulars = st.builds(
    Particulars,
    *[st.none() | st.integers(-(2**63), 2**63 - 1)] * 2,
    *[st.none() | st.integers(0, 2**63 - 1)] * 5,
)

LISTED = ListedSnapshot("k1", "c@s", "/data", "bed", "r1-c-1", None, 0)


@given(
    st.lists(
        st.builds(
            ListedSnapshot,
            st.text(),
            st.text(),
            st.text(),
            st.none() | st.text(),
            st.none() | st.text(),
            st.none() | st.text(),
            st.integers(0, 9),
            st.none() | particulars,
            st.integers(0, 9),
            st.text(),
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_a_listing_comes_back(listed: list[ListedSnapshot], is_quiescent: bool) -> None:
    """With everything that judging it needs."""
    listing = Listing("c@s", "bed", tuple(listed), 3, 9, is_quiescent, False, False, (range(2, 5),))
    encoded = encode_listing(listing)
    assert encoded is not None
    assert decode_listing(encoded) == listing


def test_a_listing_that_is_too_long_is_not_kept() -> None:
    """It would not fit."""
    listing = Listing("c@s", "bed", (LISTED,) * (LISTED_MAX + 1), 3, 9)
    assert encode_listing(listing) is None
    assert encode_listing(msgspec.structs.replace(listing, entries=(LISTED,) * LISTED_MAX)) is not None


def test_receipts_and_restores_come_back() -> None:
    """As they were, both trees included."""
    receipt = SnapshotReceipt("k1", 3, None, 9, 1_000_000, None, 2, 0, 4, "3 files and 4 files")
    assert decode_receipt(encode_receipt(receipt, Counts(3, 1, 9, 2))) == (receipt, Counts(3, 1, 9, 2))
    tree = Manifest.of([Entry(b"", EntryType.DIRECTORY, 0o755, 0, 0, 1)])
    restore = RestoreObservation("r1-c-1", "k1", b"a\xff", True, False, True, "{}", b"", tree.encoded, tree.encoded)
    back = decode_restore(encode_restore(restore))
    assert back == restore
    assert back.trees == (tree, tree)


def test_what_older_ledgers_hold_comes_back() -> None:
    """It says neither when a snapshot was taken nor, in listings, how much; later ones say nothing of links."""
    entry = ["k1", "c@s", "/data", "bed", "r1-c-1", None, 0]
    listing = msgspec.msgpack.encode(["c@s", "bed", 3, 9, False, True, True, [], [entry]])
    assert decode_listing(listing) == Listing("c@s", "bed", (LISTED,), 3, 9)
    receipt = msgspec.msgpack.encode(["k1", 3, None, 9, [3, 1, 9]])
    assert decode_receipt(receipt) == (SnapshotReceipt("k1", 3, None, 9), Counts(3, 1, 9))
    dated = msgspec.msgpack.encode(["c@s", "bed", 3, 9, False, True, True, [], [[*entry, [5, 6, 1, 1, 9]]]])
    listed = msgspec.structs.replace(LISTED, particulars=Particulars(5, 6, 1, 1, 9))
    assert decode_listing(dated) == Listing("c@s", "bed", (listed,), 3, 9)
    receipt = msgspec.msgpack.encode(["k1", 3, None, 9, [3, 1, 9], 5, 6])
    assert decode_receipt(receipt) == (SnapshotReceipt("k1", 3, None, 9, 5, 6), Counts(3, 1, 9))


@pytest.mark.parametrize("decode", [decode_listing, decode_receipt, decode_restore])
@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"\x91\xa1x", b"text"])
def test_what_is_damaged_is_told(decode: object, damaged: bytes) -> None:
    """As an error that is caught, whatever stands there."""
    assert callable(decode)
    with pytest.raises(msgspec.MsgspecError):
        decode(damaged)
