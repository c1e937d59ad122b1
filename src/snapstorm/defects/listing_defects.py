"""Planted defects of listings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec

from snapstorm.defects.behaviour import Behaviour, HonestTarget, began_us
from snapstorm.defects.defect import Defect
from snapstorm.errors import TargetError
from snapstorm.model.action_results import ListedSnapshot, Particulars
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.work import WorkKind

UNREQUESTED_ID = "f" * 32
_HOUR_US = 3_600_000_000

Change: TypeAlias = Callable[[Sequence[ListedSnapshot], ListedSnapshot], Sequence[ListedSnapshot]]
"""From what the honest target shows, and the newest of it, to what is shown."""

_STAYS = Guarantee.ACKNOWLEDGED_STAYS_LISTED


class ListChanged(Behaviour):
    """Each listing that is not empty is changed."""

    def __init__(self, honest: HonestTarget, change: Change) -> None:
        super().__init__(honest)
        self._change = change

    async def list(self, client: ClientSnapshotter) -> Sequence[ListedSnapshot]:
        entries = await super().list(client)
        return self._change(entries, _newest(entries)) if entries else entries


def newest_told(tell: Callable[[ListedSnapshot], ListedSnapshot]) -> Change:
    """The newest is shown otherwise."""
    return lambda entries, newest: [tell(entry) if entry is newest else entry for entry in entries]


def newest_with(tell: Callable[[Particulars], Particulars]) -> Change:
    """The newest is shown with other particulars."""
    return newest_told(
        lambda entry: msgspec.structs.replace(entry, particulars=tell(entry.particulars or Particulars()))
    )


def with_ghost(entries: Sequence[ListedSnapshot], newest: ListedSnapshot) -> Sequence[ListedSnapshot]:
    return [*entries, msgspec.structs.replace(entries[0], id=UNREQUESTED_ID, operation="r0-nobody-1")]


def earlier(told: Particulars) -> Particulars:
    return told._replace(began_us=(told.began_us or 0) - _HOUR_US)


def with_one_file_more(told: Particulars) -> Particulars:
    return told._replace(files=(told.files or 0) + 1)


class ListShowsOthers(Behaviour):
    """Each listing shows everybody's snapshots."""

    async def list(self, client: ClientSnapshotter) -> Sequence[ListedSnapshot]:
        shown = [*await super().list(client)]
        for other in list(self.honest.clients.values()):
            if other is not client:
                with suppress(TargetError):  # One that is not connected now.
                    shown += await other.list_snapshots()
        return shown


def _newest(entries: Sequence[ListedSnapshot]) -> ListedSnapshot:
    """The last of those that were begun last."""
    return max(reversed(entries), key=began_us)


def _list(sentence: str, guarantee: Guarantee, change: Change) -> Defect:
    return Defect(sentence, guarantee, WorkKind.LIST, functools.partial(ListChanged, change=change))


OF_LISTINGS: dict[str, Defect] = {
    "list-omits-a-snapshot": _list(
        "A listing leaves the newest snapshot out.",
        _STAYS,
        lambda entries, newest: [entry for entry in entries if entry is not newest],
    ),
    "list-is-empty": _list("A listing shows nothing.", _STAYS, lambda entries, newest: []),
    "list-shows-a-ghost": _list(
        "A listing shows a snapshot that nobody asked for.", Guarantee.NOTHING_UNREQUESTED, with_ghost
    ),
    "list-shows-duplicates": _list(
        "A listing shows the newest snapshot twice.",
        Guarantee.NOTHING_UNREQUESTED,
        lambda entries, newest: [*entries, newest],
    ),
    "list-changes-an-id": _list(
        "A listing has a snapshot under another id.",
        _STAYS,
        newest_told(lambda entry: msgspec.structs.replace(entry, id="2" * 32)),
    ),
    "list-moves-a-snapshot": _list(
        "A listing has a snapshot under another source.",
        _STAYS,
        newest_told(lambda entry: msgspec.structs.replace(entry, source=f"{entry.source}/elsewhere")),
    ),
    "list-calls-it-incomplete": _list(
        "A listing shows a complete snapshot as incomplete.",
        _STAYS,
        newest_told(lambda entry: msgspec.structs.replace(entry, incomplete="checkpoint")),
    ),
    "list-misdates-a-snapshot": _list(
        "A listing dates the newest snapshot an hour too early.",
        _STAYS,
        newest_with(earlier),
    ),
    "list-miscounts-a-snapshot": _list(
        "A listing shows the newest snapshot as having a file more.",
        _STAYS,
        newest_with(with_one_file_more),
    ),
    "list-says-that-it-left-something-out": _list(
        "A listing shows the newest snapshot as one of which an entry was left out on request.",
        _STAYS,
        newest_told(lambda entry: msgspec.structs.replace(entry, excluded_entries=1)),
    ),
    "list-shows-others": Defect(
        "A client is shown the snapshots of others.",
        Guarantee.CLIENTS_ISOLATED,
        WorkKind.LIST_AMONG_OTHERS,
        ListShowsOthers,
    ),
}
