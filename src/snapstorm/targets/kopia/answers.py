"""What Kopia's answers mean: exit statuses, stderr and JSON, translated here once.

Kopia exits with 0 or 1 only, and 0 does not mean done: an interrupted `snapshot create` exits 0, and so does a
maintenance run that found another one at work. So each function says what an acknowledged success is.

JSON is decoded strictly: what it says goes on command lines, to disk and into the ledger, which can't hold everything
that JSON can. What is of another kind than an honest Kopia's is an answer that can't be read, and judged as such.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from snapstorm.errors import (
    AccessDenied,
    NoSpaceError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    SnapstormError,
    TargetError,
    VersionRefused,
)
from snapstorm.model.abilities import SnapshotMarks
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia.blobs import packs_named
from snapstorm.targets.kopia.command import OPERATION_TAG, TESTBED_TAG
from snapstorm.targets.kopia.policies import Policies, read_policies
from snapstorm.targets.kopia.statistics import COUNT_MAX, Count, Statistics

_EVIDENCE_CHARACTERS_MAX = 8_000
_LAST_WORDS_CHARACTERS_MAX = 300

_DENIED = re.compile(r"code = PermissionDenied|(?:: |desc = )access denied\b|: invalid repository password")
"""Refused at the door (`rpc error: code = PermissionDenied desc = access denied for u1@h1`), refused one manifest of
another user (`unable to find manifest entries: access denied`), or a wrong password for the repository itself; as
0.19.0, 0.22.3 and 0.23.1 print it (measured). A file of ours that can't be read says `permission denied`."""

_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)

_DAMAGED = re.compile(r"^(?:ERROR )?(error processing .+)$", re.MULTILINE)
"""What `snapshot verify` prints for each entry that it can't read: `error processing PATH: ... invalid checksum at
BLOB ...`, `... BLOB not found`, `... object not found` (measured, 0.23.1; 0.19.0 puts the level before it)."""

_UNREACHABLE = re.compile(r"rpc error: code = |connection refused|error establishing session|\bEOF$")
"""The server could not be asked, which says nothing about the data."""

_REFUSED_VERSION = re.compile(
    r"This version of Kopia does not support feature|repository upgrade in progress", re.IGNORECASE
)
"""By design: `internal/feature/feature.go` and `repo/open.go`, the same from 0.19.0 to 0.23.1."""

_STORAGE_IN_USE = "found existing data in storage location"
_ACCESS_CONTROL_ON = "ACLs already enabled"
_NO_REPOSITORY = "repository not initialized in the provided storage"
_BLOB_TOTAL = re.compile(rb"^Total: (\d{1,18})(?!\d)", re.MULTILINE)
"""Up to an exabyte, which the ledger can still store; no repository is larger."""

_USER_EXISTS = re.compile(r": user already exists$", re.MULTILINE)

_T = TypeVar("_T")

_WRITABLE = r"^[^\x00\ud800-\udfff]*\Z"
"""Neither NUL, which no path or argument can hold, nor half a surrogate pair, which has no UTF-8. Kopia itself prints
U+FFFD for what is not UTF-8 (measured)."""

_Text: TypeAlias = Annotated[str, msgspec.Meta(pattern=_WRITABLE)]
_Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=_WRITABLE, min_length=1, max_length=1000)]
"""Kopia's own have 32 or 64 characters. They go on command lines, so there is an end to their length."""
_Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 in UTC with up to nine digits of a second, without trailing zeros (`2026-11-29T14:36:53.03771056Z`); rounded
to microseconds here."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _FailedEntry(msgspec.Struct, frozen=True):
    path: _Text | None = None
    error: _Text | None = None


