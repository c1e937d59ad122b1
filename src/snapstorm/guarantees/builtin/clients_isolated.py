"""clients-isolated: each listing shows a client its own snapshots only, where rights are promised; and who must be
refused (a wrong password, a removed client, a client that may not write or delete) is let do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import LetInSeen, ListingSeen


class ClientsIsolated(JudgedGuarantee):
    """Judges what clients are shown, and who is let in."""

    id = Guarantee.CLIENTS_ISOLATED
    sentence = "A client lists only what its permissions allow; a removed client, or a wrong password, gets in nowhere."

    @judges(ListingSeen)
    def judge_listing(self, seen: ListingSeen) -> Iterator[Finding]:
        for entry in seen.entries.strangers:
            yield Finding(f"{seen.listing.client} is shown snapshot {entry.id} of {entry.client}", entry.id)

    @judges(LetInSeen)
    def judge_access(self, seen: LetInSeen) -> Iterator[Finding]:
        yield Finding(seen.words, seen.snapshot, seen.expectation)
