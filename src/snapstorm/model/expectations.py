"""Expectations: what each snapshot must be from now on, and how a listing is held against them.

Pure. Moments are *ticks*: whole numbers that the ledger gives out in order, so that "before" and "after" never depend
on a clock. The rules are those of concurrency: a listing proves presence only of snapshots that were acknowledged
before it began and whose deletion had not begun when it ended; it proves absence only for deletions acknowledged
before it began. Nothing but a deletion that the run asked for ends a live expectation.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from snapstorm.model.dating import SaidSoFar, run_of
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ListedSnapshot


class State(StrEnum):
    """What is known about a snapshot that some operation asked for."""

    CREATING = "creating"
    """The creation was begun and has not ended."""
    CREATION_IN_DOUBT = "creation-in-doubt"
    """The creation was cut off: the snapshot may be there."""
    LIVE = "live"
    """Acknowledged: it must be listed and restore exactly."""
    DELETING = "deleting"
    """A deletion was begun and has not ended."""
    DELETION_IN_DOUBT = "deletion-in-doubt"
    """The deletion was not acknowledged: the snapshot may be gone."""
    DELETED = "deleted"
    """The deletion was acknowledged: it must be listed no more."""
    ABSENT = "absent"
    """A creation in doubt that turned out not to have happened."""


IN_DOUBT = frozenset({State.CREATING, State.CREATION_IN_DOUBT, State.DELETING, State.DELETION_IN_DOUBT})
OPEN_STATES = frozenset(State) - {State.DELETED, State.ABSENT}
"""Of snapshots in these states a listing proves something whether it shows them or not."""


class Expectation(msgspec.Struct, frozen=True, gc=False):
    """What one snapshot must be. Named by the operation that asked for it, which its tag carries.

    A compact struct, because a testbed may have a hundred thousand of them.
    """

    operation: str
    client: str
    source: str
    """The absolute path that was snapshotted."""
    manifest: str
    """The digest of the manifest that a restore must equal."""
    capabilities: str
    """The capability table, as JSON, under which the promise was made."""
    state: State
    began_tick: int
    """When the creation was begun."""
    snapshot: str | None = None
    """The target's id, once known."""
    acknowledged_tick: int | None = None
    """When the creation was acknowledged, or found in a listing after doubt."""
    adopted: bool = False
    """Its creation was in doubt, and a listing showed it."""
    deletion_operation: str | None = None
    """Which asked for its deletion last."""
    deletion_began_tick: int | None = None
    deletion_ended_tick: int | None = None
    tainted_by: int | None = None
    """The fault that had damaged the storage when it was taken: what it refers to may have been damaged already, and
    Kopia does not look (#3492)."""
    failed_entries: int = 0
    """Of one whose creation failed, and that is listed all the same: how many entries the target says it left out. They
    are not promised; the others are."""
    is_promise_in_doubt: bool = False
    """Somebody changed what is kept of its tree while it was taken, or about then: what differs proves nothing."""


class Listing(msgspec.Struct, frozen=True):
    """A listing as one client was shown it, and when."""

    client: str
    testbed: str
    entries: Sequence[ListedSnapshot]
    began_tick: int
    ended_tick: int
    is_quiescent: bool = False
    """No process of this client, or of an earlier run, can still be at work: absence now settles a doubt."""
    is_isolated: bool = True
    """The target promises to show a client its own snapshots only."""
    is_exclusive: bool = True
    """The repository is ours alone: a snapshot without our tag, or with another testbed's, is one that nobody asked
    for."""
    unknown_runs: Sequence[range] = ()
    """Numbers of runs that the ledger does not know: what they asked for can't be told from what nobody did."""


@dataclass(frozen=True)
class Finding:
    """A guarantee that a listing shows broken."""

    guarantee: Guarantee
    detail: str
    snapshot: str | None
    operation: str | None = None


@dataclass(frozen=True)
class Settled:
    """A doubt that a listing settled."""

    operation: str
    state: State
    snapshot: str | None = None
    failed_entries: int = 0


@dataclass
class ListingJudgement:
    findings: list[Finding] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    of_unknown_runs: list[str] = field(default_factory=list)
    """Snapshots that can't be judged: a run that the ledger does not know may have asked for them."""


def judge_listing(
    listing: Listing, expectations: Iterable[Expectation], said: SaidSoFar | None = None
) -> ListingJudgement:
    """Hold a listing against the expectations of the client that was shown it, and against what the target has `said`
    of the same snapshots so far."""
    said = said or SaidSoFar({})
    by_operation = {expectation.operation: expectation for expectation in expectations}
    judgement = ListingJudgement()
    complete: dict[str, ListedSnapshot] = {}
    for entry in listing.entries:
        if listing.is_isolated and entry.client != listing.client:
            judgement.findings.append(_shown_to_a_stranger(listing, entry))
        elif entry.testbed != listing.testbed and not listing.is_exclusive:
            continue  # Another testbed's, or an operator's own.
        elif entry.testbed not in (None, listing.testbed):
            judgement.findings.append(_unrequested(entry, "it bears the mark of another testbed"))
        elif entry.operation not in by_operation and _is_of_unknown_run(entry, listing):
            judgement.of_unknown_runs.append(entry.id)
        elif entry.incomplete is not None:
            judgement.findings.extend(_judge_incomplete(listing, entry, by_operation))
        elif entry.operation is None or entry.operation not in by_operation:
            judgement.findings.append(_unrequested(entry, "no client asked for it"))
        elif entry.operation in complete:
            judgement.findings.append(_unrequested(entry, f"operation {entry.operation} asked for one snapshot only"))
        else:
            complete[entry.operation] = entry
    for expectation in by_operation.values():
        _judge_expectation(listing, expectation, complete.get(expectation.operation), said, judgement)
    return judgement


