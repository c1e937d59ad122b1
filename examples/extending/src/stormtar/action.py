"""The action `list-again`."""

from snapstorm.extending import Inspection, Inspections, ListedSnapshot, Outcome, Performer, Step, performs


class ListAgain(Inspection[tuple[ListedSnapshot, ...]]):
    """List the client's snapshots several times in a row, and judge each listing."""

    key = "list-again"
    is_repeatable = True
    times: int = 3


@performs(ListAgain)
class ListAgainPerformer(Performer[tuple[ListedSnapshot, ...]]):
    def __init__(self, inspections: Inspections) -> None:
        self._inspections = inspections

    async def perform(self, step: Step, action: ListAgain) -> Outcome[tuple[ListedSnapshot, ...]]:
        for _ in range(action.times - 1):
            await self._inspections.list(step, is_quiescent=False)
        return await self._inspections.list(step, is_quiescent=False)
