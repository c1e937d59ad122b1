"""Storage: what a repository holds now against what it held when that was marked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.step import Step
from snapstorm.guarantees.checker import Checker
from snapstorm.model.actions import CheckStorage, MarkStorage
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.model.protocols import Server
from snapstorm.model.seen import StorageSeen


class StorageMark:
    """One run's mark; there is none at first."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._marked_bytes: int | None = None

    async def mark(self) -> int | None:
        """Remember what the repository holds now. None if the target can't tell."""
        self._marked_bytes = await self._server.storage_bytes()
        return self._marked_bytes

    async def compare(self, action: CheckStorage) -> StorageSeen | None:
        """What is held now, beside the mark. None without a mark, or if the target can't tell."""
        now_bytes = await self._server.storage_bytes()
        if self._marked_bytes is None or now_bytes is None:
            return None
        growth_bytes = self._marked_bytes * action.growth_percent_max // 100
        allowed_bytes = self._marked_bytes + growth_bytes + action.slack_bytes
        return StorageSeen(marked_bytes=self._marked_bytes, now_bytes=now_bytes, allowed_bytes=allowed_bytes)


@performs(MarkStorage)
@dataclass(frozen=True)
class MarkStoragePerformer(Performer[None]):
    operations: Operations
    storage_mark: StorageMark

    async def perform(self, step: Step, action: MarkStorage) -> Outcome[None]:
        held_bytes = await self.storage_mark.mark()
        if held_bytes is None:
            return NoOp("the target can't tell how much it holds")
        await self.operations.note(step, {"bytes": held_bytes})
        return Ok(None)


@performs(CheckStorage)
@dataclass(frozen=True)
class CheckStoragePerformer(Performer[None]):
    operations: Operations
    checker: Checker
    storage_mark: StorageMark

    async def perform(self, step: Step, action: CheckStorage) -> Outcome[None]:
        held = await self.storage_mark.compare(action)
        if held is None:
            return NoOp("nothing was marked before, or the target can't tell how much it holds")
        operation = await self.operations.note(step, {"bytes": held.now_bytes, "marked": held.marked_bytes})
        step.violations += self.checker.observe(replace(held, client=step.client, operation=operation))
        return Ok(None)
