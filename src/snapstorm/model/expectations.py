"""Expectations: what each snapshot must be from now on, and what a listing proves of them.

Pure. Moments are *ticks*: whole numbers that the ledger gives out in order, so that "before" and "after" never depend
on a clock. The rules are those of concurrency: a listing proves presence only of snapshots that were acknowledged
before it began and whose deletion had not begun when it ended; it proves absence only for deletions acknowledged
before it began. Nothing but a deletion that the run asked for ends a live expectation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from snapstorm.model.action_results import ListedSnapshot


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
    taken_us: int | None = None
    """When the target says that it began to take it, in microseconds since 1970; None where it does not."""
    is_expiry: bool = False
    """No deletion was asked for, but a creation, after which the target's policy does not keep it, or may not."""


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
class Settled:
    """A doubt that a listing settled."""

    operation: str
    state: State
    snapshot: str | None = None
    failed_entries: int = 0
    taken_us: int | None = None
    """As in an expectation."""


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
