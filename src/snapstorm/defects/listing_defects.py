"""Planted defects of listings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from snapstorm.defects.behaviour import Behaviour, HonestTarget, began_us
from snapstorm.defects.defect import REGISTERED, Defect, planted
from snapstorm.model.action_results import ListedSnapshot, Particulars
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.work import WorkKind

_HOUR_US = 3_600_000_000

Change: TypeAlias = Callable[[Sequence[ListedSnapshot], ListedSnapshot], Sequence[ListedSnapshot]]
"""From what the honest target shows, and the newest of it, to what is shown."""


class ListChanged(Behaviour):
    """Each listing that is not empty is changed."""

    def __init__(self, honest: HonestTarget, change: Change) -> None:
        super().__init__(honest)
        self._change = change

    async def list(self, client: ClientSnapshotter) -> Sequence[ListedSnapshot]:
        entries = await super().list(client)
        return self._change(entries, max(reversed(entries), key=began_us)) if entries else entries


def _changed(name: str, sentence: str, guarantee: Guarantee, change: Change) -> None:
    REGISTERED[name] = Defect(sentence, guarantee, WorkKind.LIST, functools.partial(ListChanged, change=change))


def _newest_changed(name: str, sentence: str, tell: Callable[[ListedSnapshot], dict[str, Any]]) -> None:
    """The newest snapshot is shown with other values, which `tell` returns."""

    def change(entries: Sequence[ListedSnapshot], newest: ListedSnapshot) -> Sequence[ListedSnapshot]:
        changed = msgspec.structs.replace(newest, **tell(newest))
        return [changed if entry is newest else entry for entry in entries]

    _changed(name, sentence, Guarantee.ACKNOWLEDGED_STAYS_LISTED, change)


def _particulars(entry: ListedSnapshot) -> Particulars:
    return entry.particulars or Particulars()


_changed(
    "list-omits-a-snapshot",
    "A listing leaves the newest snapshot out.",
    Guarantee.ACKNOWLEDGED_STAYS_LISTED,
    lambda entries, newest: [entry for entry in entries if entry is not newest],
)
_changed(
    "list-is-empty",
    "A listing shows nothing.",
    Guarantee.ACKNOWLEDGED_STAYS_LISTED,
    lambda entries, newest: [],
)
_changed(
    "list-shows-a-ghost",
    "A listing shows a snapshot that nobody asked for.",
    Guarantee.NOTHING_UNREQUESTED,
    lambda entries, newest: [*entries, msgspec.structs.replace(entries[0], id="f" * 32, operation="r0-nobody-1")],
)
_changed(
    "list-shows-duplicates",
    "A listing shows the newest snapshot twice.",
    Guarantee.NOTHING_UNREQUESTED,
    lambda entries, newest: [*entries, newest],
)
_newest_changed("list-changes-an-id", "A listing has a snapshot under another id.", lambda entry: {"id": "2" * 32})
_newest_changed(
    "list-moves-a-snapshot",
    "A listing has a snapshot under another source.",
    lambda entry: {"source": f"{entry.source}/elsewhere"},
)
_newest_changed(
    "list-calls-it-incomplete",
    "A listing shows a complete snapshot as incomplete.",
    lambda entry: {"incomplete": "checkpoint"},
)
_newest_changed(
    "list-says-that-it-left-something-out",
    "A listing shows the newest snapshot as one of which an entry was left out on request.",
    lambda entry: {"excluded_entries": 1},
)
_newest_changed(
    "list-misdates-a-snapshot",
    "A listing dates the newest snapshot an hour too early.",
    lambda entry: {"particulars": _particulars(entry)._replace(began_us=began_us(entry) - _HOUR_US)},
)
_newest_changed(
    "list-miscounts-a-snapshot",
    "A listing shows the newest snapshot as having a file more.",
    lambda entry: {"particulars": _particulars(entry)._replace(files=(_particulars(entry).files or 0) + 1)},
)


@planted("list-shows-others", Guarantee.CLIENTS_ISOLATED, WorkKind.LIST_AMONG_OTHERS)
class ListShowsOthers(Behaviour):
    """A client is shown the snapshots of others."""

    async def list(self, client: ClientSnapshotter) -> Sequence[ListedSnapshot]:
        own = await super().list(client)
        shown = {entry.id for entry in own}
        listings = await self.honest.listings()
        return [*own, *(entry for _, entries in listings for entry in entries if entry.id not in shown)]
