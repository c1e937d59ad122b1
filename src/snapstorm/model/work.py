"""Work: how much of each kind a run has done, by which its power can be told.

A defect of a restore shows only to who restores, one of a deletion only to who deletes. So what a run would have caught
is a matter of how often it did which kind of work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from snapstorm.model.actions import (
    ACTIONS,
    CheckStorage,
    Creation,
    Deletion,
    Expire,
    ListSnapshots,
    RunGc,
    VerifyRepository,
)
from snapstorm.model.outcomes import Locked, NoOp
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
    RETENTION = "expiry by a policy"
    COLLECT = "collect"
    MEASURE = "measure storage"
    VERIFY = "verify"
    WRONG_PASSWORD = "a wrong password"
    REMOVED_CLIENT = "a removed client"
    DELETION = "a deletion without the right to"


_ASKS_FOR = {
    WorkKind.CREATE: Creation.asks_for,
    WorkKind.LIST: ListSnapshots.asks_for,
    WorkKind.DELETE: Deletion.asks_for,
    WorkKind.EXPIRE: Expire.asks_for,
    WorkKind.COLLECT: RunGc.asks_for,
    WorkKind.MEASURE: CheckStorage.asks_for,
    WorkKind.VERIFY: VerifyRepository.asks_for,
}
"""What the actions of each kind of work ask of the target; the rest is counted where it is judged."""


def under_fault(key: str) -> str:
    """The kind of work that a fault is."""
    return f"fault {key}"


_NOT_DONE = frozenset({NoOp.key, Locked.key})
"""The outcomes of actions by which the target did nothing that could be judged."""


def work_done(tally: Tally, clients: int) -> Mapping[str, int]:
    """How much of each kind of work was done and judged, by so many clients."""
    asked = Counter[str]()
    for key in tally.actions.keys() & ACTIONS.keys():
        asked[ACTIONS[key].asks_for] += sum(
            count for outcome, count in tally.actions[key].items() if outcome not in _NOT_DONE
        )
    done: dict[str, int] = {kind: asked[asks_for] for kind, asks_for in _ASKS_FOR.items()}
    return {
        **done,
        WorkKind.RETENTION: tally.snapshots_expired,
        WorkKind.RESTORE: tally.restores_verified,
        WorkKind.RESTORE_LINK: tally.links_verified,
        WorkKind.RESTORE_EMPTY_DIRECTORY: tally.empty_directories_verified,
        WorkKind.RESTORE_EARLIER: tally.restores_verified_earlier_runs,
        WorkKind.LIST_AMONG_OTHERS: done[WorkKind.LIST] if tally.isolates_clients and clients > 1 else 0,
        WorkKind.WRONG_PASSWORD: tally.refused.get(WorkKind.WRONG_PASSWORD, 0),
        WorkKind.REMOVED_CLIENT: tally.refused.get(WorkKind.REMOVED_CLIENT, 0),
        WorkKind.DELETION: tally.refused.get(WorkKind.DELETION, 0),
        **{under_fault(key): count for key, count in tally.faults.items()},
    }
