"""deleted-stays-gone: no listing that began after the acknowledgement of a deletion shows its snapshot, nor does the
repository hold it at the end of a run. What an `expire` was asked to take is judged as a deletion; what a policy ends
by itself is judged by kept-as-promised."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.expectations import must_be_gone
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import ListingSeen, StoredSeen


class DeletedStaysGone(JudgedGuarantee):
    """Judges what is listed, and what is stored."""

    id = Guarantee.DELETED_STAYS_GONE
    sentence = "After an acknowledged deletion a snapshot is listed no more."

    @judges(ListingSeen)
    def judge_listing(self, seen: ListingSeen) -> Iterator[Finding]:
        for expectation in seen.expected.values():
            if must_be_gone(expectation, seen.listing) and not expectation.is_expiry:
                entry = seen.entries.complete.get(expectation.operation)
                if entry is not None:
                    yield Finding(
                        f"snapshot {entry.id} is listed although its deletion was acknowledged",
                        entry.id,
                        expectation.operation,
                        expectation.client,
                    )

    @judges(StoredSeen)
    def judge_stored(self, seen: StoredSeen) -> Iterator[Finding]:
        for one in seen.deleted:
            if one.is_by_retention:
                continue
            yield Finding(
                f"snapshot {one.id} is among the manifests in the repository although its deletion was acknowledged",
                one.id,
                one.operation,
                one.client,
            )
