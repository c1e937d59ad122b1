"""What restic says of snapshots: receipts, listings, deletions, checks and collections."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Annotated, TypeAlias

import msgspec

from snapstorm.errors import OperationFailed, OperationPartial, OperationUnknown
from snapstorm.model.abilities import SnapshotMarks
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.command_output import NO_SPACE, Count, Id, Text, decoded, shortened, stderr_of
from snapstorm.targets.restic.answers import check, error_of, last_words, read, unreadable
from snapstorm.targets.restic.command import OPERATION_TAG, TESTBED_TAG

_PARTIAL = 3
"""The exit status of `backup` where files could not be read; what could be is saved, and listed like any other."""

_ERROR = re.compile(r'^\{"message_type":"error","error":\{"message":("(?:[^"\\]|\\.)*")', re.MULTILINE)
"""Of a file that can't be read; and of a directory of the snapshot before (0.18.1; 0.16.5 does not say why)."""

_NOT_DELETED = re.compile(
    r"^(?:Ignoring \"|could not find a snapshot for ID|unable to remove |.*no matching ID)", re.MULTILINE
)
"""What `forget` says of a snapshot that it does not find, or can't remove; it may end with 0 all the same (0.14.0 to
0.18.1, measured)."""

_DAMAGED = re.compile(
    r"^(?:Fatal: )?repository contains errors$|^error for tree "
    r"|^pack [0-9a-f]{8,64}\b.*(?:does not exist|errors?\b|size)",
    re.MULTILINE,
)
"""What `check` says of damage."""

_SOUND = "no errors were found"
_PRUNED = re.compile(rb"^done$", re.MULTILINE)

_UNREACHABLE = re.compile(
    r"connection refused|connection reset|context deadline exceeded|\bEOF$|i/o timeout", re.MULTILINE
)
"""The server could not be asked, which says nothing about the data."""

_Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with up to nine digits of a second; rounded to microseconds here."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Summary(msgspec.Struct, frozen=True):
    """What a creation has taken. Listings show it unchanged from 0.17 on (measured, 0.18.1).

    Links and special files count nowhere. Each name of a file counts as a file, with all of its bytes. Of directories,
    those above the tree count as well.
    """

    total_files_processed: Count | None = None
    total_bytes_processed: Count | None = None
    dirs_new: Count | None = None
    dirs_changed: Count | None = None
    dirs_unmodified: Count | None = None
    backup_start: _Moment | None = None
    backup_end: _Moment | None = None

    def particulars(self, source: str) -> Particulars:
        """In terms of the tree at `source` alone."""
        directories = None
        if self.dirs_new is not None:
            all_directories = self.dirs_new + (self.dirs_changed or 0) + (self.dirs_unmodified or 0)
            directories = all_directories - len(PurePosixPath(source).parents) + 1
        return Particulars(
            began_us=_microseconds(self.backup_start),
            ended_us=_microseconds(self.backup_end),
            files=self.total_files_processed,
            directories=directories,
            size_bytes=self.total_bytes_processed,
        )


class _CreationMessage(_Summary, frozen=True):
    """A line of what `backup --json` says."""

    message_type: Text = ""
    snapshot_id: Text = ""


class ShownSnapshot(msgspec.Struct, frozen=True):
    """A snapshot, as `snapshots` and `cat snapshot` show it."""

    time: _Moment
    paths: list[Text]
    hostname: Text = ""
    tags: list[Text] | None = None
    summary: _Summary | None = None

    @property
    def source(self) -> str:
        """The path of what was taken."""
        return self.paths[0] if self.paths else ""

    def tag(self, name: str) -> str | None:
        """The value of a tag of ours."""
        return next((tag.partition(":")[2] for tag in self.tags or () if tag.startswith(f"{name}:")), None)


class _ListedSnapshot(ShownSnapshot, frozen=True, kw_only=True):
    id: Id


