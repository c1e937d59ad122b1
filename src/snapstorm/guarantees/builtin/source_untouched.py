"""source-untouched: from the first time that the target is asked something after a change of a client's own, until the
next such change, nothing in its data directory may change."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import SourceChangesSeen


class SourceUntouched(JudgedGuarantee):
    """Judges changes that a client has not made itself."""

    id = Guarantee.SOURCE_UNTOUCHED
    sentence = "What a client has is changed by nobody but the client."

    @judges(SourceChangesSeen)
    def judge_changes(self, seen: SourceChangesSeen) -> Iterator[Finding]:
        more = f", and {len(seen.changes) - 1} more" if len(seen.changes) > 1 else ""
        yield Finding(
            f"files of {seen.client} have changed, and not by its own doing: {seen.changes[0]}{more}",
            texts={"changes.txt": "".join(f"{line}\n" for line in seen.changes)},
        )
