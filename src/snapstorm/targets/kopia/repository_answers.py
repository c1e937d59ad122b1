"""What Kopia says of the repository, of its users and rules, and of maintenance."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from snapstorm.errors import OperationFailed
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.command_output import Count, Id, Text, stderr_of
from snapstorm.targets.kopia.answers import check, error_of, read

_STORAGE_IN_USE = "found existing data in storage location"
_ACCESS_CONTROL_ON = "ACLs already enabled"
_NO_REPOSITORY = "repository not initialized in the provided storage"
_BLOB_TOTAL = re.compile(rb"^Total: (\d{1,18})(?!\d)", re.MULTILINE)
"""Up to an exabyte, which the ledger can still store; no repository is larger."""

_USER_EXISTS = re.compile(r": user already exists$", re.MULTILINE)


class _RuleTarget(msgspec.Struct, frozen=True):
    type: Text | None = None


class _Rule(msgspec.Struct, frozen=True):
    id: Id
    user: Text
    target: _RuleTarget


class _ContentFormat(msgspec.Struct, frozen=True):
    version: Count


class _IdentifiedRepository(msgspec.Struct, frozen=True):
    """The part of `repository status` that tells repositories apart."""

    unique_id: Id = msgspec.field(name="uniqueIDHex")


class _FormattedRepository(msgspec.Struct, frozen=True, rename="camel"):
    """The part of `repository status` that says how they are written."""

    content_format: _ContentFormat


class _TaskRun(msgspec.Struct, frozen=True):
    """A maintenance task that has ended, well or not."""

    start: Text | None = None
    success: bool | None = None


class Schedule(msgspec.Struct, frozen=True, rename="camel"):
    """When maintenance ran and will run."""

    next_full_maintenance: Text | None = None
    next_quick_maintenance: Text | None = None
    runs: dict[Text, list[_TaskRun] | None] | None = None

    def tasks_done(self, only: str | None = None) -> set[tuple[str, str | None]]:
        """The tasks that have ended well, each by its name and the time at which it began."""
        return {
            (name, run.start)
            for name, runs in (self.runs or {}).items()
            if only in (None, name)
            for run in runs or ()
            if run.success
        }


class _Maintenance(msgspec.Struct, frozen=True):
    schedule: Schedule | None = None


def check_user_added(completed: CompletedCommand, user: str) -> None:
    """A user who is there already stays as he is: his password was made for this testbed, too."""
    if completed.exit_code != 0 and _USER_EXISTS.search(stderr_of(completed)):
        return
    check(completed, f"adding user {user}", OperationFailed)


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
    rules = read(completed, "server acl list", list[_Rule], OperationFailed)
    return [AccessRule(rule.id, rule.user == EVERYBODY) for rule in rules if rule.target.type == "snapshot"]


def read_repository_id(completed: CompletedCommand) -> str:
    """What tells this repository from every other one."""
    return read(completed, "repository status", _IdentifiedRepository, OperationFailed).unique_id


def read_format_version(completed: CompletedCommand) -> int:
    """The version of the repository's format."""
    return read(completed, "repository status", _FormattedRepository, OperationFailed).content_format.version


def read_storage_bytes(completed: CompletedCommand) -> int:
    """The bytes of all blobs, from `blob stats --raw`."""
    check(completed, "blob stats", OperationFailed)
    match = _BLOB_TOTAL.search(completed.stdout)
    if match is None:
        raise error_of(completed, OperationFailed, "blob stats does not say the total")
    return int(match[1])


def is_storage_in_use(completed: CompletedCommand) -> bool:
    """Whether a repository could not be made because there is data already where it was to be."""
    return _STORAGE_IN_USE in stderr_of(completed)


def is_access_control_on(completed: CompletedCommand) -> bool:
    """Whether rules could not be switched on because they are: a run that was killed has done it."""
    return completed.exit_code != 0 and _ACCESS_CONTROL_ON in stderr_of(completed)


def is_repository_missing(completed: CompletedCommand) -> bool:
    """Whether a connection failed because there is no repository in this storage."""
    return _NO_REPOSITORY in stderr_of(completed)


def read_maintenance_schedule(completed: CompletedCommand) -> Schedule:
    """The schedule in an answer to `maintenance info`."""
    return read(completed, "maintenance info", _Maintenance, OperationFailed).schedule or Schedule()


def is_maintenance_done(before: Schedule, after: Schedule, *, is_full: bool) -> bool:
    """Whether a maintenance run of this kind has got to work and done its part, by the schedules around it.

    Both kinds move the time of the next quick run; only a full one moves that of the next full run and has the task
    `snapshot-gc`. Which tasks a quick one has differs with the format of the repository (measured, 0.19.0 to 0.23.1).
    """
    if is_full:
        due_before, due_after, task = before.next_full_maintenance, after.next_full_maintenance, "snapshot-gc"
    else:
        due_before, due_after, task = before.next_quick_maintenance, after.next_quick_maintenance, None
    return bool(after.tasks_done(task) - before.tasks_done()) and due_after not in (None, due_before)
