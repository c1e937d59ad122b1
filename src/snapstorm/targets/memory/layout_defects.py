"""Planted defects that show only in what is stored, not in what clients are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ListedSnapshot
from snapstorm.targets.memory.behaviour import Behaviour
from snapstorm.targets.memory.defect import Defect
from snapstorm.targets.memory.store import Store, Stored


class DeletionOnlyHides(Behaviour):
    """A deleted snapshot is shown no more, and stays."""

    def __init__(self) -> None:
        self._hidden: set[str] = set()

    def deleted(self, snapshot: Stored, store: Store) -> Sequence[Stored]:
        self._hidden.add(snapshot.id)
        return []

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return [entry for entry in own if entry.id not in self._hidden]


class CollectionMixesUp(Behaviour):
    """A full collection leaves the layout in disorder."""

    def __init__(self) -> None:
        self._collections = 0

    def collected(self, store: Store) -> None:
        self._collections += 1

    def irregularities(self) -> Sequence[str]:
        return [f"collection {number} was done twice" for number in range(1, self._collections + 1)]


IN_WHAT_IS_STORED: dict[str, Defect] = {
    "deletion-only-hides": Defect(
        "A deleted snapshot is shown no more, and stays.", Guarantee.DELETED_STAYS_GONE, DeletionOnlyHides
    ),
    "collection-breaks-the-layout": Defect(
        "A full collection leaves the layout in disorder.", Guarantee.LAYOUT_IS_SOUND, CollectionMixesUp
    ),
}
