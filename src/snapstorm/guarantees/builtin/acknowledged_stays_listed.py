"""acknowledged-stays-listed: each acknowledgement is of a new snapshot, and each listing must show every snapshot that
was acknowledged before it began and whose deletion had not begun when it ended: under its id, client and source, and as
what was said of it before. Of other clients' snapshots a listing need show none; those that it shows are judged. What
the target's retention may have ended is judged by kept-as-promised."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.dating import SaidSoFar, misdating, run_of
from snapstorm.model.expectations import Expectation, Listing, State, must_be_listed
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import ListingSeen, ReceiptSeen, StoredSeen


class AcknowledgedStaysListed(JudgedGuarantee):
    """Remembers what the target has said of each snapshot, and holds what it says later against that."""

    id = Guarantee.ACKNOWLEDGED_STAYS_LISTED
    sentence = "An acknowledged snapshot stays listed until its deletion is asked for."

    def __init__(self) -> None:
        self._said = SaidSoFar()

    @judges(ReceiptSeen)
    def judge_receipt(self, seen: ReceiptSeen) -> Iterator[Finding]:
        receipt = seen.receipt
        if seen.is_id_of_another:
            yield Finding(
                f"a new snapshot was acknowledged under the id {receipt.id}, which is that of an earlier one",
                receipt.id,
                seen.operation,
            )
        if wrong := misdating(receipt.particulars, seen.span):
            yield Finding(f"snapshot {receipt.id} was acknowledged as {wrong}", receipt.id, seen.operation)
        self._said.acknowledge(seen.operation or "", receipt.particulars)

    @judges(ListingSeen)
    def judge_listing(self, seen: ListingSeen) -> Iterator[Finding]:
        complete = seen.entries.complete
        judged_apart = {found.operation for found in seen.ended_by_retention}
        for expectation in seen.expected.values():
            if not must_be_listed(expectation, seen.listing):
                continue
            entry = complete.get(expectation.operation)
            if entry is not None:
                yield from self._judge_listed(seen, expectation, entry)
            elif expectation.state is State.LIVE and expectation.operation not in judged_apart:
                yield Finding(
                    f"snapshot {expectation.snapshot} of {expectation.source} was acknowledged, "
                    "its deletion was never asked for, and it is not listed",
                    expectation.snapshot,
                    expectation.operation,
                    expectation.client,
                )

    def _judge_listed(self, seen: ListingSeen, expectation: Expectation, entry: ListedSnapshot) -> Iterator[Finding]:
        operation, client = expectation.operation, expectation.client
        if expectation.snapshot not in (None, entry.id):
            words = f"snapshot {expectation.snapshot} was acknowledged, but the listing has it as {entry.id}"
            yield Finding(words, expectation.snapshot, operation, client)
        elif entry.client != client:
            yield Finding(
                f"snapshot {entry.id} of {client} is listed as one of {entry.client}", entry.id, operation, client
            )
        elif _is_elsewhere(entry, expectation):
            words = f"snapshot {entry.id} of {expectation.source} is listed as one of {entry.source}"
            yield Finding(words, entry.id, operation, client)
        elif wrong := (
            self._said.contradiction(operation, entry.particulars, seen.spans, _ahead_us(seen, expectation))
            or _contradicts_itself(seen.listing, entry)
        ):
            yield Finding(f"snapshot {entry.id} is listed as {wrong}", entry.id, operation, client)

    @judges(StoredSeen)
    def judge_stored(self, seen: StoredSeen) -> Iterator[Finding]:
        for one in seen.missing:
            if one.is_by_retention:
                continue
            yield Finding(
                f"snapshot {one.id} was acknowledged, its deletion was never asked for, and it is not among the "
                "manifests in the repository",
                one.id,
                one.operation,
                one.client,
            )


def _ahead_us(seen: ListingSeen, expectation: Expectation) -> int:
    """By how much the clock was ahead of the client that took a snapshot."""
    if not seen.ahead_us:
        return 0  # As nearly always, of a hundred thousand.
    return seen.ahead_us.get((run_of(expectation.operation) or 0, expectation.client), 0)


def _contradicts_itself(listing: Listing, entry: ListedSnapshot) -> str:
    """Why what a listing says of an acknowledged snapshot can't be, whatever was said before; empty if it can."""
    if entry.disagreement:
        return f"one of {entry.disagreement}"
    if entry.excluded_entries and listing.is_exclusive:  # Elsewhere an operator's policies may leave something out.
        return f"one of which {entry.excluded_entries:,} entries were left out, which nobody asked for"
    return ""


def _is_elsewhere(entry: ListedSnapshot, expectation: Expectation) -> bool:
    """Whether a snapshot is listed under another source: who looks for it there does not find it, and retention counts
    it among others. Targets tidy paths up, and show one that is not UTF-8 as they like."""
    shown, wanted = entry.source, expectation.source
    if shown == wanted:
        return False  # As nearly always, of a hundred thousand.
    if any(mark in path for mark in ("\\", "\ufffd") for path in (shown, wanted)):
        return False
    return posixpath.normpath(shown) != posixpath.normpath(wanted)
