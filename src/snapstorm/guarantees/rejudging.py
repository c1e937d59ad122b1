"""Judging again: a recorded run by today's guarantees, from what the ledger has of it, without the target.

The record is gone through in its order. What was expected at each moment follows from it (`ExpectedThen`), and what
the target had shown is judged by the functions that judged it then. What rests on something that is not recorded, such
as a failure or a measurement, stands as it was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from snapstorm.errors import TestbedError
from snapstorm.guarantees.expected_then import ExpectedThen
from snapstorm.guarantees.time_spans import Dating
from snapstorm.ledger.ledger import Ledger
from snapstorm.ledger.observed import Observed
from snapstorm.ledger.record import RecordedOperation
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.expectations import Finding, Listing, State, judge_listing
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.judging import (
    concerned,
    describe_restore,
    describe_unsaved,
    digest_of,
    fingerprint_of,
    guarantee_of,
    judge_receipt,
    judge_restored,
    judge_unsaved,
    promise_of,
    tagged_operations,
)
from snapstorm.model.manifest import Manifest
from snapstorm.model.observations import (
    ObservationKind,
    RestoreObservation,
    decode_listing,
    decode_receipt,
    decode_restore,
)
from snapstorm.model.snapshot_states import UNKNOWN
from snapstorm.model.verdict import JUDGED, Verdict

SHOWN_DIFFERENCES = 3

JUDGED_FROM: dict[str, frozenset[Guarantee]] = {
    ObservationKind.LISTING: frozenset(
        {
            Guarantee.ACKNOWLEDGED_STAYS_LISTED,
            Guarantee.DELETED_STAYS_GONE,
            Guarantee.NOTHING_UNREQUESTED,
            Guarantee.CLIENTS_ISOLATED,
        }
    ),
    ObservationKind.RECEIPT: frozenset({Guarantee.ACKNOWLEDGED_STAYS_LISTED, Guarantee.PARTIAL_IS_REPORTED}),
    ObservationKind.RESTORE: frozenset(
        {Guarantee.RESTORED_EXACTLY, Guarantee.IN_DOUBT_ABSENT_OR_EXACT, Guarantee.DAMAGE_IS_DETECTED}
    ),
    ObservationKind.UNSAVED: frozenset({Guarantee.PARTIAL_IS_REPORTED}),
}
"""Which guarantees an observation of each kind is judged by."""


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


class _Key(NamedTuple):
    """Tells a violation from others, as a run does that reports each once."""

    guarantee: Guarantee
    of: str | None
    snapshot: str | None


@dataclass(frozen=True)
class Rejudged:
    """One violation, then and now."""

    today: Today
    guarantee: Guarantee
    detail: str
    client: str | None
    snapshot: str | None
    operation: str | None
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
            "guarantee": self.guarantee.value,
            "detail": self.detail,
            "client": self.client,
            "snapshot": self.snapshot,
            "operation": self.operation,
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
            names = ", ".join(sorted({violation.guarantee.value for violation in counting}))
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


@dataclass(frozen=True)
class _Found:
    """A violation by today's rules."""

    finding: Finding
    client: str
    of: str | None
    """The expectation."""
    operation: str
    fingerprint: str = ""

    @property
    def key(self) -> _Key:
        return _Key(self.finding.guarantee, self.of or self.operation, self.finding.snapshot)


def recheck(ledger: Ledger, run_number: int) -> Recheck:
    """Judge a run again. Reads only. Raises TestbedError for a ledger that is damaged."""
    return _Recheck(ledger, run_number).result()


