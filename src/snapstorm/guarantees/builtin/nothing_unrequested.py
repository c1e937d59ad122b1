"""nothing-unrequested: every listed snapshot carries the tag of an operation that asked for it, and is the only one; so
does, at the end of a run, every snapshot in the repository that no client is shown."""

from __future__ import annotations

from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import ListingSeen, StoredSeen


class NothingUnrequested(JudgedGuarantee):
    """Judges what is listed, and what is stored."""

    id = Guarantee.NOTHING_UNREQUESTED
    sentence = "The listing shows no snapshot that no client asked for."

    @judges(ListingSeen)
    def judge_listing(self, seen: ListingSeen) -> Iterator[Finding]:
        wrong = [
            *seen.entries.unrequested,
            *((entry, _why_left_over(seen, entry)) for entry in seen.entries.incomplete),
        ]
        for entry, why in wrong:
            if why:
                yield Finding(f"snapshot {entry.id} is listed, but {why}", entry.id)

    @judges(StoredSeen)
    def judge_stored(self, seen: StoredSeen) -> Iterator[Finding]:
        for snapshot, whose in seen.strangers.items():
            yield Finding(
                f"snapshot {snapshot} is among the manifests in the repository, but no client asked for it: it is one "
                f"of {whose}",
                snapshot,
            )


def _why_left_over(seen: ListingSeen, entry: ListedSnapshot) -> str:
    """Why an incomplete entry must not be there; empty if it may. It may stand until the next complete snapshot of its
    source (measured on Kopia 0.23.1)."""
    cut_off = seen.expected.get(entry.operation or "")
    if cut_off is None:
        return f"no client asked for it, and it is incomplete ({entry.incomplete})"
    if any(
        later.source == cut_off.source
        and later.client == cut_off.client
        and later.began_tick > cut_off.began_tick
        and later.acknowledged_tick is not None
        and later.acknowledged_tick < seen.listing.began_tick
        for later in seen.expected.values()
    ):
        return (
            f"it is the incomplete left-over ({entry.incomplete}) of a creation that was cut off, "
            f"and a later snapshot of {cut_off.source} has completed since"
        )
    return ""
