"""damage-is-detected: while storage is damaged on purpose, clients go on restoring, and live snapshots are restored
past the server and all caches."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, JudgedIn, judges
from snapstorm.guarantees.restore_findings import difference_of
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import RestoreSeen


class DamageIsDetected(JudgedGuarantee):
    """Judges restores that ended well while storage was damaged."""

    id = Guarantee.DAMAGE_IS_DETECTED
    sentence = "After storage was damaged on purpose, wrong bytes never come with success."
    judged_in = JudgedIn.RUNS_WITH_FAULTS

    @judges(RestoreSeen)
    def judge_restore(self, seen: RestoreSeen) -> Iterator[Finding]:
        if seen.is_damaged:
            yield from difference_of(seen)
