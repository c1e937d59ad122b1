"""verify-agrees: after the sweep of a run with faults, the target checks each client's snapshots itself, with caches
cleared; and while a blob is damaged, one that can't be restored because of it."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, JudgedIn, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import DamagePassedOverSeen, OwnCheckSeen


class VerifyAgrees(JudgedGuarantee):
    """Holds the target's own check against our restores."""

    id = Guarantee.VERIFY_AGREES
    sentence = "The target's own check and our restores tell the same story."
    judged_in = JudgedIn.RUNS_WITH_FAULTS

    @judges(OwnCheckSeen)
    def judge_check(self, seen: OwnCheckSeen) -> Iterator[Finding]:
        if seen.complaint and seen.is_all_restored:
            words = "the target's own check complains, but every snapshot was restored"
            yield Finding(f"{words}: {seen.complaint}", fingerprint=words)
        elif not seen.complaint and seen.has_lost:
            words = "the target's own check finds nothing wrong, but a restore has shown a loss"
            yield Finding(words, fingerprint=words)

    @judges(DamagePassedOverSeen)
    def judge_damage(self, seen: DamagePassedOverSeen) -> Iterator[Finding]:
        yield Finding(
            f"the target's own check finds nothing wrong with snapshot {seen.snapshot} while storage is damaged "
            f"({seen.fault}) and it can't be restored: {seen.error}",
            seen.snapshot,
            fingerprint="damage is passed over",
            texts={"output.txt": seen.output},
        )
