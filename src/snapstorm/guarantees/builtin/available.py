"""available: an operation that fails without a fault that could be why. A time-out counts only if it comes again on an
idle machine."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import FailureSeen


class Available(JudgedGuarantee):
    """Judges failures that nothing excuses."""

    id = Guarantee.AVAILABLE
    sentence = "Without a fault active, no operation fails or hangs."

    @judges(FailureSeen)
    def judge_failure(self, seen: FailureSeen) -> Iterator[Finding]:
        words = f"{seen.what} although no fault was active: {seen.error}"
        yield Finding(words, texts={"output.txt": seen.output})
