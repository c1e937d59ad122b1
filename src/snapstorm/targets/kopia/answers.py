"""What Kopia's answers mean: exit statuses, stderr and JSON, translated here once.

Kopia exits with 0 or 1 only, and 0 does not mean done: an interrupted `snapshot create` exits 0, and so does a
maintenance run that found another one at work. So each function says what an acknowledged success is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
from snapstorm.model.protocols import ListedSnapshot, SnapshotReceipt
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia.command import OPERATION_TAG, TESTBED_TAG

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
_BLOB_TOTAL = re.compile(rb"^Total: (\d+)", re.MULTILINE)

_USER_EXISTS = re.compile(r": user already exists$", re.MULTILINE)


def check(completed: CompletedCommand, what: str, failure: type[TargetError]) -> None:
    """Raise unless the command ended by itself and with 0. `failure` says what a plain failure leaves known."""
    if completed.exit_code != 0 or completed.timed_out:
        raise explain(completed, what, failure)


def explain(completed: CompletedCommand, what: str, failure: type[TargetError]) -> SnapstormError:
    """The error that fits a command that did not do what it was asked to: `failure`, or what its words say."""
    words = _stderr(completed)
    evidence = evidence_of(completed)
    if _NO_SPACE.search(words):
        # Before anything else: every file that it can write is on a disk of ours, and a full one makes it hang.
        return NoSpaceError(f"{what} found a disk full: {last_words(words)}")
    if completed.timed_out:
        return OperationTimedOut(f"{what} was ended after {completed.seconds:.0f} s", evidence=evidence)
    if _REFUSED_VERSION.search(words):
        return VersionRefused(f"{what} was refused to this version: {last_words(words)}", evidence=evidence)
    if _DENIED.search(words):
        return AccessDenied(f"{what} was refused: {last_words(words)}", evidence=evidence)
    return failure(f"{what} ended with {_ending(completed)}: {last_words(words)}", evidence=evidence)


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
    manifest = _read_object(completed.stdout)
    root = _object(manifest.get("rootEntry"))
    summary = _object(root.get("summ"))
    left_out = _what_was_left_out(manifest, summary)
    if left_out and not completed.timed_out and not _NO_SPACE.search(_stderr(completed)):
        raise OperationPartial(f"{what} left something out: {left_out}", evidence=evidence_of(completed))
    check(completed, what, OperationUnknown)
    snapshot = manifest.get("id")
    if not isinstance(snapshot, str) or not snapshot or not summary:
        raise OperationUnknown(f"{what} exited with 0 but named no snapshot", evidence=evidence_of(completed))
    return SnapshotReceipt(
        id=snapshot,
        files=_count(summary.get("files")),
        directories=_count(summary.get("dirs")),
        size_bytes=_count(summary.get("size")),
    )


def _what_was_left_out(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """In Kopia's own words; empty if nothing was."""
    if reason := manifest.get("incomplete") or summary.get("incomplete"):
        return f"incomplete ({reason})"
    errors = summary.get("errors")
    first = _object(errors[0]) if isinstance(errors, list) and errors else {}
    failed = _failed_entries(summary)
    if not failed and not errors:
        return ""
    return f"{failed} entries, the first {first.get('path')!r} ({first.get('error')})"


def _failed_entries(summary: Mapping[str, Any]) -> int:
    return (_count(summary.get("numFailed")) or 0) + (_count(summary.get("numIgnoredErrors")) or 0)


def read_listing(completed: CompletedCommand) -> tuple[ListedSnapshot, ...]:
    """Everything that the client is shown, incomplete entries included."""
    check(completed, "snapshot list", OperationFailed)
    try:
        entries = json.loads(completed.stdout)
        return tuple(_listed(entry) for entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise OperationFailed(
            f"snapshot list exited with 0 but its JSON can't be read: {error!r}", evidence=evidence_of(completed)
        ) from error


def _listed(entry: Mapping[str, Any]) -> ListedSnapshot:
    source = entry["source"]
    tags = entry.get("tags") or {}
    return ListedSnapshot(
        id=entry["id"],
        client=f"{source['userName']}@{source['host']}",
        source=source["path"],
        testbed=tags.get(f"tag:{TESTBED_TAG}"),
        operation=tags.get(f"tag:{OPERATION_TAG}"),
        incomplete=entry.get("incomplete"),
        failed_entries=_failed_entries(_object(_object(entry.get("rootEntry")).get("summ"))),
    )


def check_verified(completed: CompletedCommand) -> None:
    """Raise OperationPartial if the check itself found damage, which is another thing than a check that failed."""
    words = _stderr(completed)
    damage = [line for line in _DAMAGED.findall(words) if not _UNREACHABLE.search(line)]
    if damage and not completed.timed_out and not _NO_SPACE.search(words):
        raise OperationPartial(
            f"snapshot verify reports damage ({len(damage)} line(s)): {_shortened(damage[0])}",
            evidence=evidence_of(completed),
        )
    check(completed, "snapshot verify", OperationFailed)


def read_manifest_ids(completed: CompletedCommand) -> frozenset[str]:
    """The ids in a listing of manifests."""
    check(completed, "manifest list", OperationFailed)
    try:
        return frozenset(entry["id"] for entry in json.loads(completed.stdout) or ())
    except (ValueError, KeyError, TypeError) as error:
        raise OperationFailed(
            f"manifest list exited with 0 but its JSON can't be read: {error!r}", evidence=evidence_of(completed)
        ) from error


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
    check(completed, "server acl list", OperationFailed)
    try:
        return [
            AccessRule(entry["id"], entry["user"] == EVERYBODY)
            for entry in json.loads(completed.stdout)
            if entry["target"].get("type") == "snapshot"
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperationFailed(
            f"server acl list exited with 0 but its JSON can't be read: {error!r}", evidence=evidence_of(completed)
        ) from error


def read_repository_id(completed: CompletedCommand) -> str:
    """What tells this repository from every other one."""
    check(completed, "repository status", OperationFailed)
    unique_id = _read_object(completed.stdout).get("uniqueIDHex")
    if not isinstance(unique_id, str) or not unique_id:
        raise OperationFailed("repository status does not say the repository's id", evidence=evidence_of(completed))
    return unique_id


def read_format_version(completed: CompletedCommand) -> int:
    """The version of the repository's format."""
    check(completed, "repository status", OperationFailed)
    version = _count(_object(_read_object(completed.stdout).get("contentFormat")).get("version"))
    if version is None:
        raise OperationFailed("repository status does not say the format's version", evidence=evidence_of(completed))
    return version


def read_storage_bytes(completed: CompletedCommand) -> int:
    """The bytes of all blobs, from `blob stats --raw`."""
    check(completed, "blob stats", OperationFailed)
    match = _BLOB_TOTAL.search(completed.stdout)
    if match is None:
        raise OperationFailed("blob stats does not say the total", evidence=evidence_of(completed))
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
    """When maintenance ran and will run."""
    check(completed, "maintenance info", OperationFailed)
    return _object(_read_object(completed.stdout).get("schedule"))


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
        for name, runs in _object(schedule.get("runs")).items()
        if isinstance(runs, list) and only in (None, name)
        for run in map(_object, runs)
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


def _read_object(output: bytes) -> Mapping[str, Any]:
    """The JSON object on stdout; an empty one if there is none, as after most failures."""
    try:
        return _object(json.loads(output))
    except ValueError:
        return {}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
