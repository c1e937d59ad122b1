"""Comparing: in what a restored tree, a tree that was not saved, or a receipt differs from what was promised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import blake3

from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.capabilities import Capabilities, DirectoryTimes
from snapstorm.model.manifest import Counts, EntryType, Manifest
from snapstorm.model.tree_differences import (
    Difference,
    DifferenceKind,
    as_restored,
    comparable,
    differences,
    without_details,
)


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


def digest_of(tree: Manifest, promise: Promise) -> bytes:
    """Names a tree by what is compared of it with a promise: if, and only if, nothing differs, it is that of what was
    promised."""
    if not promise.wanted.is_detailed:
        tree = without_details(tree)
    return bytes.fromhex(comparable(tree, promise.capabilities).digest)


def fingerprint_of(found: Iterable[Difference]) -> str:
    """Names a set of differences: the same entries, each wrong in the same way."""
    words = sorted(f"{difference.path!r} {difference.kind}" for difference in found)
    return blake3.blake3("\n".join(words).encode()).hexdigest()


def miscounted(receipt: SnapshotReceipt, there: Counts, *, excluded_entries: int = 0) -> str:
    """What a target says that it took and was not there to be taken, or contradicts itself in; empty if all is right.

    `excluded_entries`: how many entries the target was told to leave out, which are not in `there`.
    """
    wrong = [
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
    return ", ".join(wrong) or receipt.disagreement
