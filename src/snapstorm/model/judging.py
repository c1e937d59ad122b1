"""Judging: what a restore, a receipt and a listing show, from values alone.

The checker judges by these while a run goes on, and `snapstorm recheck` judges a recorded run by the same ones later:
there is one truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import blake3

from snapstorm.model.capabilities import Capabilities, DirectoryTimes
from snapstorm.model.dating import TimeSpan, misdating
from snapstorm.model.expectations import Expectation, Finding, Listing
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import (
    Counts,
    Difference,
    DifferenceKind,
    EntryType,
    Manifest,
    as_restored,
    comparable,
    differences,
)
from snapstorm.model.protocols import SnapshotReceipt

DESCRIBED_MAX = 3
"""So many differences are described in words."""


class Promise(NamedTuple):
    """What a restore is held against."""

    wanted: Manifest
    capabilities: Capabilities
    """Under which it is compared."""


def promise_of(whole: Manifest, capabilities: Capabilities, sub_path: bytes = b"") -> Promise:
    """What the restore of a snapshot of the tree `whole`, or of its part at `sub_path`, must be."""
    # Times that the target computes depend on where the root is, so compute them before cutting out a part.
    wanted = as_restored(whole, capabilities)
    if sub_path:
        wanted = wanted.below(sub_path)
    if capabilities.directory_mtime is DirectoryTimes.NEWEST_BELOW:
        # They are computed now; comparing must not compute them again.
        capabilities = capabilities.model_copy(update={"directory_mtime": DirectoryTimes.EXACT})
    return Promise(wanted, capabilities)


def judge_restored(promise: Promise, restored: Manifest, *, is_partial: bool) -> list[Difference]:
    """In what a restored tree is not what was promised. `is_partial`: the target has said that it left something out,
    so that only what is there is promised."""
    found = differences(promise.wanted, restored, promise.capabilities)
    if not is_partial:
        return found
    return [difference for difference in found if _is_of_what_is_there(difference, promise.wanted)]


def _is_of_what_is_there(difference: Difference, wanted: Manifest) -> bool:
    """Whether a difference counts where entries may be missing, and with them the times of their directories."""
    if difference.kind is DifferenceKind.MISSING:
        return False
    entry = wanted.by_path.get(difference.path)
    is_of_directory = entry is not None and entry.type is EntryType.DIRECTORY
    return not (is_of_directory and difference.kind is DifferenceKind.MTIME)


def judge_unsaved(tree: Manifest, latest: Manifest, capabilities: Capabilities) -> list[Difference]:
    """In what a tree that was not saved differs from the latest snapshot of its source, of all that is kept."""
    return differences(tree, as_restored(latest, capabilities), capabilities)


def describe_unsaved(found: Sequence[object], snapshot: str | None, operation: str) -> list[Finding]:
    """What a creation shows that saved nothing, because its tree is said to equal the latest snapshot."""
    if not found:
        return []
    return [
        Finding(
            Guarantee.PARTIAL_IS_REPORTED,
            f"nothing was saved because the tree is said to equal its latest snapshot {snapshot or '(there is none)'}, "
            f"but it differs in {len(found)} place(s): " + "; ".join(str(one) for one in found[:DESCRIBED_MAX]),
            snapshot,
            operation,
        )
    ]


def digest_of(tree: Manifest, capabilities: Capabilities) -> bytes:
    """Names a tree by what is compared of it: the same for two trees if, and only if, nothing differs."""
    return bytes.fromhex(comparable(tree, capabilities).digest)


def guarantee_of(*, is_adopted: bool, is_damaged: bool) -> Guarantee:
    """Which guarantee a restore breaks that claims success and differs."""
    if is_damaged:
        return Guarantee.DAMAGE_IS_DETECTED
    return Guarantee.IN_DOUBT_ABSENT_OR_EXACT if is_adopted else Guarantee.RESTORED_EXACTLY


def describe_restore(snapshot: str, where: str, count: int, words: Iterable[str]) -> str:
    """A restore that differs, in words."""
    return f"the restore of snapshot {snapshot}{where} differs in {count} place(s) from what was written: " + "; ".join(
        words
    )


def fingerprint_of(found: Iterable[Difference]) -> str:
    """Names a set of differences: the same entries, each wrong in the same way."""
    words = sorted(f"{difference.path!r} {difference.kind}" for difference in found)
    return blake3.blake3("\n".join(words).encode()).hexdigest()


def judge_receipt(
    receipt: SnapshotReceipt,
    there: Counts,
    operation: str,
    *,
    is_id_of_another: bool,
    span: TimeSpan | None = None,
    excluded_entries: int = 0,
) -> Iterator[Finding]:
    """Hold what the target says that it took against what was there to be taken, and when against `span`, if that is
    known. `excluded_entries`: how many entries the target was told to leave out, which are not in `there`."""
    if is_id_of_another:
        yield Finding(
            Guarantee.ACKNOWLEDGED_STAYS_LISTED,
            f"a new snapshot was acknowledged under the id {receipt.id}, which is that of an earlier one",
            receipt.id,
            operation,
        )
    if wrong := misdating(receipt.particulars, span):
        yield Finding(
            Guarantee.ACKNOWLEDGED_STAYS_LISTED,
            f"snapshot {receipt.id} was acknowledged as {wrong}",
            receipt.id,
            operation,
        )
    # One finding for all: a run reports only one violation of each guarantee for a snapshot.
    wrong_counts = [
        f"{taken:,} {what} where there were {present:,}"
        for what, taken, present in (
            ("files", receipt.files, there.files),
            ("directories", receipt.directories, there.directories),
            ("symbolic links", receipt.symlinks, there.symlinks),
            ("bytes", receipt.size_bytes, there.size_bytes),
            ("entries that failed", receipt.failed_entries, 0),
            ("entries left out", receipt.excluded_entries, excluded_entries),
        )
        if taken is not None and taken != present
    ]
    if wrong_counts:
        yield Finding(
            Guarantee.PARTIAL_IS_REPORTED,
            f"snapshot {receipt.id} was acknowledged with {', '.join(wrong_counts)}",
            receipt.id,
            operation,
        )
    elif receipt.disagreement:
        yield Finding(
            Guarantee.PARTIAL_IS_REPORTED,
            f"snapshot {receipt.id} was acknowledged with {receipt.disagreement}",
            receipt.id,
            operation,
        )


def tagged_operations(listing: Listing) -> set[str]:
    """The operations whose snapshots a listing shows."""
    return {entry.operation for entry in listing.entries if entry.operation}


def concerned(
    listing: Listing, of_client: Mapping[str, Expectation], tagged: Iterable[Expectation]
) -> list[Expectation]:
    """What a listing is held against: what its client has in an open state, and whatever of it the listing shows."""
    found = dict(of_client)
    for expectation in tagged:
        if expectation.client == listing.client:
            found.setdefault(expectation.operation, expectation)
    return list(found.values())
