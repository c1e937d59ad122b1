"""Judging again: a recorded run by today's guarantees, from what the ledger has of it, without the target.

The record is gone through in its order. What was expected at each moment follows from it (`ExpectedThen`), and what
the target had shown is handed to the same guarantees. What rests on something that is not recorded, such as a failure
or a measurement, stands as it was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from snapstorm.errors import TestbedError
from snapstorm.guarantees.expected_then import ExpectedThen
from snapstorm.guarantees.panel import FindingKey, Found, Panel, is_judged_from
from snapstorm.guarantees.time_spans import Dating
from snapstorm.ledger.ledger import MAY_EXPIRE, Ledger
from snapstorm.ledger.observed import Observed
from snapstorm.ledger.record import RecordedOperation
from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.actions import ListSnapshots
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.expectations import Expectation, Listing, State
from snapstorm.model.guarantees import OVERSTAYED, Violation
from snapstorm.model.judging import digest_of, fingerprint_of, judge_restored, judge_unsaved, promise_of
from snapstorm.model.manifest import Counts, Manifest
from snapstorm.model.observations import (
    ObservationKind,
    RestoreObservation,
    decode_held,
    decode_listing,
    decode_receipt,
    decode_restore,
)
from snapstorm.model.predicted_bugs import PredictedBug, bug_behind
from snapstorm.model.seen import HeldSeen, ListingSeen, ReceiptSeen, RestoreSeen, Seen, UnsavedSeen
from snapstorm.model.snapshot_states import UNKNOWN
from snapstorm.model.sorted_listings import expected_of, settled_by, tagged_operations
from snapstorm.model.verdict import JUDGED, Verdict

_SEEN: dict[str, type[Seen]] = {
    ObservationKind.LISTING: ListingSeen,
    ObservationKind.RECEIPT: ReceiptSeen,
    ObservationKind.RESTORE: RestoreSeen,
    ObservationKind.UNSAVED: UnsavedSeen,
    ObservationKind.SIZE: HeldSeen,
}
"""As what the guarantees are handed each recorded observation."""


class Today(StrEnum):
    """What today's rules say of a violation."""

    STILL = "still"
    """It is one today as it was then."""
    NO_LONGER = "no longer"
    """It was one, and is none today."""
    NEW = "new"
    """It is one today, and was none."""
    STANDS = "stands"
    """It rests on something that is not recorded, and can't be judged again."""


@dataclass(frozen=True)
class Rejudged:
    """One violation, then and now."""

    today: Today
    violation: Violation
    number: int | None = None
    """By which the ledger knows it; None for a new one."""
    is_accepted: bool = False

    @property
    def counts(self) -> bool:
        """Whether it makes the verdict red today."""
        return self.today is not Today.NO_LONGER and not self.is_accepted

    def as_json(self) -> dict[str, Any]:
        return {
            "today": self.today.value,
            "guarantee": self.violation.guarantee.value,
            "detail": self.violation.detail,
            "client": self.violation.client,
            "snapshot": self.violation.snapshot,
            "operation": self.violation.operation,
            "violation": self.number,
            "is_accepted": self.is_accepted,
        }


