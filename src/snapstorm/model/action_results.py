"""What actions give: the results of those that were done, and what a target says of snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from snapstorm.model.manifest import Counts, Manifest
from snapstorm.model.tree_differences import Difference


@dataclass(frozen=True)
class WriteReport:
    """What a file action did."""

    entries_written: int = 0
    bytes_written: int = 0
    entries_deleted: int = 0
    entries_changed: int = 0


@dataclass(frozen=True)
class TakenSnapshot:
    """A snapshot that the target has acknowledged: what `SnapshotRoot` gives."""

    id: str
    manifest: Manifest


@dataclass(frozen=True)
class Comparison:
    """A restored tree, compared."""

    snapshot: str
    differences: tuple[Difference, ...]
    entries: int
    bytes_compared: int
    restored: Manifest

    @property
    def is_equal(self) -> bool:
        return not self.differences


class Particulars(NamedTuple):
    """What the target says of a snapshot besides whose it is: when it took it, and how much. None where unsaid.

    Moments are microseconds since 1970.
    """

    began_us: int | None = None
    ended_us: int | None = None
    files: int | None = None
    directories: int | None = None
    size_bytes: int | None = None
    symlinks: int | None = None
    """None also in records of before this was judged, and so is the next one."""
    failed_entries: int | None = None
    """How many entries the target says that it could not take."""


@dataclass(frozen=True)
class SnapshotReceipt:
    """A snapshot that the target has acknowledged, what it says that it took, and when. None where unsaid."""

    id: str
    files: int | None = None
    directories: int | None = None
    size_bytes: int | None = None
    began_us: int | None = None
    """In microseconds since 1970, and so is the end."""
    ended_us: int | None = None
    symlinks: int | None = None
    failed_entries: int | None = None
    excluded_entries: int | None = None
    """How many entries the target says that it left out because it was told to."""
    disagreement: str = ""
    """In what two parts of what the target says contradict each other, in words; empty if in nothing."""
    counts_files_once: bool = False
    """Whether a file with several names counts once among the files, and its bytes once."""

    def counts_of(self, tree: Manifest) -> Counts:
        """How much there is in a tree, counted as the target counts."""
        return tree.counts_of_files if self.counts_files_once else tree.counts

    @property
    def particulars(self) -> Particulars:
        return Particulars(
            began_us=self.began_us,
            ended_us=self.ended_us,
            files=self.files,
            directories=self.directories,
            size_bytes=self.size_bytes,
            symlinks=self.symlinks,
            failed_entries=self.failed_entries,
        )


class ListedSnapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One line of a listing of snapshots. A compact struct, because a listing may have a hundred thousand; ledgers hold
    its fields in this order, so new ones come last."""

    id: str
    client: str
    """`user@host`."""
    source: str
    """The absolute path that was snapshotted."""
    testbed: str | None
    """The id of the testbed whose tag the snapshot carries."""
    operation: str | None
    """The id of the operation whose tag the snapshot carries."""
    incomplete: str | None
    """Why the entry is not a complete snapshot; None for complete ones."""
    failed_entries: int = 0
    """How many entries the target itself says that it could not take."""
    particulars: Particulars | None = None
    """None in records of before this was judged."""
    excluded_entries: int = 0
    """How many entries the target says that it left out because it was told to."""
    disagreement: str = ""
    """As in a receipt."""
