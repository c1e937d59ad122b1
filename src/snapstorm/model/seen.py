"""What judging rests on: each thing that a run has seen, as a frozen value.

A run hands them to the guarantees as they come. Receipts, listings, restores and creations that saved nothing are also
recorded (`model.observations`), so that a run can be judged again.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.dating import TimeSpan
from snapstorm.model.expectations import Expectation, Listing, State, must_be_gone, must_be_listed
from snapstorm.model.expiry import may_have_ended, overstaying
from snapstorm.model.manifest import Counts
from snapstorm.model.retention import Retention
from snapstorm.model.sorted_listings import SortedListing, sort_listing


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Something that was seen."""

    client: str | None = None
    """Who was at work."""
    operation: str | None = None
    """Which has shown it."""


@dataclass(frozen=True, kw_only=True)
class ReceiptSeen(Seen):
    """What a target says of a snapshot that it has taken."""

    receipt: SnapshotReceipt
    there: Counts
    """How much there was to be taken."""
    is_id_of_another: bool
    """An earlier snapshot has the same id."""
    span: TimeSpan | None = None
    """When it was asked for; None where that can't be told."""
    excluded_entries: int = 0
    """How many entries the target was told to leave out, which are not in `there`."""


@dataclass(frozen=True, kw_only=True)
class UnsavedSeen(Seen):
    """A creation that saved nothing, because the tree is said to equal the latest snapshot of its source."""

    snapshot: str | None
    """The latest one; None if there is none."""
    differences: Sequence[object]
    """In what the tree differs from it."""


@dataclass(frozen=True, kw_only=True)
class ListingSeen(Seen):
    """What a client was shown."""

    listing: Listing
    expected: Mapping[str, Expectation]
    """What it is held against, by operation: what the client has, and whatever else the listing may show."""
    spans: Mapping[int, TimeSpan]
    """When each run can have taken its snapshots, by its number. A run without one is not held to any."""
    retention: Retention | None = None
    """What the target is told to keep; None for everything."""
    creation_ticks: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    """Where it is told to, when all creations of the client began, by source."""
    ahead_us: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """By how much clocks were ahead that were not right, by the number of the run and the client."""

    @functools.cached_property
    def entries(self) -> SortedListing:
        """What it shows, sorted by what is known of it."""
        return sort_listing(self.listing, self.expected)

    @functools.cached_property
    def ended_by_retention(self) -> Sequence[Expectation]:
        """The live snapshots that had to be listed and are not, and that the target's retention may have ended."""
        if self.retention is None:
            return ()
        missing = (
            found
            for found in self.expected.values()
            if found.state is State.LIVE
            and found.operation not in self.entries.complete
            and must_be_listed(found, self.listing)
        )
        return [
            found
            for found in missing
            if may_have_ended(
                found,
                self.expected.values(),
                self.creation_ticks.get(found.source, ()),
                self.listing.began_tick,
            )
        ]

    @functools.cached_property
    def expired_and_listed(self) -> Sequence[Expectation]:
        """The snapshots that are listed though the target's retention had to end them before."""
        if self.retention is None:
            return ()
        shown = [found for name in self.entries.complete if (found := self.expected.get(name)) is not None]
        return [found for found in overstaying(self.retention, shown) if must_be_gone(found, self.listing)]


@dataclass(frozen=True, kw_only=True)
class RestoreSeen(Seen):
    """What a restore brought back that ended well."""

    snapshot: str
    expectation: str
    """The operation that asked for the snapshot."""
    sub_path: bytes = b""
    """Which part of it was restored; empty for all of it."""
    is_damaged: bool = False
    """Storage was damaged on purpose then."""
    is_adopted: bool = False
    """The snapshot's creation had been in doubt."""
    differences: int = 0
    """In how many places it differs from what was promised."""
    words: Sequence[str] = ()
    """The differences, or the first of them."""
    path: str | None = None
    """Of the first one."""
    fingerprint: str = ""
    """Names the differences."""


