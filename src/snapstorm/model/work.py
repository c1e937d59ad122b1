"""Work: how much of each kind a run has done, by which its power can be told.

A defect of a restore shows only to who restores, one of a deletion only to who deletes. So what a run would have caught
is a matter of how often it did which kind of work.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from snapstorm.model.verdict import Tally


class WorkKind(StrEnum):
    """A kind of work, by which defects show."""

    CREATE = "create"
    RESTORE = "restore"
    RESTORE_LINK = "restore a link"
    RESTORE_EMPTY_DIRECTORY = "restore an empty directory"
    RESTORE_EARLIER = "restore of an earlier run"
    LIST = "list"
    LIST_AMONG_OTHERS = "list among others"
    DELETE = "delete"
    EXPIRE = "expire"
    COLLECT = "collect"
    MEASURE = "measure storage"
    VERIFY = "verify"
    WRONG_PASSWORD = "a wrong password"
    REMOVED_CLIENT = "a removed client"
    DELETION = "a deletion without the right to"


_BY_ACTION = {
    WorkKind.CREATE: ("snapshot-root", "snapshot-subpath"),
    WorkKind.LIST: ("list-snapshots",),
    WorkKind.DELETE: ("delete-snapshot", "delete-random-snapshot", "delete-snapshots"),
    WorkKind.EXPIRE: ("expire",),
    WorkKind.COLLECT: ("run-gc",),
    WorkKind.MEASURE: ("check-storage",),
    WorkKind.VERIFY: ("verify-repository",),
}


def under_fault(key: str) -> str:
    """The kind of work that a fault is."""
    return f"fault {key}"


def work_done(tally: Tally, *, is_among_others: bool) -> Mapping[str, int]:
    """How much of each kind of work was done and judged. `is_among_others`: several clients share a target that
    promises to keep them apart."""
    done: dict[str, int] = {
        kind: sum(count for key in keys for outcome, count in tally.actions.get(key, {}).items() if outcome != "no_op")
        for kind, keys in _BY_ACTION.items()
    }
    return {
        **done,
        WorkKind.RESTORE: tally.restores_verified,
        WorkKind.RESTORE_LINK: tally.links_verified,
        WorkKind.RESTORE_EMPTY_DIRECTORY: tally.empty_directories_verified,
        WorkKind.RESTORE_EARLIER: tally.restores_verified_earlier_runs,
        WorkKind.LIST_AMONG_OTHERS: done[WorkKind.LIST] if is_among_others else 0,
        WorkKind.WRONG_PASSWORD: tally.refused.get(WorkKind.WRONG_PASSWORD, 0),
        WorkKind.REMOVED_CLIENT: tally.refused.get(WorkKind.REMOVED_CLIENT, 0),
        WorkKind.DELETION: tally.refused.get(WorkKind.DELETION, 0),
        **{under_fault(key): count for key, count in tally.faults.items()},
    }