class _Summary(msgspec.Struct, frozen=True, rename="camel"):
    """Of the tree below a directory."""

    size: Count | None = None
    files: Count | None = None
    dirs: Count | None = None
    symlinks: Count | None = None
    incomplete: _Text | None = None
    num_failed: Count = 0
    num_ignored_errors: Count = 0
    errors: list[_FailedEntry] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, which becomes a ValidationError, for what could not be stored as one number."""
        if self.failed_entries > COUNT_MAX:
            raise ValueError(f"`numFailed` and `numIgnoredErrors` are more than {COUNT_MAX} together")

    @property
    def failed_entries(self) -> int:
        """How many entries are not in the snapshot."""
        return self.num_failed + self.num_ignored_errors


class _RootEntry(msgspec.Struct, frozen=True):
    summ: _Summary | None = None


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A snapshot, as `snapshot create` shows it.

    `startTime`, `endTime` and `rootEntry.summ` are what the client that took it has stored, by its own clock, and
    listings show them unchanged; incomplete snapshots have them, too (measured, 0.19.0 to 0.23.1).
    """

    id: _Id
    incomplete: _Text | None = None
    root_entry: _RootEntry | None = None
    start_time: _Moment | None = None
    end_time: _Moment | None = None
    stats: Statistics | None = None

    @property
    def disagreement(self) -> str:
        """In what the summary and the statistics contradict each other; empty if in nothing.

        Only of a whole snapshot: what could not be taken counts in the statistics and not in the summary.
        """
        summary = self.summary
        if self.stats is None or summary is None or self.incomplete or summary.incomplete or summary.failed_entries:
            return ""
        return self.stats.disagreement(directories=summary.dirs, files=summary.files, size_bytes=summary.size)

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
    host: _Text
    user_name: _Text
    path: _Text


class _ListedManifest(_Manifest, frozen=True, kw_only=True, rename="camel"):
    """A snapshot, as `snapshot list` shows it."""

    source: _Source
    tags: dict[_Text, _Text] | None = None


class _Labels(msgspec.Struct, frozen=True):
    username: _Text = ""
    hostname: _Text = ""
    testbed: _Text | None = msgspec.field(default=None, name=f"tag:{TESTBED_TAG}")


class _StoredManifest(msgspec.Struct, frozen=True):
    """The manifest of a snapshot, as `manifest list` shows it."""

    id: _Id
    labels: _Labels = _Labels()

    @property
    def marks(self) -> SnapshotMarks:
        return SnapshotMarks(f"{self.labels.username}@{self.labels.hostname}", self.labels.testbed)


class _RuleTarget(msgspec.Struct, frozen=True):
    type: _Text | None = None


class _Rule(msgspec.Struct, frozen=True):
    id: _Id
    user: _Text
    target: _RuleTarget


class _ContentFormat(msgspec.Struct, frozen=True):
    version: Count


class _IdentifiedRepository(msgspec.Struct, frozen=True):
    """The part of `repository status` that tells repositories apart."""

    unique_id: _Id = msgspec.field(name="uniqueIDHex")


class _FormattedRepository(msgspec.Struct, frozen=True, rename="camel"):
    """The part of `repository status` that says how they are written."""

    content_format: _ContentFormat


class _TaskRun(msgspec.Struct, frozen=True):
    """A maintenance task that has ended, well or not."""

    start: _Text | None = None
    success: bool | None = None


class _Schedule(msgspec.Struct, frozen=True, rename="camel"):
    next_full_maintenance: _Text | None = None
    next_quick_maintenance: _Text | None = None
    runs: dict[_Text, list[_TaskRun] | None] | None = None


class _Maintenance(msgspec.Struct, frozen=True):
    schedule: _Schedule | None = None


def check(completed: CompletedCommand, what: str, failure: type[TargetError]) -> None:
    """Raise unless the command ended by itself and with 0. `failure` says what a plain failure leaves known."""
    if completed.exit_code != 0 or completed.timed_out:
        raise explain(completed, what, failure)


def explain(completed: CompletedCommand, what: str, failure: type[TargetError]) -> SnapstormError:
    """The error that fits a command that did not do what it was asked to: `failure`, or what its words say."""
    words = _stderr(completed)
    if _NO_SPACE.search(words):
        # Before anything else: every file that it can write is on a disk of ours, and a full one makes it hang.
        return NoSpaceError(f"{what} found a disk full: {last_words(words)}")
    if completed.timed_out:
        return error_of(completed, OperationTimedOut, f"{what} was ended after {completed.seconds:.0f} s")
    if _REFUSED_VERSION.search(words):
        return error_of(completed, VersionRefused, f"{what} was refused to this version: {last_words(words)}")
    if _DENIED.search(words):
        return error_of(completed, AccessDenied, f"{what} was refused: {last_words(words)}")
    return error_of(completed, failure, f"{what} ended with {_ending(completed)}: {last_words(words)}")


def error_of(completed: CompletedCommand, kind: type[TargetError], words: str) -> TargetError:
    """An error of this kind, with all that the command has printed as evidence, and the packs that it names."""
    return kind(words, evidence=evidence_of(completed), blobs=packs_named(completed.stderr + b" " + completed.stdout))


