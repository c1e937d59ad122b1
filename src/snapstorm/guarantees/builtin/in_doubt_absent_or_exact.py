"""in-doubt-absent-or-exact: a snapshot of a creation that was cut off is adopted once it is listed, and then restored
and compared like any other."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.guarantees.restore_findings import difference_of, failure_of
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import RestoreFailureSeen, RestoreSeen


class InDoubtAbsentOrExact(JudgedGuarantee):
    """Judges restores of snapshots whose creation had been in doubt."""

    id = Guarantee.IN_DOUBT_ABSENT_OR_EXACT
    sentence = "A snapshot whose creation was cut off is either not listed as complete, or exact."

    @judges(RestoreSeen)
    def judge_restore(self, seen: RestoreSeen) -> Iterator[Finding]:
        if not seen.is_damaged and seen.is_adopted:
            yield from difference_of(seen)

    @judges(RestoreFailureSeen)
    def judge_failure(self, seen: RestoreFailureSeen) -> Iterator[Finding]:
        if seen.is_adopted:
            yield failure_of(seen)
