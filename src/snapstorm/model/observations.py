"""Observations: what a target has shown and judging rests on, as compact values that a ledger can keep.

With them a run can be judged again, by later rules and without the target. Of a restore that came back exactly only the
digest is kept of what is compared, of one that did not both trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from enum import StrEnum

import msgspec

from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.expectations import Listing
from snapstorm.model.manifest import Counts, Manifest, decode_manifest
from snapstorm.model.seen import HeldSeen

LISTED_MAX = 8192
"""A longer listing is not kept: it would not fit, and finding that out takes time."""


class ObservationKind(StrEnum):
    LISTING = "listing"
    RECEIPT = "receipt"
    RESTORE = "restore"
    UNSAVED = "unsaved"
    """A creation that saved nothing, because the tree is said to equal the latest snapshot. Recorded as a restore: what
    was promised is the tree that was there, what came back is that snapshot."""
    SIZE = "size"
    """How much a storage holds after long use."""


class RestoreObservation(msgspec.Struct, frozen=True, array_like=True):
    """A restore that ended well, as it was found."""

    of: str
    """The operation that had asked for the snapshot."""
    snapshot: str
    sub_path: bytes
    is_damaged: bool
    """Storage was damaged on purpose then."""
    is_adopted: bool
    """The snapshot's creation had been in doubt."""
    is_partial: bool
    """The target had said that something was left out."""
    capabilities: str | None = None
    """The table under which it was compared, as JSON; None if that was the promised one."""
    digest: bytes = b""
    """Of what is compared of the restored tree, if it was exact."""
    promised: bytes = b""
    """Otherwise the whole tree that was snapshotted, encoded, ..."""
    restored: bytes = b""
    """... and what came back."""

    @property
    def trees(self) -> tuple[Manifest, Manifest] | None:
        """What was snapshotted, and what came back; None where only the digest was kept."""
        if not self.promised:
            return None
        return decode_manifest(self.promised), decode_manifest(self.restored)


class _Listing(msgspec.Struct, frozen=True, array_like=True):
    client: str
    testbed: str
    began_tick: int
    ended_tick: int
    is_quiescent: bool
    is_isolated: bool
    is_exclusive: bool
    unknown_runs: list[tuple[int, int]]
    entries: Sequence[ListedSnapshot]


class _Receipt(msgspec.Struct, frozen=True, array_like=True):
    id: str
    files: int | None
    directories: int | None
    size_bytes: int | None
    there: Counts
    began_us: int | None = None
    """Older ledgers have none, and nothing of what follows; `there` has no links in some of them."""
    ended_us: int | None = None
    symlinks: int | None = None
    failed_entries: int | None = None
    excluded_entries: int | None = None
    disagreement: str = ""
    counts_files_once: bool = False


class _Held(msgspec.Struct, frozen=True, array_like=True):
    held_bytes: int
    needed_bytes: int
    collections: int


_encoder = msgspec.msgpack.Encoder()
_listings = msgspec.msgpack.Decoder(_Listing)
_receipts = msgspec.msgpack.Decoder(_Receipt)
_restores = msgspec.msgpack.Decoder(RestoreObservation)
_held = msgspec.msgpack.Decoder(_Held)


def encode_listing(listing: Listing) -> bytes | None:
    """None for one that is too long to be kept."""
    if len(listing.entries) > LISTED_MAX:
        return None
    return _encoder.encode(
        _Listing(
            listing.client,
            listing.testbed,
            listing.began_tick,
            listing.ended_tick,
            listing.is_quiescent,
            listing.is_isolated,
            listing.is_exclusive,
            [(runs.start, runs.stop) for runs in listing.unknown_runs],
            listing.entries,
        )
    )


def decode_listing(encoded: bytes) -> Listing:
    """Raises ValueError for what is none."""
    found = _listings.decode(encoded)
    return Listing(
        client=found.client,
        testbed=found.testbed,
        entries=tuple(found.entries),
        began_tick=found.began_tick,
        ended_tick=found.ended_tick,
        is_quiescent=found.is_quiescent,
        is_isolated=found.is_isolated,
        is_exclusive=found.is_exclusive,
        unknown_runs=tuple(range(*pair) for pair in found.unknown_runs),
    )


def encode_receipt(receipt: SnapshotReceipt, there: Counts) -> bytes:
    """What the target says that it took, and how much there was."""
    id_, files, directories, size_bytes, *rest = (getattr(receipt, field.name) for field in fields(receipt))
    return _encoder.encode(_Receipt(id_, files, directories, size_bytes, there, *rest))


def decode_receipt(encoded: bytes) -> tuple[SnapshotReceipt, Counts]:
    """Raises ValueError for what is none."""
    found = _receipts.decode(encoded)
    values = msgspec.structs.asdict(found)
    there = values.pop("there")
    return SnapshotReceipt(**values), there


def encode_restore(restore: RestoreObservation) -> bytes:
    return _encoder.encode(restore)


def decode_restore(encoded: bytes) -> RestoreObservation:
    """Raises ValueError for what is none."""
    return _restores.decode(encoded)


def encode_held(seen: HeldSeen) -> bytes:
    return _encoder.encode(_Held(seen.held_bytes, seen.needed_bytes, seen.collections))


def decode_held(encoded: bytes) -> HeldSeen:
    """Raises ValueError for what is none."""
    found = _held.decode(encoded)
    return HeldSeen(held_bytes=found.held_bytes, needed_bytes=found.needed_bytes, collections=found.collections)