def check_user_added(completed: CompletedCommand, user: str) -> None:
    """A user who is there already stays as he is: his password was made for this testbed, too."""
    if completed.exit_code != 0 and _USER_EXISTS.search(_stderr(completed)):
        return
    check(completed, f"adding user {user}", OperationFailed)


def read_receipt(completed: CompletedCommand) -> SnapshotReceipt:
    """The snapshot that was taken.

    It is acknowledged only if the command ended by itself with 0, its JSON can be read, and that says neither that
    the snapshot is incomplete nor that an entry was left out.
    """
    what = "snapshot create"
    _check_whole(completed, what)
    manifest = _read(completed, what, _Manifest, OperationUnknown)
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


def read_policies_of(completed: CompletedCommand, identity: str) -> Policies:
    """The policies that a user is shown."""
    check(completed, "policy list", OperationFailed)
    try:
        return read_policies(completed.stdout, identity)
    except ValueError as error:
        words = f"policy list exited with 0 but its JSON can't be read: {error}"
        raise error_of(completed, OperationFailed, words) from error


def _check_whole(completed: CompletedCommand, what: str) -> None:
    """Raise OperationPartial if the snapshot's own manifest says that something is missing, whatever the status."""
    if completed.timed_out or _NO_SPACE.search(_stderr(completed)):
        return
    try:
        manifest = _decoded(completed.stdout, _Manifest)
    except ValueError:
        return  # As after most failures, whose reason is on stderr. After a success `_read` makes it one.
    if left_out := _what_was_left_out(manifest):
        raise error_of(completed, OperationPartial, f"{what} left something out: {left_out}")


def _what_was_left_out(manifest: _Manifest) -> str:
    """In Kopia's own words; empty if nothing was."""
    summary = manifest.summary or _Summary()
    if reason := manifest.incomplete or summary.incomplete:
        return f"incomplete ({reason})"
    if not summary.failed_entries and not summary.errors:
        return ""
    first = summary.errors[0] if summary.errors else _FailedEntry()
    return f"{summary.failed_entries} entries, the first {first.path!r} ({first.error})"


def read_listing(completed: CompletedCommand) -> tuple[ListedSnapshot, ...]:
    """Everything that the client is shown, incomplete entries included."""
    return tuple(map(_listed, _read(completed, "snapshot list", list[_ListedManifest], OperationFailed)))


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
    words = _stderr(completed)
    damage = [line for line in _DAMAGED.findall(words) if not _UNREACHABLE.search(line)]
    if damage and not completed.timed_out and not _NO_SPACE.search(words):
        words = f"snapshot verify reports damage ({len(damage)} line(s)): {_shortened(damage[0])}"
        raise error_of(completed, OperationPartial, words)
    check(completed, "snapshot verify", OperationFailed)


def read_marks(completed: CompletedCommand) -> dict[str, SnapshotMarks]:
    """Whose the snapshots in a listing of manifests are, by their ids."""
    return {one.id: one.marks for one in _read(completed, "manifest list", list[_StoredManifest], OperationFailed)}


EVERYBODY = "*@*"
"""The user of a rule that is for everybody."""


@dataclass(frozen=True)
class AccessRule:
    """A rule about snapshots: who may do what with whose."""

    id: str
    is_everybodys: bool
    """It is the one that lets each user do everything with its own snapshots."""


def read_snapshot_rules(completed: CompletedCommand) -> list[AccessRule]:
    """The rules about snapshots."""
    rules = _read(completed, "server acl list", list[_Rule], OperationFailed)
    return [AccessRule(rule.id, rule.user == EVERYBODY) for rule in rules if rule.target.type == "snapshot"]


def read_repository_id(completed: CompletedCommand) -> str:
    """What tells this repository from every other one."""
    return _read(completed, "repository status", _IdentifiedRepository, OperationFailed).unique_id


def read_format_version(completed: CompletedCommand) -> int:
    """The version of the repository's format."""
    return _read(completed, "repository status", _FormattedRepository, OperationFailed).content_format.version


def read_storage_bytes(completed: CompletedCommand) -> int:
    """The bytes of all blobs, from `blob stats --raw`."""
    check(completed, "blob stats", OperationFailed)
    match = _BLOB_TOTAL.search(completed.stdout)
    if match is None:
        raise error_of(completed, OperationFailed, "blob stats does not say the total")
    return int(match[1])


