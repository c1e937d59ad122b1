"""The source: a client's own files, which the target reads and must not touch.

From the first time that the target is asked something after a change of the client's own, until the next such change,
nothing of them may change. So what is different when that comes was changed by the target, whatever it was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from snapstorm.actions.step import Step
from snapstorm.errors import HarnessError
from snapstorm.guarantees.checker import Checker
from snapstorm.model.guarantees import Violation
from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import FileWriter
from snapstorm.model.seen import SourceChangesSeen
from snapstorm.testbed.identity import acting_as


class SourceWatch:
    """Watches the files of all clients of one run."""

    def __init__(self, writer: FileWriter, checker: Checker) -> None:
        self._writer = writer
        self._checker = checker
        self._latest: dict[str, str] = {}
        """What the target was asked for last, by client."""

    async def watch(self, step: Step, operation: str) -> None:
        """The target is about to be asked something by the current client."""
        self._latest[step.client] = operation
        if not step.is_own:  # What snapstorm asks for itself may run beside the client's own changes.
            await self._writer.watch()

    async def check(self, step: Step) -> bool:
        """The current client is about to change its files: they must be as it has left them. Returns whether they
        were."""
        changes = await self._writer.changes_by_others()
        if changes:
            step.violations += self._judge(step.client, changes)
        return not changes

    async def scan(self, step: Step) -> Manifest:
        """What the current client's files are, which must be as it has left them: one look at the tree tells both."""
        try:
            manifest = await self._writer.scan()
        except HarnessError:
            # Somebody may have taken away what is to be read: that is told, and gone on from.
            if await self.check(step):
                raise
            manifest = await self._writer.scan()
        await self.check(step)
        return manifest

    async def check_all(self, clients: Sequence[str]) -> None:
        """Check the files of all these clients, while nobody is at work."""
        for client in clients:
            with acting_as(client):
                if changes := await self._writer.changes_by_others():
                    self._judge(client, changes)

    def _judge(self, client: str, changes: Sequence[str]) -> list[Violation]:
        """The violation that changes by others are, unless it was told already."""
        return self._checker.observe(
            SourceChangesSeen(client=client, operation=self._latest.get(client), changes=changes)
        )