@dataclass
class Recheck:
    """What judging a run again has shown."""

    run: int
    violations: list[Rejudged] = field(default_factory=list)
    judged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ObservationKind, 0))
    """How many observations of each kind."""
    unrecorded: int = 0
    """Listings and restores that ended well, and of which nothing was kept."""
    without_manifest: int = 0
    """Restores of snapshots that are deleted by now: what they had to be is not known any more."""
    differing: set[str] = field(default_factory=set)
    """The restores that are not equal to what was written, by their operations."""
    verdict_then: str | None = None
    """The run's own; None for one that was killed, or that is going on."""
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> tuple[Verdict, str]:
        """As of a run, with the reason in words."""
        counting = [violation for violation in self.violations if violation.counts]
        if counting:
            names = ", ".join(sorted({one.violation.guarantee.value for one in counting}))
            return Verdict.VIOLATED, f"{len(counting)} violation(s) of {names}, by today's rules or as found then"
        equal = self.judged[ObservationKind.RESTORE] - len(self.differing)
        if not equal:
            words = "equals what was written" if self.differing else "is recorded such that it can be judged again"
            return Verdict.INCONCLUSIVE, f"no restore of run {self.run} {words}"
        words = f"{equal} restores equal what was written by today's rules, too"
        if self.differing:
            words += f"; {len(self.differing)} do not, which is accepted"
        # What the run did not come to, judging again can't make up for.
        if self.verdict_then is None:
            return Verdict.INCONCLUSIVE, f"run {self.run} has not ended, and so has not judged all; {words}"
        then = Verdict(self.verdict_then)
        if then not in JUDGED:
            return then, f"run {self.run} ended as {then}, and has not judged all; {words}"
        return Verdict.PASS, words

    def as_json(self) -> dict[str, Any]:
        verdict, reason = self.verdict
        return {
            "schema": 1,
            "run": self.run,
            "verdict": verdict.value,
            "reason": reason,
            "judged": {str(kind): count for kind, count in self.judged.items()},
            "unrecorded": self.unrecorded,
            "without_manifest": self.without_manifest,
            "violations": [violation.as_json() for violation in self.violations],
            "notes": list(self.notes),
        }


def recheck(ledger: Ledger, run_number: int, known: Sequence[PredictedBug] = ()) -> Recheck:
    """Judge a run again; what these known bugs predict counts as accepted. Reads only.

    Raises TestbedError for a ledger that is damaged.
    """
    return _Recheck(ledger, run_number, known).result()


