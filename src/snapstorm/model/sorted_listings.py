"""What a listing shows, sorted by what is known of it, and which doubts it settles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.dating import run_of
from snapstorm.model.expectations import Expectation, Listing, Settled, State


class SortedListing(NamedTuple):
    """The entries of a listing."""

    complete: dict[str, ListedSnapshot]
    """What was asked for, by the operation that has."""
    incomplete: list[ListedSnapshot]
    unrequested: list[tuple[ListedSnapshot, str]]
    """What nobody asked for, and why that is known."""
    strangers: list[ListedSnapshot]
    """Those of other clients, where they must not be shown."""
    of_unknown_runs: list[str]
    """Ids that can't be judged: a run that the ledger does not know may have asked for them."""


def sort_listing(listing: Listing, expected: Mapping[str, Expectation]) -> SortedListing:
    """Sort the entries of a listing that is held against these expectations."""
    found = SortedListing({}, [], [], [], [])
    for entry in listing.entries:
        if listing.is_isolated and entry.client != listing.client:
            found.strangers.append(entry)
        elif entry.testbed != listing.testbed and not listing.is_exclusive:
            continue  # Another testbed's, or an operator's own.
        elif entry.testbed not in (None, listing.testbed):
            found.unrequested.append((entry, "it bears the mark of another testbed"))
        elif entry.operation not in expected and _is_of_unknown_run(entry, listing):
            found.of_unknown_runs.append(entry.id)
        elif entry.incomplete is not None:
            found.incomplete.append(entry)
        elif entry.operation is None or entry.operation not in expected:
            found.unrequested.append((entry, "no client asked for it"))
        elif entry.operation in found.complete:
            found.unrequested.append((entry, f"operation {entry.operation} asked for one snapshot only"))
        else:
            found.complete[entry.operation] = entry
    return found


def _is_of_unknown_run(entry: ListedSnapshot, listing: Listing) -> bool:
    run = run_of(entry.operation or "")
    return run is not None and any(run in unknown for unknown in listing.unknown_runs)


def expected_of(
    listing: Listing, of_client: Mapping[str, Expectation], tagged: Iterable[Expectation]
) -> dict[str, Expectation]:
    """What a listing is held against, by operation: what its client has in an open state, and whatever the listing
    shows (`tagged`) of this client and, where the server does not keep clients apart, of others."""
    found = dict(of_client)
    for expectation in tagged:
        if expectation.client == listing.client or not listing.is_isolated:
            found.setdefault(expectation.operation, expectation)
    return found


def tagged_operations(listing: Listing) -> set[str]:
    """The operations whose snapshots a listing shows."""
    return {entry.operation for entry in listing.entries if entry.operation}


def settled_by(
    listing: Listing, expected: Mapping[str, Expectation], complete: Mapping[str, ListedSnapshot]
) -> Iterator[Settled]:
    """The doubts about its client's snapshots that a listing settles, which shows these as complete. Those about other
    clients' snapshots wait for these clients' own listings: only of its own client a listing knows whether all is
    quiet."""
    for expectation in expected.values():
        if expectation.state is State.LIVE or expectation.client != listing.client:
            continue  # As nearly always, of a hundred thousand.
        entry = complete.get(expectation.operation)
        if expectation.state in (State.CREATION_IN_DOUBT, State.ABSENT):
            if entry is not None:
                yield _live(expectation, entry, entry.failed_entries)
            elif expectation.state is State.CREATION_IN_DOUBT and listing.is_quiescent:
                yield Settled(expectation.operation, State.ABSENT)
        elif expectation.state is State.DELETION_IN_DOUBT:
            if entry is not None and listing.is_quiescent:
                yield _live(expectation, entry, expectation.failed_entries)
            elif entry is None and _has_begun(expectation.deletion_began_tick, listing):
                yield Settled(expectation.operation, State.DELETED, expectation.snapshot)


def _live(doubted: Expectation, entry: ListedSnapshot, failed_entries: int) -> Settled:
    taken_us = None if entry.particulars is None else entry.particulars.began_us
    return Settled(doubted.operation, State.LIVE, entry.id, failed_entries, taken_us)


def _has_begun(deletion_began_tick: int | None, listing: Listing) -> bool:
    """Whether a deletion had begun when the listing did."""
    return deletion_began_tick is not None and deletion_began_tick < listing.began_tick
