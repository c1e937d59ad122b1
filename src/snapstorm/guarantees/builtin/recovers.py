"""recovers: after the last fault of a storm, before anything else, each client must complete a snapshot and its restore
in time. Until then failures are still the faults'."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, JudgedIn, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import RecoveryFailureSeen


class Recovers(JudgedGuarantee):
    """Judges clients after a storm."""

    id = Guarantee.RECOVERS
    sentence = "Once every fault has healed, each client completes a snapshot and a restore within a bound."
    judged_in = JudgedIn.RUNS_WITH_FAULTS

    @judges(RecoveryFailureSeen)
    def judge_recovery(self, seen: RecoveryFailureSeen) -> Iterator[Finding]:
        yield Finding(
            f"{seen.client} has not completed a snapshot and its restore within {seen.seconds_max:g} s after the last "
            f"fault had healed: {seen.reason}",
            fingerprint="recovery",
        )