class _Recheck:
    def __init__(self, ledger: Ledger, run_number: int) -> None:
        self._ledger = ledger
        self._recheck = Recheck(run_number, verdict_then=(ledger.record.run(run_number) or {}).get("verdict"))
        self._operations = list(ledger.record.operations(run_number))
        self._observed = {observed.operation: observed for observed in ledger.observations(run_number)}
        began = self._operations[0].began_tick if self._operations else 0
        self._expected = ExpectedThen(ledger.expectations(), began)
        self._digests: dict[tuple[str, str, bytes], bytes] = {}
        self._dating = Dating(ledger, run_number)

    def result(self) -> Recheck:
        found: dict[_Key, _Found] = {}
        for one in self._go_through():
            found.setdefault(one.key, one)
        self._compare(found)
        self._compare_ends()
        return self._recheck

    def _go_through(self) -> Iterator[_Found]:
        """Everything in the order in which it happened."""
        for _, is_end, operation in sorted(self._moments(), key=lambda moment: moment[0]):
            if not is_end:
                self._expected.begin(operation.id, _doomed(operation), operation.began_tick)
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
        """Whether an operation that has just ended well has shown something that was judged. A restore has not, if the
        deletion of its snapshot began meanwhile."""
        if "sub_path" not in operation.resolved:
            return operation.action == "list-snapshots"
        restored = self._expected.get(operation.resolved["of"])
        return restored is not None and restored.state is State.LIVE

    def _judge(self, operation: RecordedOperation, observed: Observed) -> Iterator[_Found]:
        try:
            match observed.kind:
                case ObservationKind.LISTING:
                    yield from self._judge_listing(operation, decode_listing(observed.encoded))
                case ObservationKind.RECEIPT:
                    yield from self._judge_receipt(operation, observed)
                case ObservationKind.RESTORE:
                    yield from self._judge_restore(operation, decode_restore(observed.encoded))
                case ObservationKind.UNSAVED:
                    yield from self._judge_unsaved(operation, decode_restore(observed.encoded))
                case _:
                    self._recheck.unrecorded += 1  # Of a later version of snapstorm.
        except ValueError as error:
            raise TestbedError(f"the ledger is damaged: what {operation.id} showed can't be read ({error})") from error

    def _judge_listing(self, operation: RecordedOperation, listing: Listing) -> Iterator[_Found]:
        tagged = (self._expected.get(one) for one in sorted(tagged_operations(listing)))
        self._dating.come_to(operation.ended_seconds or operation.began_seconds)
        judgement = judge_listing(
            listing,
            concerned(listing, self._expected.open_of(listing.client), [one for one in tagged if one is not None]),
            self._dating.said,
        )
        self._expected.settle(judgement.settled, listing.ended_tick)
        self._recheck.judged[ObservationKind.LISTING] += 1
        for finding in judgement.findings:
            yield _Found(finding, listing.client, finding.operation, operation.id)

    def _judge_receipt(self, operation: RecordedOperation, observed: Observed) -> Iterator[_Found]:
        receipt, there = decode_receipt(observed.encoded)
        is_id_of_another = self._expected.is_id_of_another(receipt.id, operation.id)
        self._recheck.judged[ObservationKind.RECEIPT] += 1
        span = self._dating.span_of(operation.id)
        for finding in judge_receipt(receipt, there, operation.id, is_id_of_another=is_id_of_another, span=span):
            yield _Found(finding, operation.client, operation.id, operation.id)
        self._dating.said.acknowledge(operation.id, receipt.particulars)

    def _judge_restore(self, operation: RecordedOperation, restore: RestoreObservation) -> Iterator[_Found]:
        expectation = self._expected.recorded(restore.of)
        if expectation is None:
            raise TestbedError(f"the ledger is damaged: {operation.id} restored {restore.of}, which is not in it")
        table = Capabilities.model_validate_json(restore.capabilities or expectation.capabilities)
        guarantee = guarantee_of(is_adopted=restore.is_adopted, is_damaged=restore.is_damaged)
        if restore.trees is not None:
            whole, restored = restore.trees
            differences = judge_restored(
                promise_of(whole, table, restore.sub_path), restored, is_partial=restore.is_partial
            )
            words, fingerprint = [str(one) for one in differences[:SHOWN_DIFFERENCES]], fingerprint_of(differences)
            count = len(differences)
        else:
            digest = self._digest(expectation.manifest, table, restore.sub_path)
            if digest is None:
                self._recheck.without_manifest += 1
                return
            count, fingerprint = int(digest != restore.digest), "digest"
            words = ["by today's rules another tree was promised; which came back is known by its digest only"]
        self._recheck.judged[ObservationKind.RESTORE] += 1
        if count:
            self._recheck.differing.add(operation.id)
            detail = describe_restore(restore.snapshot, "", count, words)
            finding = Finding(guarantee, detail, restore.snapshot, restore.of)
            yield _Found(finding, expectation.client, restore.of, operation.id, fingerprint)

    def _judge_unsaved(self, operation: RecordedOperation, unsaved: RestoreObservation) -> Iterator[_Found]:
        asked_for = self._expected.recorded(operation.id)
        if asked_for is None:
            raise TestbedError(f"the ledger is damaged: {operation.id} asked for a snapshot, which is not in it")
        table = Capabilities.model_validate_json(unsaved.capabilities or asked_for.capabilities)
        if unsaved.trees is not None:
            tree, latest = unsaved.trees
            found: Sequence[object] = judge_unsaved(tree, latest, table)
        else:
            digest = self._digest(asked_for.manifest, table, b"")
            if digest is None:
                self._recheck.without_manifest += 1
                return
            found = [] if digest == unsaved.digest else ["by today's rules another tree was there"]
        self._recheck.judged[ObservationKind.UNSAVED] += 1
        for finding in describe_unsaved(found, unsaved.snapshot or None, operation.id):
            yield _Found(finding, operation.client, operation.id, operation.id)

    def _digest(self, manifest: str, table: Capabilities, sub_path: bytes) -> bytes | None:
        """What is compared of a promised tree; None where it is not known any more. Many restores are of one."""
        key = (manifest, table.as_json, sub_path)
        if key not in self._digests:
            whole = self._manifest(manifest)
            if whole is None:
                return None
            promise = promise_of(whole, table, sub_path)
            self._digests[key] = digest_of(promise.wanted, promise.capabilities)
        return self._digests[key]

    def _manifest(self, digest: str) -> Manifest | None:
        return self._ledger.manifest(digest) if self._ledger.record.has_manifest(digest) else None

    def _compare(self, found: dict[_Key, _Found]) -> None:
        """Hold what today's rules find against what the run has found."""
        then: set[_Key] = set()
        for row in self._ledger.recorded_violations(self._recheck.run):
            violation = row.violation
            key = _Key(violation.guarantee, row.expectation or violation.operation, violation.snapshot)
            then.add(key)
            observed = self._observed.get(violation.operation or "")
            can_judge = observed is not None and violation.guarantee in JUDGED_FROM.get(observed.kind, ())
            today = Today.STILL if key in found else Today.NO_LONGER if can_judge else Today.STANDS
            self._recheck.violations.append(
                Rejudged(
                    today,
                    violation.guarantee,
                    violation.detail,
                    violation.client,
                    violation.snapshot,
                    violation.operation,
                    row.number,
                    is_accepted=row.accepted_reason is not None
                    or self._ledger.is_accepted(
                        violation.guarantee, row.expectation, violation.snapshot, row.fingerprint
                    ),
                )
            )
        for key, one in found.items():
            if key not in then:
                self._recheck.violations.append(self._new(one))

    def _new(self, one: _Found) -> Rejudged:
        finding = one.finding
        is_accepted = self._ledger.is_accepted(finding.guarantee, one.of, finding.snapshot, one.fingerprint)
        return Rejudged(
            Today.NEW,
            finding.guarantee,
            finding.detail,
            one.client,
            finding.snapshot,
            one.operation,
            is_accepted=is_accepted,
        )

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
