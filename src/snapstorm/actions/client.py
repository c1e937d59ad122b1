"""A client, as tests see it: one identity that executes actions."""

from __future__ import annotations

from typing import Any, overload

from snapstorm.actions.engine import Engine
from snapstorm.errors import ActionNotDone, GuaranteeViolated
from snapstorm.model.action_results import Comparison, ListedSnapshot, TakenSnapshot, WriteReport
from snapstorm.model.actions import (
    Action,
    CheckStorage,
    DeleteRandomSnapshot,
    DeleteSnapshot,
    DeleteSnapshots,
    Expire,
    FileAction,
    ListSnapshots,
    MarkStorage,
    RestoreIntoDataDirectory,
    RestoreRandomSnapshot,
    RestoreSnapshot,
    RestoreSubpath,
    RunGc,
    SnapshotRoot,
    SnapshotSubpath,
    VerifyRepository,
    describe,
)
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.testbed.identity import acting_as


class Client:
    """One client of a harness. Made by `Harness.run_clients`; `name` is its `user@host`."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine

    @overload
    async def execute(self, action: SnapshotRoot | SnapshotSubpath) -> TakenSnapshot: ...
    @overload
    async def execute(
        self, action: RestoreSnapshot | RestoreRandomSnapshot | RestoreSubpath | RestoreIntoDataDirectory
    ) -> Comparison: ...
    @overload
    async def execute(self, action: ListSnapshots) -> tuple[ListedSnapshot, ...]: ...
    @overload
    async def execute(self, action: FileAction) -> WriteReport: ...
    @overload
    async def execute(
        self,
        action: DeleteSnapshot
        | DeleteRandomSnapshot
        | DeleteSnapshots
        | Expire
        | VerifyRepository
        | RunGc
        | MarkStorage
        | CheckStorage,
    ) -> None: ...

    async def execute(self, action: Action[Any]) -> object:
        """Perform an action, judge it, and return what it gives.

        A file action with nothing to act on gives an empty report. Raises GuaranteeViolated when the action has shown
        a violation, ActionNotDone when it has no result to return.
        """
        with acting_as(self.name):
            result = await self._engine.execute_step(action)
        if result.violations:
            raise GuaranteeViolated(
                "\n".join(
                    f"{violation.guarantee}: {violation.detail}\nevidence: {violation.evidence}"
                    for violation in result.violations
                ),
                result.violations,
            )
        match result.outcome:
            case Ok(value):
                return value
            case NoOp() if isinstance(action, FileAction):
                return WriteReport()
            case other:
                raise ActionNotDone(f"{self.name}: {describe(action)} was not done: {other.reason}")
