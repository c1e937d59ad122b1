"""The checker: holds what the target shows against what was promised, and reports what differs.

It gathers what is seen and hands it to the guarantees, each of which is judged in a file of its own (`builtin`); the
engine acts. What they find goes to the ledger, to those who watch, and into an evidence directory, in that order of
importance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

import msgspec

from snapstorm.filesystem.client_machine import RestorePlace
from snapstorm.guarantees.differences import as_document, explain, files_to_explain
from snapstorm.guarantees.evidence import Evidence, RestoredTree
from snapstorm.guarantees.panel import Found, Panel
from snapstorm.guarantees.settings import SettingsWatch
from snapstorm.guarantees.time_spans import Dating
from snapstorm.ledger.findings import Verification
from snapstorm.ledger.ledger import IntendedEffect, OperationIntent
from snapstorm.model.action_results import Comparison, SnapshotReceipt
from snapstorm.model.actions import ListSnapshots
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.events import RestoreVerified, ViolationFound
from snapstorm.model.expectations import IN_DOUBT, OPEN_STATES, Expectation, Listing
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.model.judging import digest_of, fingerprint_of, judge_restored, judge_unsaved, promise_of
from snapstorm.model.manifest import Manifest, show_path
from snapstorm.model.observations import ObservationKind, RestoreObservation, encode_listing, encode_restore
from snapstorm.model.predicted_bugs import bug_behind
from snapstorm.model.seen import ListingSeen, ReceiptSeen, RestoreSeen, Seen, UnsavedSeen
from snapstorm.model.sorted_listings import expected_of, settled_by, tagged_operations
from snapstorm.model.tree_differences import DifferenceKind
from snapstorm.runtime.meter import Work
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.under_test import UnderTest


class Checker:
    """Judges one run."""

    def __init__(self, run: RunContext, under_test: UnderTest, evidence: Evidence, settings: SettingsWatch) -> None:
        self._run = run
        self._under_test = under_test
        self.evidence = evidence
        self.settings = settings
        self._panel = Panel()
        self._dating = Dating(run.ledger, run.number)
        self._has_noted_unknown_runs = False
        self._has_noted_partial = False
        now = under_test.capabilities
        self._tables: dict[str, tuple[Capabilities, bool]] = {now.as_json: (now, False)}

    def report(
        self, found: Found, texts: Mapping[str, str] | None = None, tree: RestoredTree | None = None
    ) -> Violation | None:
        """Report a finding with its evidence: these texts besides its own, and the restored tree. None if this run has
        reported the same already, or it is known: accepted by somebody, or predicted by a known bug."""
        if not self._panel.count(found.key):
            return None
        finding, ledger, tally = found.finding, self._run.ledger, self._run.tally
        bug = bug_behind(self._under_test.known_bugs, found.guarantee, finding, found.seen)
        directory = self.evidence.begin(found.guarantee)
        violation = Violation(
            found.guarantee,
            finding.detail,
            found.client,
            finding.snapshot,
            finding.path,
            None if directory is None else str(directory),
            found.seen.operation,
        )
        is_known = ledger.is_accepted(found.guarantee, finding.expectation, finding.snapshot, finding.fingerprint)
        number = ledger.add_violation(
            self._run.number, violation, finding.expectation, finding.fingerprint, at_seconds=self._run.now_seconds()
        )
        if directory is not None:
            self.evidence.keep(directory, violation, number, {**(texts or {}), **finding.texts}, tree)
        if bug is not None:
            ledger.accept(number, bug.reason)
            tally.known_bugs[bug.key] = tally.known_bugs.get(bug.key, 0) + 1
        if is_known or bug is not None:
            tally.known_violations.append(violation)
            return None
        tally.violations.append(violation)
        self._run.emit(ViolationFound(violation))
        return violation

    def observe(self, seen: Seen) -> list[Violation]:
        """Judge something that was seen, and report what it shows."""
        return self._report_all(self._panel.judge(seen))

    def _report_all(
        self, found: Iterable[Found], texts: Mapping[str, str] | None = None, tree: RestoredTree | None = None
    ) -> list[Violation]:
        """Report what was found, with these texts besides its own."""
        reported = [self.report(one, texts, tree) for one in found]
        return [violation for violation in reported if violation is not None]

    # Restores.

    async def judge_restore(
        self,
        expectation: Expectation,
        place: RestorePlace,
        *,
        operation: str,
        through: str,
        sub_path: bytes = b"",
        is_damaged: bool = False,
    ) -> tuple[Comparison, list[Violation]]:
        """Compare a restored tree, or the part of a snapshot at `sub_path`, with what was promised. `through` says
        which way it was restored; `is_damaged`, whether storage was damaged on purpose then."""
        run = self._run
        # Read first: its client may delete the snapshot while the tree is scanned, and what is deleted has no manifest.
        whole = run.ledger.manifest(expectation.manifest)
        capabilities, is_narrowed = self._table_for(expectation)
        promise = promise_of(whole, capabilities, sub_path)
        with run.meter.busy[Work.SCANNING]:
            restored = await place.scan(promise)
        is_partial = expectation.failed_entries > 0
        found = judge_restored(promise, restored, is_partial=is_partial)
        comparison = Comparison(
            expectation.snapshot or "", tuple(found), len(restored.entries), restored.counts.size_bytes, restored
        )
        if found and await self.settings.explain(found, expectation):
            return comparison, []
        if is_partial:
            self._note_partial(expectation)
        observed = RestoreObservation(
            of=expectation.operation,
            snapshot=comparison.snapshot,
            sub_path=sub_path,
            is_damaged=is_damaged,
            is_adopted=expectation.adopted,
            is_partial=is_partial,
            capabilities=capabilities.as_json if is_narrowed else None,
            digest=b"" if found or is_partial else digest_of(restored, promise),
            promised=whole.encoded if found or is_partial else b"",
            restored=restored.encoded if found or is_partial else b"",
        )
        with run.ledger.committing_later():
            verification = Verification(
                expectation=expectation.operation,
                run=run.number,
                operation=operation,
                is_whole=sub_path == b"",
                is_equal=not found,
                is_narrowed=is_narrowed or is_partial,
                bytes=restored.counts.size_bytes,
                at_utc=run.clock.virtual_utc(),
                target_versions=self._under_test.versions,
                through=through,
            )
            run.ledger.add_verification(verification)
            run.ledger.observe(operation, ObservationKind.RESTORE, encode_restore(observed))
        await run.ledger.committed()
        seen = RestoreSeen(
            client=expectation.client,
            operation=operation,
            snapshot=comparison.snapshot,
            expectation=expectation.operation,
            sub_path=sub_path,
            is_damaged=is_damaged,
            is_adopted=expectation.adopted,
        )
        if found:
            return comparison, await self._report_differences(seen, comparison, promise.wanted, place)
        self._count_verified(expectation, comparison, is_narrowed or is_partial)
        return comparison, self.observe(seen)

    async def _report_differences(
        self, seen: RestoreSeen, comparison: Comparison, wanted: Manifest, place: RestorePlace
    ) -> list[Violation]:
        """Report a restore that differs, explained, with the restored tree as evidence."""
        found = comparison.differences
        explained = explain(found, wanted, comparison.restored, await place.explain(files_to_explain(found, wanted)))
        words = [str(one) for one in explained]
        seen = replace(
            seen,
            differences=len(found),
            words=words,
            path=show_path(found[0].path),
            fingerprint=fingerprint_of(found),
        )
        texts = {
            "differences.txt": "\n".join(words),
            "differences.json": as_document(explained, seen),
            "expected-manifest.txt": _show_manifest(wanted),
        }
        differing = [one.path for one in found]
        async with place.at_hand(differing, comparison.bytes_compared) as tree:
            restored = RestoredTree(tree, differing, comparison.bytes_compared)
            violations = self._report_all(self._panel.judge(seen), texts, restored)
        damaged = [_below(seen.sub_path, one.path) for one in found if one.kind is not DifferenceKind.EXTRA]
        await self.evidence.name_objects(violations, comparison.snapshot, damaged)
        return violations

    def _note_partial(self, expectation: Expectation) -> None:
        """Say once that of some snapshot only what was taken is compared."""
        if not self._has_noted_partial:
            self._has_noted_partial = True
            self._run.note(
                f"snapshot {expectation.snapshot} is listed although its creation failed: {expectation.failed_entries} "
                "entries were left out, as the target says itself; only what is there is compared"
            )

    def _table_for(self, expectation: Expectation) -> tuple[Capabilities, bool]:
        """The table to compare under, and whether that is less than was promised. Many snapshots share one promise."""
        known = self._tables.get(expectation.capabilities)
        if known is None:
            promised = Capabilities.model_validate_json(expectation.capabilities)
            capabilities = promised.narrowed_to(self._under_test.capabilities)
            known = self._tables[expectation.capabilities] = (capabilities, capabilities != promised)
        return known

    def _count_verified(self, expectation: Expectation, comparison: Comparison, is_narrowed: bool) -> None:
        tally = self._run.tally
        tally.restores_verified += 1
        tally.restores_narrowed += is_narrowed
        tally.restores_verified_earlier_runs += not expectation.operation.startswith(f"r{self._run.number}-")
        tally.entries_verified += max(comparison.entries - 1, comparison.bytes_compared > 0)
        tally.bytes_verified += comparison.bytes_compared
        tally.links_verified += comparison.restored.counts.symlinks > 0
        tally.empty_directories_verified += comparison.restored.has_empty_directory
        self._run.emit(RestoreVerified(expectation.client, comparison.snapshot, comparison.bytes_compared))

    # Snapshots and listings.

    async def judge_receipt(
        self, receipt: SnapshotReceipt, manifest: Manifest, *, client: str, operation: str, began_seconds: float
    ) -> list[Violation]:
        """Hold what the target says that it took, and when, against what was there, and the clock. It was asked for at
        `began_seconds` of the run's clock."""
        self._watch_clock()
        seen = ReceiptSeen(
            client=client,
            operation=operation,
            receipt=receipt,
            there=receipt.counts_of(manifest),
            is_id_of_another=self._run.ledger.is_id_of_another(receipt.id, operation),
            span=self._dating.span(client, began_seconds, self._run.now_seconds()),
        )
        judged = self._panel.judge(seen)
        if not judged:
            return []
        others = [one for one in judged if one.guarantee is not Guarantee.PARTIAL_IS_REPORTED]
        if len(others) < len(judged) and await self.settings.leaves_unjudged(
            *self._run.ledger.expectations_of_operations([operation])
        ):
            if not others:
                self._run.ledger.forget_observation(operation)
            judged = others  # Settings decide how much is kept, and nothing else.
        return self._report_all(judged)

    async def judge_unsaved(
        self, tree: Manifest, source: str, settle: Callable[[], Awaitable[object]], client: str, operation: str
    ) -> list[Violation]:
        """Hold a tree that was not saved, because it is said to equal the latest snapshot of its source, against what
        that one promises. Where it is in doubt which one that is, `settle` finds out first."""
        run = self._run
        if run.ledger.expectations(client, IN_DOUBT, source=source):
            await settle()
        latest = run.ledger.latest_live(client, source)
        promise = promise_of(tree, self._under_test.capabilities)
        promised = Manifest(()) if latest is None else run.ledger.manifest(latest.manifest)
        found = judge_unsaved(tree, promised, self._under_test.capabilities)
        is_in_doubt = bool(found) and latest is not None and await self.settings.leaves_unjudged(latest)
        words = f"{operation} saved nothing, and its tree has changed"
        if is_in_doubt or (found and await self.settings.may_explain(client, words)):
            return []
        observed = RestoreObservation(
            of="" if latest is None else latest.operation,
            snapshot="" if latest is None else latest.snapshot or "",
            sub_path=b"",
            is_damaged=False,
            is_adopted=False,
            is_partial=False,
            capabilities=self._under_test.capabilities.as_json,
            digest=b"" if found else digest_of(promise.wanted, promise),
            promised=tree.encoded if found else b"",
            restored=promised.encoded if found else b"",
        )
        run.ledger.observe(operation, ObservationKind.UNSAVED, encode_restore(observed))
        snapshot = observed.snapshot or None
        return self.observe(UnsavedSeen(client=client, operation=operation, snapshot=snapshot, differences=found))

    def _watch_clock(self) -> None:
        """Come to this moment; once the clock was set, say so, and hold nothing against it any more."""
        run = self._run
        if self._dating.come_to(run.now_seconds(), run.clock.virtual_ns()):
            run.note("this machine's clock was set during the run: when its snapshots were taken is not judged")

    def _note_of_unknown_runs(self) -> None:
        """Say once that there are snapshots about which nothing is known."""
        if not self._has_noted_unknown_runs:
            self._has_noted_unknown_runs = True
            self._run.note(
                "there are snapshots of runs that this ledger does not know, because it goes on from an older copy; "
                "they are not judged"
            )

    async def judge_listing(
        self, listing: Listing, operation: str | None, *, veiled_since_tick: int | None = None
    ) -> list[Violation]:
        """Hold a listing against what its client must see; settle the doubts that it settles. `veiled_since_tick`: of
        what happened since then, storage may not have shown all, so the listing is not held to that and settles
        nothing."""
        ledger = self._run.ledger
        of_client = {found.operation: found for found in ledger.expectations(listing.client, OPEN_STATES)}
        tagged = ledger.expectations_of_operations(sorted(tagged_operations(listing) - of_client.keys()))
        self._watch_clock()
        seen = ListingSeen(
            client=listing.client,
            operation=operation,
            listing=listing,
            expected=expected_of(listing, of_client, tagged),
            spans=self._dating.spans,
            retention=ledger.expiries.retention,
            creation_ticks=ledger.expiries.creation_ticks(listing.client),
            ahead_us=self._dating.ahead_us,
        )
        judged = self._panel.judge(seen)
        if operation is not None:
            with ledger.committing_later():  # Settling commits both.
                ledger.observe(operation, ObservationKind.LISTING, encode_listing(listing))
        if veiled_since_tick is None:
            ledger.settle(settled_by(listing, seen.expected, seen.entries.complete))
        else:
            judged = self._without_veiled(seen, judged, veiled_since_tick)
        if seen.entries.of_unknown_runs:
            self._note_of_unknown_runs()
        if not judged:
            return []
        judged = await self._without_expired(listing, judged, operation)
        encoded = msgspec.json.encode([msgspec.structs.asdict(one) for one in listing.entries])
        return self._report_all(judged, {"listing.json": msgspec.json.format(encoded).decode()})

    def _without_veiled(self, seen: ListingSeen, judged: list[Found], since_tick: int) -> list[Found]:
        """The findings of a listing that are not about what happened since then. With any other, or where it would
        settle a doubt, it is not kept to be judged again."""
        held = [one for one in judged if not _is_veiled(seen.expected.get(one.finding.expectation or ""), since_tick)]
        settles = any(settled_by(seen.listing, seen.expected, seen.entries.complete))
        if (settles or len(held) < len(judged)) and seen.operation is not None:
            self._run.ledger.forget_observation(seen.operation)
        return held

    async def _without_expired(self, listing: Listing, judged: list[Found], operation: str | None) -> list[Found]:
        """The findings of a listing that are judged. After a change of retention, which may be why a snapshot is
        missing, it is in doubt until a listing shows it."""
        ledger = self._run.ledger
        missing = [
            one
            for one in judged
            if one.guarantee is Guarantee.ACKNOWLEDGED_STAYS_LISTED and one.client == listing.client
        ]
        if not missing or operation is None or not await self.settings.may_have_expired(listing.client):
            return judged
        ledger.forget_observation(operation)
        for one in missing:
            self.settings.count_unjudged(one.finding.detail)
        doomed = [one.finding.expectation for one in missing if one.finding.expectation is not None]
        ledger.begin_operation(
            OperationIntent(
                operation=(doubting := f"{operation}-doubt"),
                run=self._run.number,
                client=listing.client,
                step=0,
                action=ListSnapshots.key,
                options="{}",
                began_seconds=self._run.now_seconds(),
                effect=IntendedEffect({"deletes": doomed}, deletes=doomed),
                is_own=True,
            )
        )
        ledger.end_operation(doubting, outcome="unknown", reason="settings were changed", seconds=0.0)
        return [one for one in judged if one not in missing]


def _is_veiled(expectation: Expectation | None, since_tick: int) -> bool:
    """Whether this snapshot came, or went, since then."""
    if expectation is None:
        return False
    moments = expectation.acknowledged_tick, expectation.deletion_began_tick, expectation.deletion_ended_tick
    return any(moment is not None and moment >= since_tick for moment in moments)


def _below(sub_path: bytes, path: bytes) -> bytes:
    """The path in the whole snapshot of what is at `path` in the part of it at `sub_path`."""
    return b"/".join(part for part in (sub_path, path) if part)


def _show_manifest(manifest: Manifest) -> str:
    return "\n".join(
        f"{entry.type.value:9} {entry.mode:04o} {entry.uid}:{entry.gid} {entry.mtime_ns} {entry.size:>12} "
        f"{entry.digest.hex()[:16]:16} {show_path(entry.path)}"
        for entry in manifest.entries[:100_000]
    )
