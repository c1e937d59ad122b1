"""Planted defects in what is told of a snapshot (when it was taken, and how much it is), and in what only some backup
systems keep: hard links, special files, extended attributes of the system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.guarantees import Guarantee
from snapstorm.targets.memory import damage
from snapstorm.targets.memory.behaviour import Behaviour
from snapstorm.targets.memory.defect import Defect
from snapstorm.targets.memory.store import Store, Stored
from snapstorm.targets.memory.trees import Tree

_IN_2001_US = 981_173_106_000_000
_HOUR_US = 3_600_000_000


class CreateMisdates(Behaviour):
    """Every third snapshot is stored as one of the year 2001, and told as one always."""

    def __init__(self) -> None:
        self._taken = 0

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        self._taken += 1
        if self._taken % 3:
            return snapshot
        return msgspec.structs.replace(snapshot, began_us=_IN_2001_US, ended_us=_IN_2001_US)


class ListTells(Behaviour):
    """Each listing tells something else of the newest snapshot."""

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return [
            *own[:-1],
            *(
                msgspec.structs.replace(one, particulars=self._told(one.particulars or Particulars()))
                for one in own[-1:]
            ),
        ]

    def _told(self, honest: Particulars) -> Particulars:
        raise NotImplementedError


class ListMisdates(ListTells):
    """Each listing dates the newest snapshot an hour too early."""

    def _told(self, honest: Particulars) -> Particulars:
        return honest._replace(began_us=(honest.began_us or 0) - _HOUR_US)


class ListMiscounts(ListTells):
    """Each listing shows the newest snapshot as having one file more."""

    def _told(self, honest: Particulars) -> Particulars:
        return honest._replace(files=(honest.files or 0) + 1)


class CreateMiscountsLinks(Behaviour):
    """Each creation says that there were no links."""

    def acknowledged(self, receipt: SnapshotReceipt, store: Store) -> SnapshotReceipt:
        return replace(receipt, symlinks=0)


class ListLeavesOut(Behaviour):
    """Each listing shows the newest snapshot as one of which an entry was left out because somebody said so."""

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        return [*own[:-1], *(msgspec.structs.replace(one, excluded_entries=1) for one in own[-1:])]


TELLING_WRONG: dict[str, Defect] = {
    "create-misdates": Defect(
        "A snapshot is stored as one of the year 2001.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, CreateMisdates
    ),
    "create-miscounts-links": Defect(
        "The counts claim that there were no links.", Guarantee.PARTIAL_IS_REPORTED, CreateMiscountsLinks
    ),
    "list-says-that-it-left-something-out": Defect(
        "A listing shows the newest snapshot as one of which an entry was left out on request.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        ListLeavesOut,
    ),
    "list-misdates-a-snapshot": Defect(
        "A listing dates the newest snapshot an hour too early.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, ListMisdates
    ),
    "list-miscounts-a-snapshot": Defect(
        "A listing shows the newest snapshot as having a file more.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        ListMiscounts,
    ),
}


class RestoreSpoils(Behaviour):
    """Damages every second restored tree in which there is something to damage."""

    def __init__(self, damaged: damage.Damage) -> None:
        self._damaged = damaged
        self._found = 0

    def restored(self, tree: Tree, snapshot: Stored, store: Store) -> Tree:
        damaged = self._damaged(tree, snapshot)
        self._found += damaged is not None
        return damaged if damaged is not None and self._found % 2 == 0 else tree


def _spoils(sentence: str, damaged: damage.Damage, *, needs_root: bool = False) -> Defect:
    return Defect(
        sentence, Guarantee.RESTORED_EXACTLY, lambda: RestoreSpoils(damaged), needs_root, needs_whole_trees=True
    )


IN_WHOLE_TREES: dict[str, Defect] = {
    "restore-copies-hard-links": _spoils("Hard links come back as copies.", damage.copy_hard_links),
    "restore-joins-two-files": _spoils("Two files come back as two names of one file.", damage.join_two_files),
    "restore-changes-a-device-number": _spoils(
        "A device comes back with another number; only root can make devices.",
        damage.change_a_device_number,
        needs_root=True,
    ),
    "restore-makes-a-fifo-a-file": _spoils("A FIFO comes back as an empty file.", damage.make_a_fifo_a_file),
    "restore-loses-a-system-attribute": _spoils(
        "A file comes back without its extended attributes outside of `user.`.", damage.lose_a_system_attribute
    ),
}