def _is_of_unknown_run(entry: ListedSnapshot, listing: Listing) -> bool:
    run = run_of(entry.operation or "")
    return run is not None and any(run in unknown for unknown in listing.unknown_runs)


def must_be_listed(expectation: Expectation, listing: Listing) -> bool:
    """Whether this listing had to show this snapshot."""
    return (
        expectation.acknowledged_tick is not None
        and expectation.acknowledged_tick < listing.began_tick
        and (expectation.deletion_began_tick is None or expectation.deletion_began_tick > listing.ended_tick)
    )


def must_be_gone(expectation: Expectation, listing: Listing) -> bool:
    """Whether this listing must not have shown this snapshot."""
    return (
        expectation.state is State.DELETED
        and expectation.deletion_ended_tick is not None
        and expectation.deletion_ended_tick < listing.began_tick
    )


def _judge_expectation(
    listing: Listing,
    expectation: Expectation,
    entry: ListedSnapshot | None,
    said: SaidSoFar,
    judgement: ListingJudgement,
) -> None:
    if entry is None:
        _judge_unlisted(listing, expectation, judgement)
        return
    if must_be_gone(expectation, listing):
        judgement.findings.append(
            Finding(
                Guarantee.DELETED_STAYS_GONE,
                f"snapshot {entry.id} is listed although its deletion was acknowledged",
                entry.id,
                expectation.operation,
            )
        )
    elif expectation.state in (State.CREATION_IN_DOUBT, State.ABSENT):
        judgement.settled.append(Settled(expectation.operation, State.LIVE, entry.id, entry.failed_entries))
    elif expectation.state is State.DELETION_IN_DOUBT and listing.is_quiescent:
        judgement.settled.append(
            Settled(expectation.operation, State.LIVE, entry.id, failed_entries=expectation.failed_entries)
        )
    elif expectation.snapshot not in (None, entry.id) and must_be_listed(expectation, listing):
        judgement.findings.append(
            Finding(
                Guarantee.ACKNOWLEDGED_STAYS_LISTED,
                f"snapshot {expectation.snapshot} was acknowledged, but the listing has it as {entry.id}",
                expectation.snapshot,
                expectation.operation,
            )
        )
    elif _is_elsewhere(entry, expectation) and must_be_listed(expectation, listing):
        judgement.findings.append(
            Finding(
                Guarantee.ACKNOWLEDGED_STAYS_LISTED,
                f"snapshot {entry.id} of {expectation.source} is listed as one of {entry.source}",
                entry.id,
                expectation.operation,
            )
        )
    elif must_be_listed(expectation, listing):
        wrong = said.contradiction(expectation.operation, entry.particulars) or _contradicts_itself(listing, entry)
        if wrong:
            judgement.findings.append(
                Finding(
                    Guarantee.ACKNOWLEDGED_STAYS_LISTED,
                    f"snapshot {entry.id} is listed as {wrong}",
                    entry.id,
                    expectation.operation,
                )
            )


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


def _judge_unlisted(listing: Listing, expectation: Expectation, judgement: ListingJudgement) -> None:
    if expectation.state is State.LIVE and must_be_listed(expectation, listing):
        judgement.findings.append(
            Finding(
                Guarantee.ACKNOWLEDGED_STAYS_LISTED,
                f"snapshot {expectation.snapshot} of {expectation.source} was acknowledged, "
                "its deletion was never asked for, and it is not listed",
                expectation.snapshot,
                expectation.operation,
            )
        )
    elif expectation.state is State.CREATION_IN_DOUBT and listing.is_quiescent:
        judgement.settled.append(Settled(expectation.operation, State.ABSENT))
    elif (
        expectation.state is State.DELETION_IN_DOUBT
        and expectation.deletion_began_tick is not None
        and expectation.deletion_began_tick < listing.began_tick
    ):
        judgement.settled.append(Settled(expectation.operation, State.DELETED, expectation.snapshot))


def _judge_incomplete(
    listing: Listing, entry: ListedSnapshot, by_operation: dict[str, Expectation]
) -> Iterable[Finding]:
    """An incomplete entry may stand until the next complete snapshot of its source (measured on Kopia 0.23.1)."""
    cut_off = by_operation.get(entry.operation or "")
    if cut_off is None:
        yield _unrequested(entry, f"no client asked for it, and it is incomplete ({entry.incomplete})")
        return
    later = [
        expectation
        for expectation in by_operation.values()
        if expectation.source == cut_off.source
        and expectation.began_tick > cut_off.began_tick
        and expectation.acknowledged_tick is not None
        and expectation.acknowledged_tick < listing.began_tick
    ]
    if later:
        yield _unrequested(
            entry,
            f"it is the incomplete left-over ({entry.incomplete}) of a creation that was cut off, "
            f"and a later snapshot of {cut_off.source} has completed since",
        )


def _unrequested(entry: ListedSnapshot, why: str) -> Finding:
    return Finding(Guarantee.NOTHING_UNREQUESTED, f"snapshot {entry.id} is listed, but {why}", entry.id)


def _shown_to_a_stranger(listing: Listing, entry: ListedSnapshot) -> Finding:
    return Finding(
        Guarantee.CLIENTS_ISOLATED,
        f"{listing.client} is shown snapshot {entry.id} of {entry.client}",
        entry.id,
    )
