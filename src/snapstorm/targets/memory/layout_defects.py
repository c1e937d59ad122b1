"""Planted defects that show only in what is stored, not in what clients are shown."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

import msgspec

from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.guarantees import Guarantee
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


class CreateKeepsTwo(Behaviour):
    """Every second snapshot is kept a second time, for a client that there is not."""

    def __init__(self) -> None:
        self._taken = 0

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        self._taken += 1
        if self._taken % 2 == 0:
            another = msgspec.structs.replace(
                snapshot, id=secrets.token_hex(16), number=store.next_number(), client="root@elsewhere"
            )
            store.keep(another)
        return snapshot


class CollectionMixesUp(Behaviour):
    """A full collection leaves the layout in disorder."""

    def __init__(self) -> None:
        self._collections = 0

    def collected(self, store: Store) -> None:
        self._collections += 1

    def irregularities(self) -> Sequence[str]:
        return [f"collection {number} was done twice" for number in range(1, self._collections + 1)]


IN_WHAT_IS_STORED: dict[str, Defect] = {
    "create-keeps-two": Defect(
        "A snapshot is kept a second time, where no client is shown it.", Guarantee.NOTHING_UNREQUESTED, CreateKeepsTwo
    ),
    "deletion-only-hides": Defect(
        "A deleted snapshot is shown no more, and stays.", Guarantee.DELETED_STAYS_GONE, DeletionOnlyHides
    ),
    "collection-breaks-the-layout": Defect(
        "A full collection leaves the layout in disorder.", Guarantee.LAYOUT_IS_SOUND, CollectionMixesUp
    ),
}