def is_storage_in_use(completed: CompletedCommand) -> bool:
    """Whether a repository could not be made because there is data already where it was to be."""
    return _STORAGE_IN_USE in _stderr(completed)


def is_access_control_on(completed: CompletedCommand) -> bool:
    """Whether rules could not be switched on because they are: a run that was killed has done it."""
    return completed.exit_code != 0 and _ACCESS_CONTROL_ON in _stderr(completed)


def is_repository_missing(completed: CompletedCommand) -> bool:
    """Whether a connection failed because there is no repository in this storage."""
    return _NO_REPOSITORY in _stderr(completed)


def read_maintenance_schedule(completed: CompletedCommand) -> Mapping[str, Any]:
    """When maintenance ran and will run: what `is_maintenance_done` looks at, by Kopia's own names."""
    maintenance = _read(completed, "maintenance info", _Maintenance, OperationFailed)
    found: Mapping[str, Any] = msgspec.to_builtins(maintenance.schedule or _Schedule())
    return found


def is_maintenance_done(before: Mapping[str, Any], after: Mapping[str, Any], *, is_full: bool) -> bool:
    """Whether a maintenance run of this kind has got to work and done its part, by the schedules around it.

    Both kinds move the time of the next quick run; only a full one moves that of the next full run and has the task
    `snapshot-gc`. Which tasks a quick one has differs with the format of the repository (measured, 0.19.0 to 0.23.1).
    """
    due = "nextFullMaintenance" if is_full else "nextQuickMaintenance"
    done = _tasks_done(after, "snapshot-gc" if is_full else None) - _tasks_done(before)
    return bool(done) and after.get(due) not in (None, before.get(due))


def _tasks_done(schedule: Mapping[str, Any], only: str | None = None) -> set[tuple[str, str]]:
    """The maintenance tasks that have ended well, each by its name and the time at which it began."""
    return {
        (name, str(run.get("start")))
        for name, runs in (schedule.get("runs") or {}).items()
        if only in (None, name)
        for run in runs or ()
        if run.get("success") is True
    }


def last_words(text: str) -> str:
    """The last line that says something, short enough for one line of ours: what it was about, and why it failed."""
    # After an error 0.19.0 warns at length that it could not send a notification of it.
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARN ")]
    return _shortened(lines[-1].removeprefix("ERROR ")) if lines else "it said nothing"


def _shortened(line: str) -> str:
    """Without its middle: Kopia's errors name what was tried first, and the cause last."""
    half = _LAST_WORDS_CHARACTERS_MAX // 2
    return line if len(line) <= _LAST_WORDS_CHARACTERS_MAX else f"{line[:half]} ... {line[-half:]}"


def evidence_of(completed: CompletedCommand) -> str:
    """What was asked and what came back, for the report.

    Holds no secret: Kopia gets them in its environment only, and prints none.
    """
    head = f"$ kopia {' '.join(completed.argv[1:])}\n{_ending(completed)} after {completed.seconds:.1f} s\n"
    output = completed.stdout.decode("utf-8", "replace")
    return "\n".join((head, _bounded(_stderr(completed)), _bounded(output)))


def _bounded(text: str) -> str:
    """The beginning and the end."""
    if len(text) <= _EVIDENCE_CHARACTERS_MAX:
        return text
    half = _EVIDENCE_CHARACTERS_MAX // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def _ending(completed: CompletedCommand) -> str:
    if completed.exit_code < 0:
        return f"signal {-completed.exit_code}"
    return f"exit status {completed.exit_code}"


def _stderr(completed: CompletedCommand) -> str:
    return completed.stderr.decode("utf-8", "replace")


def _read(completed: CompletedCommand, what: str, kind: type[_T], failure: type[TargetError]) -> _T:
    """What the command says on stdout. Raises as `check` does, and `failure` also for what can't be read."""
    check(completed, what, failure)
    try:
        return _decoded(completed.stdout, kind)
    except ValueError as error:
        words = f"{what} exited with 0 but its JSON can't be read: {error}"
        raise error_of(completed, failure, words) from error


def _decoded(output: bytes, kind: type[_T]) -> _T:
    """The JSON as a value of this kind. Fields that it does not have are passed over, and may hold anything.

    Raises ValueError, which names the field that is wrong.
    """
    with contextlib.suppress(ValueError, RecursionError):
        return msgspec.json.decode(output, type=kind)
    try:
        # Once more, in twice the time: of half a surrogate pair the above says at which byte, but not in which field.
        return msgspec.convert(json.loads(output), type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
