"""restored-exactly: each restore is scanned and compared, entry for entry, with what was there when it was taken."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.guarantees.restore_findings import difference_of, failure_of
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import RestoreFailureSeen, RestoreSeen


class RestoredExactly(JudgedGuarantee):
    """Judges restores of snapshots that were acknowledged, while storage was as it should be."""

    id = Guarantee.RESTORED_EXACTLY
    sentence = "A restore of an acknowledged snapshot equals its manifest, entry for entry."

    @judges(RestoreSeen)
    def judge_restore(self, seen: RestoreSeen) -> Iterator[Finding]:
        if not seen.is_damaged and not seen.is_adopted:
            yield from difference_of(seen)

    @judges(RestoreFailureSeen)
    def judge_failure(self, seen: RestoreFailureSeen) -> Iterator[Finding]:
        if not seen.is_adopted:
            yield failure_of(seen)