class _Recheck:
    def __init__(self, ledger: Ledger, run_number: int, known: Sequence[PredictedBug]) -> None:
        self._ledger = ledger
        self._known = known
        self._recheck = Recheck(run_number, verdict_then=(ledger.record.run(run_number) or {}).get("verdict"))
        self._operations = list(ledger.record.operations(run_number))
        self._observed = {observed.operation: observed for observed in ledger.observations(run_number)}
        began = self._operations[0].began_tick if self._operations else 0
        self._retention = ledger.expiries.retention
        self._expected = ExpectedThen(
            ledger.expectations(), began, self._retention, knows_all=not ledger.gaps.unknown_runs()
        )
        self._panel = Panel()
        self._digests: dict[tuple[str, str, bytes], bytes] = {}
        self._dating = Dating(ledger, run_number)

    def result(self) -> Recheck:
        found = {one.key: one for one in self._go_through() if self._panel.count(one.key)}
        self._compare(found)
        self._compare_ends()
        return self._recheck

    def _go_through(self) -> Iterator[Found]:
        """Everything in the order in which it happened."""
        for _, is_end, operation in sorted(self._moments(), key=lambda moment: moment[0]):
            if not is_end:
                may_expire = operation.resolved.get(MAY_EXPIRE, ())
                self._expected.begin(operation.id, _doomed(operation), operation.began_tick, may_expire)
                continue
            self._expected.end(operation.id, operation.outcome or UNKNOWN, operation.ended_tick or 0)
            observed = self._observed.get(operation.id)
            if observed is not None:
                yield from self._judge(operation, observed)
            elif operation.outcome == "ok" and self._was_judged(operation):
                self._recheck.unrecorded += 1

    def _moments(self) -> Iterator[tuple[int, bool, RecordedOperation]]:
        for operation in self._operations:
            yield operation.began_tick, False, operation
            if operation.ended_tick is not None:
                yield operation.ended_tick, True, operation

    def _was_judged(self, operation: RecordedOperation) -> bool:
        """Whether what a successful operation showed was judged. A restore's was not if a deletion began meanwhile."""
        if "sub_path" not in operation.resolved:
            return operation.action == ListSnapshots.key
        restored = self._expected.get(operation.resolved["of"])
        return restored is not None and restored.state is State.LIVE

    def _judge(self, operation: RecordedOperation, observed: Observed) -> Iterator[Found]:
        if observed.kind not in _SEEN:
            self._recheck.unrecorded += 1  # Of a later version of snapstorm.
            return
        try:
            seen = self._seen(operation, observed)
        except ValueError as error:
            raise TestbedError(f"the ledger is damaged: what {operation.id} showed can't be read ({error})") from error
        if seen is None:
            self._recheck.without_manifest += 1
            return
        self._recheck.judged[observed.kind] += 1
        if isinstance(seen, RestoreSeen) and seen.differences:
            self._recheck.differing.add(operation.id)
        yield from self._panel.judge(seen)
        if isinstance(seen, ListingSeen):
            settled = settled_by(seen.listing, seen.expected, seen.entries.complete)
            self._expected.settle(settled, seen.listing.ended_tick)

    def _seen(self, operation: RecordedOperation, observed: Observed) -> Seen | None:
        """What was seen then; None where what it is held against is not known any more."""
        match observed.kind:
            case ObservationKind.LISTING:
                return self._seen_listing(operation, decode_listing(observed.encoded))
            case ObservationKind.RECEIPT:
                return self._seen_receipt(operation, *decode_receipt(observed.encoded))
            case ObservationKind.SIZE:
                held = decode_held(observed.encoded)
                return replace(held, client=operation.client, operation=operation.id)
            case ObservationKind.RESTORE:
                return self._seen_restore(operation, decode_restore(observed.encoded))
            case _:
                return self._seen_unsaved(operation, decode_restore(observed.encoded))

    def _seen_listing(self, operation: RecordedOperation, listing: Listing) -> ListingSeen:
        self._dating.come_to(operation.ended_seconds or operation.began_seconds)
        tagged = (self._expected.get(one) for one in sorted(tagged_operations(listing)))
        return ListingSeen(
            client=listing.client,
            operation=operation.id,
            listing=listing,
            expected=expected_of(
                listing, self._expected.open_of(listing.client), [one for one in tagged if one is not None]
            ),
            spans=self._dating.spans,
            retention=self._retention,
            creation_ticks=self._ledger.expiries.creation_ticks(listing.client),
            ahead_us=self._dating.ahead_us,
        )

    def _seen_receipt(self, operation: RecordedOperation, receipt: SnapshotReceipt, there: Counts) -> ReceiptSeen:
        return ReceiptSeen(
            client=operation.client,
            operation=operation.id,
            receipt=receipt,
            there=there,
            is_id_of_another=self._expected.is_id_of_another(receipt.id, operation.id),
            span=self._dating.span_of(operation.id),
        )

    def _seen_restore(self, operation: RecordedOperation, restore: RestoreObservation) -> RestoreSeen | None:
        expectation = self._recorded(restore.of, operation)
        table = Capabilities.model_validate_json(restore.capabilities or expectation.capabilities)
        seen = RestoreSeen(
            client=expectation.client,
            operation=operation.id,
            snapshot=restore.snapshot,
            expectation=restore.of,
            sub_path=restore.sub_path,
            is_damaged=restore.is_damaged,
            is_adopted=restore.is_adopted,
        )
        if restore.trees is not None:
            whole, restored = restore.trees
            promise = promise_of(whole, table, restore.sub_path)
            found = judge_restored(promise, restored, is_partial=restore.is_partial)
            words = [str(one) for one in found]
            return replace(seen, differences=len(found), words=words, fingerprint=fingerprint_of(found))
        digest = self._digest(expectation.manifest, table, restore.sub_path)
        if digest is None:
            return None
        words = ["by today's rules another tree was promised; which came back is known by its digest only"]
        return replace(seen, differences=int(digest != restore.digest), words=words, fingerprint="digest")

    def _seen_unsaved(self, operation: RecordedOperation, unsaved: RestoreObservation) -> UnsavedSeen | None:
        expectation = self._recorded(operation.id, operation)
        table = Capabilities.model_validate_json(unsaved.capabilities or expectation.capabilities)
        found: Sequence[object] = ()
        if unsaved.trees is not None:
            found = judge_unsaved(*unsaved.trees, table)
        else:
            digest = self._digest(expectation.manifest, table, b"")
            if digest is None:
                return None
            found = () if digest == unsaved.digest else ["by today's rules another tree was there"]
        snapshot = unsaved.snapshot or None
        return UnsavedSeen(client=operation.client, operation=operation.id, snapshot=snapshot, differences=found)

    def _recorded(self, of: str, operation: RecordedOperation) -> Expectation:
        """What the ledger has of the snapshot that an operation asked for, and that another one is about."""
        found = self._expected.recorded(of)
        if found is None:
            raise TestbedError(f"the ledger is damaged: {operation.id} is about {of}, which is not in it")
        return found

    def _digest(self, manifest: str, table: Capabilities, sub_path: bytes) -> bytes | None:
        """What is compared of a promised tree; None where it is not known any more. Many restores are of one."""
        key = (manifest, table.as_json, sub_path)
        if key not in self._digests:
            whole = self._manifest(manifest)
            if whole is None:
                return None
            promise = promise_of(whole, table, sub_path)
            self._digests[key] = digest_of(promise.wanted, promise)
        return self._digests[key]

    def _manifest(self, digest: str) -> Manifest | None:
        return self._ledger.manifest(digest) if self._ledger.record.has_manifest(digest) else None

    def _compare(self, found: dict[FindingKey, Found]) -> None:
        """Hold what today's rules find against what the run has found."""
        then: set[FindingKey] = set()
        for row in self._ledger.recorded_violations(self._recheck.run):
            violation = row.violation
            of = row.expectation or violation.operation or row.fingerprint
            key = FindingKey(violation.guarantee, of, violation.snapshot, row.fingerprint == OVERSTAYED)
            then.add(key)
            observed = self._observed.get(violation.operation or "")
            can_judge = observed is not None and is_judged_from(violation.guarantee, _SEEN.get(observed.kind))
            today = Today.STILL if key in found else Today.NO_LONGER if can_judge else Today.STANDS
            about = (violation.guarantee, row.expectation, violation.snapshot, row.fingerprint)
            is_accepted = row.accepted_reason is not None or self._ledger.is_accepted(*about)
            is_accepted |= key in found and self._is_predicted(found[key])
            self._recheck.violations.append(Rejudged(today, violation, row.number, is_accepted))
        for key, one in found.items():
            if key not in then:
                self._recheck.violations.append(self._new(one))

    def _new(self, one: Found) -> Rejudged:
        finding = one.finding
        found = Violation(one.guarantee, finding.detail, one.client, finding.snapshot, operation=one.seen.operation)
        about = (one.guarantee, finding.expectation, finding.snapshot, finding.fingerprint)
        is_accepted = self._ledger.is_accepted(*about) or self._is_predicted(one)
        return Rejudged(Today.NEW, found, is_accepted=is_accepted)

    def _is_predicted(self, found: Found) -> bool:
        return bug_behind(self._known, found.guarantee, found.finding, found.seen) is not None

    def _compare_ends(self) -> None:
        """After the last run, going through the record must come to what the ledger holds."""
        if self._ledger.position[0] != self._recheck.run:
            return
        different = self._expected.differing()
        if different and not self._recheck.unrecorded:
            self._recheck.notes.append(
                f"of {len(different)} snapshot(s) the record does not come to what the ledger holds, such as of "
                f"{different[0]}"
            )


def _doomed(operation: RecordedOperation) -> Sequence[str]:
    """The snapshots whose deletion it asks for, by the operations that asked for them."""
    if "deletes" in operation.resolved:
        return list(operation.resolved["deletes"])
    is_deletion = "of" in operation.resolved and "sub_path" not in operation.resolved
    return [operation.resolved["of"]] if is_deletion else []
