"""Reads borg's answers: this module alone knows what its exit statuses, log lines and JSON mean.

Exit statuses with `BORG_EXIT_CODES=modern`: 0 done, 1 and from 100 done with warnings, others failed; 1.2.4 has 0, 1
and 2 only (measured). So what failed is told by the names that borg gives its errors in log lines (`msgid`), which are
the same in both, and by words where it gives none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from snapstorm.errors import (
    AccessDenied,
    NoSpaceError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    RepositoryLocked,
    SnapstormError,
    TargetError,
)
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.borg.comment import Comment
from snapstorm.targets.command_output import (
    NO_SPACE,
    Count,
    Id,
    Text,
    decoded,
    ending,
    evidence_of,
    last_line,
    shortened,
    stderr_of,
)

WARNING_STATUS = 1
_FIRST_WARNING_STATUS = 100
"""From here on each warning has a number of its own."""

REFUSED = "Permission denied (key)"
"""What the server's side says to who has not the right key. OpenSSH has other words in the brackets."""

_DENIED_NAMES = frozenset({"PathNotAllowed", "PassphraseWrong"})
_DENIED = re.compile(r"Permission denied \([a-z,-]+\)")
_LOCKED_NAMES = frozenset({"LockTimeout"})
_DAMAGED_NAMES = frozenset(
    {"IntegrityError", "FileIntegrityError", "Repository.ObjectNotFound", "Repository.CheckNeeded"}
)
_SEGMENT = re.compile(r"\[segment (\d+), offset|/data/\d+/(\d+)\b|[Ss]egment (\d+) (?:not found|is missing)")
"""What names the file that is damaged or missing: `Segment entry checksum mismatch [segment 2, offset 8]`, and where
Python says which file it could not open (1.4.5, measured)."""
_DAMAGED = re.compile(
    r"IntegrityError|ObjectNotFound|Data integrity error|Object with key \S+ not found|Index object count mismatch|"
    r"Index mismatch for key|[Mm]issing (?:file )?chunk|failed authentication|Manifest not found|has no manifest"
)
"""What is said of damage where no file is named."""
_NO_ARCHIVE = re.compile(r"Archive \S+ (?:not found|does not exist)")
_CHECKPOINT = re.compile(r"(.+)\.checkpoint(?:\.\d+)?")
"""What `create` saves meanwhile, or when it is interrupted: an archive of this name, without a comment."""

_TRACEBACK = re.compile(
    r"\s|Traceback |During handling of |The above exception |Local Exception$|Platform: |Linux: |Borg: |PID: |"
    r"sys\.argv: |SSH_ORIGINAL_COMMAND: |Connection closed by remote host"
)
"""How lines begin that tell where borg broke, and on what it runs; and what says less than the lines before it."""
_FROM_SERVER = re.compile(r"^(?:Remote|Borg server): ")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class BlobsOf(Container[str]):
    """All files of one repository, because borg's errors name objects and no files."""

    def __init__(self, repository: str) -> None:
        self._prefix = blob_id(repository, "")

    def __contains__(self, blob: object) -> bool:
        return isinstance(blob, str) and blob.startswith(self._prefix)


def blob_id(repository: str, segment: str) -> str:
    """What tells a file of a repository from those of all."""
    return f"{repository}.{segment}"


class _Line(msgspec.Struct, frozen=True):
    type: str = ""
    levelname: str = ""
    message: str = ""
    msgid: str | None = None


@dataclass(frozen=True)
class Said:
    """What a command has said on stderr."""

    names: frozenset[str]
    """The names of errors, and of kinds of messages."""
    lines: Sequence[str]
    """Its messages for people, and what was no log line."""

    @property
    def words(self) -> str:
        return "\n".join(self.lines)


def said_by(completed: CompletedCommand) -> Said:
    """Read the log lines of a command."""
    names, lines = set[str](), list[str]()
    for line in stderr_of(completed).splitlines():
        found = _Line(message=line)
        with contextlib.suppress(ValueError, RecursionError):
            found = msgspec.json.decode(line, type=_Line)
        if found.msgid:
            names.add(found.msgid)
        if found.message.strip():
            lines.append(found.message)
    return Said(frozenset(names), lines)


class _ArchiveStatistics(msgspec.Struct, frozen=True):
    nfiles: Count
    """Files whose content was kept: of several names of one file one counts. Neither links nor special files do."""
    original_size: Count
    """Their bytes; in 1.2.4 those of what is known about them as well (see `known_bugs`)."""


class _CreatedArchive(msgspec.Struct, frozen=True):
    name: Id
    start: datetime
    end: datetime
    stats: _ArchiveStatistics


class _Created(msgspec.Struct, frozen=True):
    archive: _CreatedArchive


class _ListedArchive(msgspec.Struct, frozen=True):
    name: Id
    start: datetime
    end: datetime
    comment: Text = ""
    username: Text = ""
    hostname: Text = ""


class _Listed(msgspec.Struct, frozen=True):
    archives: list[_ListedArchive]