def _microseconds(moment: datetime | None) -> int | None:
    """Since 1970."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def read_receipt(completed: CompletedCommand, source: str, *, tells_counts: bool) -> SnapshotReceipt:
    """The snapshot of the tree at `source` that was taken.

    It is acknowledged only if the command ended by itself with 0, and its last message is a summary with an id.
    `tells_counts`: what it says besides will be said in listings, too.
    """
    what = "backup"
    if completed.exit_code == _PARTIAL and not completed.timed_out and not NO_SPACE.search(stderr_of(completed)):
        words = f"{what} left something out: {_first_error(stderr_of(completed))}"
        raise error_of(completed, OperationPartial, words)
    check(completed, what, OperationUnknown)
    lines = completed.stdout.splitlines()
    try:
        message = decoded(lines[-1] if lines else b"", _CreationMessage)
    except ValueError as error:
        raise unreadable(completed, what, OperationUnknown, error) from error
    if message.message_type != "summary" or not message.snapshot_id:
        raise error_of(completed, OperationUnknown, f"{what} exited with 0 but does not say which snapshot it took")
    particulars = message.particulars(source) if tells_counts else Particulars()
    return SnapshotReceipt(id=message.snapshot_id, **particulars._asdict())


def _first_error(words: str) -> str:
    """What it says of the first thing that it could not do, short enough for one line of ours."""
    found = _ERROR.search(words)
    return last_words(words) if found is None else shortened(str(msgspec.json.decode(found[1])))


def read_listing(completed: CompletedCommand, *, tells_counts: bool) -> tuple[ListedSnapshot, ...]:
    """Everything that is shown."""
    found = read(completed, "snapshots", list[_ListedSnapshot], OperationFailed)
    return tuple(_listed(one, tells_counts=tells_counts) for one in found)


def _listed(shown: _ListedSnapshot, *, tells_counts: bool) -> ListedSnapshot:
    particulars = Particulars()
    if tells_counts and shown.summary is not None:
        particulars = shown.summary.particulars(shown.source)
    return ListedSnapshot(
        id=shown.id,
        client=shown.hostname,
        source=shown.source,
        testbed=shown.tag(TESTBED_TAG),
        operation=shown.tag(OPERATION_TAG),
        incomplete=None,
        particulars=particulars._replace(began_us=_microseconds(shown.time)),
    )


def read_source(completed: CompletedCommand) -> str:
    """The path of what a snapshot was taken of, from `cat snapshot`."""
    return read(completed, "cat snapshot", ShownSnapshot, OperationFailed).source


def read_marks(completed: CompletedCommand) -> dict[str, SnapshotMarks]:
    """Whose the snapshots in a listing are, by their ids."""
    found = read(completed, "snapshots", list[_ListedSnapshot], OperationFailed)
    return {one.id: SnapshotMarks(one.hostname, one.tag(TESTBED_TAG)) for one in found}


def check_deleted(completed: CompletedCommand, what: str = "forget") -> None:
    """Raise OperationUnknown unless a deletion was acknowledged, OperationFailed if there was nothing to delete."""
    check(completed, what, OperationUnknown)
    words = stderr_of(completed)
    if missed := _NOT_DELETED.search(words):
        line = shortened(words[missed.start() :].splitlines()[0])
        raise error_of(completed, OperationFailed, f"{what} exited with 0 but did not delete: {line}")


def check_verified(completed: CompletedCommand) -> None:
    """Raise OperationPartial if the check itself found damage, which is another thing than a check that failed."""
    words = stderr_of(completed) + "\n" + completed.stdout.decode("utf-8", "replace")
    damage = [line for line in words.splitlines() if _DAMAGED.search(line)]
    is_answered = not completed.timed_out and not NO_SPACE.search(words) and not _UNREACHABLE.search(words)
    if damage and completed.exit_code > 0 and is_answered:
        raise error_of(completed, OperationPartial, f"check reports damage: {shortened(damage[0])}")
    check(completed, "check", OperationFailed)
    if _SOUND not in words:
        raise error_of(completed, OperationFailed, "check exited with 0 but does not say that no errors were found")


def check_pruned(completed: CompletedCommand) -> None:
    """Raise OperationFailed unless a collection says that it was done."""
    check(completed, "prune", OperationFailed)
    if not _PRUNED.search(completed.stdout):
        raise error_of(completed, OperationFailed, "prune exited with 0 but does not say that it was done")