@dataclass(frozen=True, kw_only=True)
class RestoreFailureSeen(Seen):
    """A restore that has failed twice, without a fault or a change of settings that could be why."""

    snapshot: str | None
    expectation: str
    is_adopted: bool
    reason: str
    output: str

    @property
    def words(self) -> str:
        return f"snapshot {self.snapshot} can't be restored, also not the second time: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class FailureSeen(Seen):
    """Something that the target has failed at, without a fault or a change of settings that could be why. A time-out is
    one only if it came again on an idle machine."""

    what: str
    error: str
    output: str


@dataclass(frozen=True, kw_only=True)
class SourceChangesSeen(Seen):
    """What has changed in a client's files, and not by its own doing."""

    changes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class LetInSeen(Seen):
    """Somebody was let do what must be refused."""

    words: str
    snapshot: str | None = None
    expectation: str | None = None


class StoredSnapshot(NamedTuple):
    """A snapshot, and who asked for it."""

    id: str
    operation: str
    client: str
    is_by_retention: bool = False
    """The target's retention may have ended it, or had to."""


@dataclass(frozen=True, kw_only=True)
class StoredSeen(Seen):
    """In what the snapshots in a repository, looked at past the server, are not those that the ledger expects."""

    missing: Sequence[StoredSnapshot]
    """Live ones that are not there."""
    deleted: Sequence[StoredSnapshot]
    """Deleted ones that are."""
    strangers: Mapping[str, str]
    """Ids of those that nobody asked for, and whose they are."""


@dataclass(frozen=True, kw_only=True)
class IrregularitySeen(Seen):
    """Something in a repository that is against the rules of its own layout."""

    words: str


class Footprint(NamedTuple):
    """What processes hold at one moment."""

    open_files: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class SampleSeen(Seen):
    """What a server's processes hold while clients work."""

    pid: int
    """The leader of their group."""
    footprint: Footprint


@dataclass(frozen=True, kw_only=True)
class SamplesEndSeen(Seen):
    """No more samples follow."""


@dataclass(frozen=True)
class IdleUsage:
    """What is held at one moment at which nobody works."""

    pid: int
    open_files: int
    memory_bytes: int
    unfinished_files: int
    """Files of the repository that are not finished, though nobody writes."""
    temporary_files: int
    """Files in the temporary directory of the server."""
    sessions: int
    """Writers that seem to be at work, though nobody is."""


@dataclass(frozen=True, kw_only=True)
class IdleSeen(Seen):
    """What one server holds when nobody works, which no fault has touched."""

    first: IdleUsage
    """Before clients worked."""
    last: IdleUsage


class LeftBehind(StrEnum):
    """What was left that should not be there."""

    BY_COMMAND = "temporary files of a command"
    BESIDE_COMMANDS = "files beside those of commands"
    BESIDE_RESTORE = "files beside a restore"
    PROCESSES = "processes that have left their groups"


@dataclass(frozen=True, kw_only=True)
class LeftBehindSeen(Seen):
    """What was left by commands that have ended."""

    kind: LeftBehind
    names: Sequence[str]
    command: str | None = None
    """That has left it, if that is known."""


@dataclass(frozen=True, kw_only=True)
class StorageSeen(Seen):
    """What a repository held at the mark, holds now, and may hold."""

    marked_bytes: int
    now_bytes: int
    allowed_bytes: int


@dataclass(frozen=True, kw_only=True)
class HeldSeen(Seen):
    """How much a storage holds at the end of a run in virtual time."""

    held_bytes: int
    """The least that it has held since the last collections."""
    needed_bytes: int
    """The contents of all files of the snapshots that were there since the first of so many full collections."""
    collections: int


@dataclass(frozen=True, kw_only=True)
class RecoveryFailureSeen(Seen):
    """A client that has not got on its feet after the last fault had healed."""

    seconds_max: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class OwnCheckSeen(Seen):
    """What the target's own check says of the snapshots that it checks, beside what their restores have shown."""

    complaint: str
    """Empty if it finds nothing wrong."""
    is_all_restored: bool
    has_lost: bool
    """A restore has shown a loss."""


@dataclass(frozen=True, kw_only=True)
class DamagePassedOverSeen(Seen):
    """The target's own check has found nothing wrong with a snapshot that could be restored neither before nor after
    it, because of damage."""

    snapshot: str
    fault: str
    error: str
    output: str
