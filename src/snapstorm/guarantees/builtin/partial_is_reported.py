"""partial-is-reported: all that a creation reports is held against what was there, and one that saves nothing against
the latest snapshot of its source."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.judging import miscounted
from snapstorm.model.seen import ReceiptSeen, UnsavedSeen

_DESCRIBED_MAX = 3
"""So many differences are described in words."""


class PartialIsReported(JudgedGuarantee):
    """Judges what a creation says that it has taken, or that it need not take."""

    id = Guarantee.PARTIAL_IS_REPORTED
    sentence = "An operation that left something out says so in its exit status or its result."

    @judges(ReceiptSeen)
    def judge_receipt(self, seen: ReceiptSeen) -> Iterator[Finding]:
        # One finding for all: a run reports only one violation of each guarantee for a snapshot.
        if wrong := miscounted(seen.receipt, seen.there, excluded_entries=seen.excluded_entries):
            words = f"snapshot {seen.receipt.id} was acknowledged with {wrong}"
            yield Finding(words, seen.receipt.id, seen.operation)

    @judges(UnsavedSeen)
    def judge_unsaved(self, seen: UnsavedSeen) -> Iterator[Finding]:
        if seen.differences:
            yield Finding(
                "nothing was saved because the tree is said to equal its latest snapshot "
                f"{seen.snapshot or '(there is none)'}, but it differs in {len(seen.differences)} place(s): "
                + "; ".join(str(one) for one in seen.differences[:_DESCRIBED_MAX]),
                seen.snapshot,
                seen.operation,
            )