@dataclass(frozen=True)
class Answers:
    """Reads answers of commands on one repository."""

    repository: str
    """Its name, for what may be the reason of damage."""

    def check(self, completed: CompletedCommand, what: str, failure: type[TargetError]) -> None:
        """Raise unless the command ended by itself and with 0. `failure` says what a plain failure leaves known."""
        if completed.exit_code != 0 or completed.timed_out:
            raise self.explain(completed, what, failure)

    def explain(self, completed: CompletedCommand, what: str, failure: type[TargetError]) -> SnapstormError:
        """The error that fits a command that did not do what it was asked to: `failure`, or what its words say."""
        said = said_by(completed)
        if NO_SPACE.search(said.words):
            # Before anything else: every file that it can write is on a disk of ours.
            return NoSpaceError(f"{what} found a disk full: {last_line(said.words)}")
        if completed.timed_out:
            return self.error_of(completed, OperationTimedOut, f"{what} was ended after {completed.seconds:.0f} s")
        if said.names & _LOCKED_NAMES:
            return self.error_of(completed, RepositoryLocked, f"{what} was refused: {_reason(said)}")
        if said.names & _DENIED_NAMES or _DENIED.search(said.words):
            return self.error_of(completed, AccessDenied, f"{what} was refused: {_reason(said)}")
        return self.error_of(completed, failure, f"{what} ended with {ending(completed)}: {_reason(said)}")

    def error_of(self, completed: CompletedCommand, kind: type[TargetError], words: str) -> TargetError:
        """An error of this kind, with all that the command has printed as evidence."""
        return kind(words, evidence=evidence_of(completed, "borg"), blobs=self._blobs_behind(said_by(completed)))

    def _blobs_behind(self, said: Said) -> Container[str]:
        """The files that a failure may be about."""
        if named := _SEGMENT.findall(said.words):
            return frozenset(blob_id(self.repository, next(filter(None, numbers))) for numbers in named)
        return BlobsOf(self.repository) if said.names & _DAMAGED_NAMES or _DAMAGED.search(said.words) else ()

    def read_receipt(self, completed: CompletedCommand, *, counts_bytes: bool) -> SnapshotReceipt:
        """The archive that was made. It is acknowledged only by 0: with a warning, something was left out, or has
        changed meanwhile. `counts_bytes`: whether this version counts the bytes of files alone."""
        what = "create"
        if is_warning(completed):
            words = f"create left something out, or warns: {_reason(said_by(completed))}"
            raise self.error_of(completed, OperationPartial, words)
        self.check(completed, what, OperationUnknown)
        try:
            archive = decoded(completed.stdout, _Created).archive
        except ValueError as error:
            words = f"{what} exited with 0 but its JSON can't be read: {error}"
            raise self.error_of(completed, OperationUnknown, words) from error
        return SnapshotReceipt(
            id=archive.name,
            files=archive.stats.nfiles,
            size_bytes=archive.stats.original_size if counts_bytes else None,
            began_us=_microseconds(archive.start),
            ended_us=_microseconds(archive.end),
            counts_files_once=True,
        )

    def read_listing(self, completed: CompletedCommand) -> tuple[ListedSnapshot, ...]:
        """Everything that is listed, what is incomplete included, oldest first."""
        self.check(completed, "list", OperationFailed)
        try:
            return tuple(map(_listed, decoded(completed.stdout, _Listed).archives))
        except ValueError as error:
            words = f"list exited with 0 but its JSON can't be read: {error}"
            raise self.error_of(completed, OperationFailed, words) from error

    def check_deleted(self, completed: CompletedCommand) -> None:
        """Raise unless all archives were deleted. 1.2.4 exits with 0 when there was none of this name (measured)."""
        said = said_by(completed)
        if missing := _NO_ARCHIVE.search(said.words):
            raise self.error_of(completed, OperationFailed, f"delete did not find all: {missing[0]}")
        self.check(completed, "delete", OperationUnknown)

    def check_verified(self, completed: CompletedCommand, what: str) -> None:
        """Raise OperationPartial if the check itself found damage, which is another thing than a check that failed."""
        said = said_by(completed)
        is_about_damage = is_warning(completed) or bool(said.names & _DAMAGED_NAMES)
        if is_about_damage and not completed.timed_out and not NO_SPACE.search(said.words):
            words = f"{what} reports damage: {_reason(said)}"
            raise OperationPartial(words, evidence=evidence_of(completed, "borg"), blobs=BlobsOf(self.repository))
        self.check(completed, what, OperationFailed)


def is_locked(completed: CompletedCommand) -> bool:
    """Whether the command gave up waiting for a lock. It has done nothing then."""
    return completed.exit_code != 0 and not completed.timed_out and bool(said_by(completed).names & _LOCKED_NAMES)


def is_warning(completed: CompletedCommand) -> bool:
    """Whether the command ended by itself, and has done what it was asked to but for what it warns of."""
    code = completed.exit_code
    return not completed.timed_out and (code == WARNING_STATUS or code >= _FIRST_WARNING_STATUS)


def _reason(said: Said) -> str:
    """What it said last of what went wrong, short enough for one line of ours."""
    lines = [_FROM_SERVER.sub("", line) for line in said.words.splitlines() if line.strip()]
    told = [line for line in lines if not _TRACEBACK.match(line)]
    return shortened((told or lines)[-1].strip()) if lines else "it said nothing"


def _microseconds(moment: datetime) -> int:
    """Since 1970. Borg names no time zone; it is told to live in UTC. It prints whole seconds (measured)."""
    return (moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def _listed(archive: _ListedArchive) -> ListedSnapshot:
    particulars = Particulars(began_us=_microseconds(archive.start), ended_us=_microseconds(archive.end))
    if (cut_off := _CHECKPOINT.fullmatch(archive.name)) is not None:
        client = f"{archive.username}@{archive.hostname}"
        return ListedSnapshot(archive.name, client, "", None, cut_off[1], "a checkpoint", particulars=particulars)
    try:
        marks = msgspec.json.decode(archive.comment, type=Comment)
    except ValueError:
        client = f"{archive.username}@{archive.hostname}"
        return ListedSnapshot(archive.name, client, "", None, None, None, particulars=particulars)
    return ListedSnapshot(
        archive.name, marks.client, marks.source, marks.testbed, marks.operation, None, particulars=particulars
    )
