"""What Kopia says of snapshots: receipts, listings, stored manifests, and checks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

import msgspec

from snapstorm.errors import OperationFailed, OperationPartial, OperationUnknown
from snapstorm.model.abilities import SnapshotMarks
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.command_output import COUNT_MAX, NO_SPACE, Count, Id, Text, decoded, shortened, stderr_of
from snapstorm.targets.kopia.answers import check, error_of, read, unreadable
from snapstorm.targets.kopia.command import OPERATION_TAG, TESTBED_TAG

_DAMAGED = re.compile(r"^(?:ERROR )?(error processing .+)$", re.MULTILINE)
"""What `snapshot verify` prints for each entry that it can't read: `error processing PATH: ... invalid checksum at
BLOB ...`, `... BLOB not found`, `... object not found` (measured, 0.23.1; 0.19.0 puts the level before it)."""

_UNREACHABLE = re.compile(r"rpc error: code = |connection refused|error establishing session|\bEOF$")
"""The server could not be asked, which says nothing about the data."""

_Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 in UTC with up to nine digits of a second, without trailing zeros (`2026-11-29T14:36:53.03771056Z`); rounded
to microseconds here."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _FailedEntry(msgspec.Struct, frozen=True):
    path: Text | None = None
    error: Text | None = None


_Failures: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX // 2)]
"""Two of these can be stored as one number."""


class _Summary(msgspec.Struct, frozen=True, rename="camel"):
    """Of the tree below a directory."""

    size: Count | None = None
    files: Count | None = None
    dirs: Count | None = None
    symlinks: Count | None = None
    incomplete: Text | None = None
    num_failed: _Failures = 0
    num_ignored_errors: _Failures = 0
    errors: list[_FailedEntry] | None = None

    @property
    def failed_entries(self) -> int:
        """How many entries are not in the snapshot."""
        return self.num_failed + self.num_ignored_errors


class _Statistics(msgspec.Struct, frozen=True, rename="camel"):
    """The counters of one upload. Listings show them, receipts don't.

    Measured on 0.19.0, 0.22.3 and 0.23.1:

    - `dirCount` is `dirs` of the summary, the root included.
    - A file that was read counts in `fileCount`, one that was taken over from an earlier snapshot in `cachedFiles`, and
      so does a link that was taken over. A link that was read counts nowhere. A hard link counts as a file.
    - `totalSize` has the bytes of all files, and the lengths of the targets of links that were taken over.
    - FIFOs, sockets and devices count in `ignoredErrorCount` in 0.19.0 (and in `numIgnoredErrors` of the summary), and
      nowhere in 0.22.3 and 0.23.1.
    - `excludedFileCount`, `excludedDirCount` and `excludedTotalSize` count what ignore rules leave out. 0.22.3 counts
      it twice. What is left out as too large counts nowhere. So only 0 is exact.
    """

    total_size: Count = 0
    excluded_total_size: Count = 0
    file_count: Count = 0
    cached_files: Count = 0
    dir_count: Count = 0
    excluded_file_count: Count = 0
    excluded_dir_count: Count = 0
    ignored_error_count: Count = 0
    error_count: Count = 0

    @property
    def excluded_entries(self) -> int:
        """How many entries were left out because rules say so."""
        return self.excluded_file_count + self.excluded_dir_count

    def disagreement(self, summary: _Summary) -> str:
        """In what the summary of the same snapshot, which has no failed entries, says something else, in words; empty
        if in nothing."""
        files_or_links = self.file_count + self.cached_files
        for what, told, counted, agree in (
            ("directories", summary.dirs, self.dir_count, summary.dirs == self.dir_count),
            ("files", summary.files, files_or_links, (summary.files or 0) <= files_or_links),
            ("bytes", summary.size, self.total_size, (summary.size or 0) <= self.total_size),
            ("entries that failed", 0, self.error_count, self.error_count == 0),
            ("ignored errors", 0, self.ignored_error_count, self.ignored_error_count == 0),
        ):
            if told is not None and not agree:
                return f"{told:,} {what} in its summary and {counted:,} in its statistics"
        if self.excluded_total_size and not self.excluded_entries:
            return f"{self.excluded_total_size:,} bytes that were left out of 0 entries"
        return ""


class _RootEntry(msgspec.Struct, frozen=True):
    summ: _Summary | None = None


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A snapshot, as `snapshot create` shows it.

    `startTime`, `endTime` and `rootEntry.summ` are what the client that took it has stored, by its own clock, and
    listings show them unchanged; incomplete snapshots have them, too (measured, 0.19.0 to 0.23.1).
    """

    id: Id
    incomplete: Text | None = None
    root_entry: _RootEntry | None = None
    start_time: _Moment | None = None
    end_time: _Moment | None = None
    stats: _Statistics | None = None

    @property
    def disagreement(self) -> str:
        """In what the summary and the statistics contradict each other; empty if in nothing.

        Only of a whole snapshot: what could not be taken counts in the statistics and not in the summary.
        """
        summary = self.summary
        if self.stats is None or summary is None or self.incomplete or summary.incomplete or summary.failed_entries:
            return ""
        return self.stats.disagreement(summary)

    @property
    def summary(self) -> _Summary | None:
        """An incomplete snapshot may have none."""
        return self.root_entry.summ if self.root_entry else None

    @property
    def particulars(self) -> Particulars:
        summary = self.summary or _Summary()
        return Particulars(
            began_us=_microseconds(self.start_time),
            ended_us=_microseconds(self.end_time),
            files=summary.files,
            directories=summary.dirs,
            size_bytes=summary.size,
            symlinks=summary.symlinks,
            failed_entries=summary.failed_entries if self.summary else None,
        )


def _microseconds(moment: datetime | None) -> int | None:
    """Since 1970."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


class _Source(msgspec.Struct, frozen=True, rename="camel"):
    host: Text
    user_name: Text
    path: Text


class _ListedManifest(_Manifest, frozen=True, kw_only=True, rename="camel"):
    """A snapshot, as `snapshot list` shows it."""

    source: _Source
    tags: dict[Text, Text] | None = None


class _Labels(msgspec.Struct, frozen=True):
    username: Text = ""
    hostname: Text = ""
    testbed: Text | None = msgspec.field(default=None, name=f"tag:{TESTBED_TAG}")


class _StoredManifest(msgspec.Struct, frozen=True):
    """The manifest of a snapshot, as `manifest list` shows it."""

    id: Id
    labels: _Labels = _Labels()


def read_receipt(completed: CompletedCommand) -> SnapshotReceipt:
    """The snapshot that was taken.

    It is acknowledged only if the command ended by itself with 0, its JSON can be read, and that says neither that
    the snapshot is incomplete nor that an entry was left out.
    """
    what = "snapshot create"
    manifest, problem = None, None
    try:
        manifest = decoded(completed.stdout, _Manifest)
    except ValueError as error:
        problem = error  # As after most failures, whose reason is on stderr.
    is_explained = completed.exit_code != 0 and NO_SPACE.search(stderr_of(completed)) is not None
    if manifest is not None and not completed.timed_out and not is_explained and (left_out := _left_out(manifest)):
        raise error_of(completed, OperationPartial, f"{what} left something out: {left_out}")
    check(completed, what, OperationUnknown)
    if manifest is None:
        raise unreadable(completed, what, OperationUnknown, problem) from problem
    summary = manifest.summary
    if summary is None or summary == _Summary():
        words = f"{what} exited with 0 but does not say what it took (`rootEntry.summ`)"
        raise error_of(completed, OperationUnknown, words)
    return SnapshotReceipt(
        id=manifest.id,
        **manifest.particulars._asdict(),
        excluded_entries=manifest.stats.excluded_entries if manifest.stats else None,
        disagreement=manifest.disagreement,
    )


def is_nothing_saved(completed: CompletedCommand) -> bool:
    """Whether a creation ended well and says nothing at all, as it does for a tree that equals its latest snapshot
    under `--ignore-identical-snapshots` (measured, 0.19.0 to 0.23.1)."""
    return completed.exit_code == 0 and not completed.timed_out and not completed.stdout.strip()


def _left_out(manifest: _Manifest) -> str:
    """What the snapshot's own manifest says that is missing in it, in Kopia's words; empty if nothing is."""
    summary = manifest.summary or _Summary()
    if reason := manifest.incomplete or summary.incomplete:
        return f"incomplete ({reason})"
    if not summary.failed_entries and not summary.errors:
        return ""
    first = summary.errors[0] if summary.errors else _FailedEntry()
    return f"{summary.failed_entries} entries, the first {first.path!r} ({first.error})"


def read_listing(completed: CompletedCommand) -> tuple[ListedSnapshot, ...]:
    """Everything that the client is shown, incomplete entries included."""
    return tuple(map(_listed, read(completed, "snapshot list", list[_ListedManifest], OperationFailed)))


def _listed(manifest: _ListedManifest) -> ListedSnapshot:
    source, tags, summary = manifest.source, manifest.tags or {}, manifest.summary
    return ListedSnapshot(
        id=manifest.id,
        client=f"{source.user_name}@{source.host}",
        source=source.path,
        testbed=tags.get(f"tag:{TESTBED_TAG}"),
        operation=tags.get(f"tag:{OPERATION_TAG}"),
        incomplete=manifest.incomplete,
        failed_entries=summary.failed_entries if summary else 0,
        particulars=manifest.particulars,
        excluded_entries=manifest.stats.excluded_entries if manifest.stats else 0,
        disagreement=manifest.disagreement,
    )


def check_verified(completed: CompletedCommand) -> None:
    """Raise OperationPartial if the check itself found damage, which is another thing than a check that failed."""
    words = stderr_of(completed)
    damage = [line for line in _DAMAGED.findall(words) if not _UNREACHABLE.search(line)]
    if damage and not completed.timed_out and not NO_SPACE.search(words):
        words = f"snapshot verify reports damage ({len(damage)} line(s)): {shortened(damage[0])}"
        raise error_of(completed, OperationPartial, words)
    check(completed, "snapshot verify", OperationFailed)


def read_marks(completed: CompletedCommand) -> dict[str, SnapshotMarks]:
    """Whose the snapshots in a listing of manifests are, by their ids."""
    return {
        one.id: SnapshotMarks(f"{one.labels.username}@{one.labels.hostname}", one.labels.testbed)
        for one in read(completed, "manifest list", list[_StoredManifest], OperationFailed)
    }
