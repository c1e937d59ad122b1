"""Planted defects of restores, and the ones that remember what was snapshotted."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from snapstorm.defects import damage
from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.damage import FindDamage, files_below, remove, rewrite
from snapstorm.defects.defect import Defect
from snapstorm.errors import OperationFailed, TargetError
from snapstorm.filesystem.descriptors import joined
from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import ROOT
from snapstorm.model.protocols import ClientSnapshotter, Restorer
from snapstorm.model.work import WorkKind

Contents: TypeAlias = dict[bytes, bytes]
"""By relative path the content of each file, with a letter before it that tells files, links and directories apart."""

_FILE, _LINK, _DIRECTORY = b"f", b"l", b"d"

_RESTORED = Guarantee.RESTORED_EXACTLY


class RestoreDamaged(Behaviour):
    """Damages every second restored tree in which there is something to damage."""

    def __init__(self, honest: HonestTarget, find_damage: FindDamage) -> None:
        super().__init__(honest)
        self._find_damage = find_damage

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        blow = self._find_damage(destination)
        if blow is not None and self.strikes():
            blow()


class RestoreMakesNothing(Behaviour):
    """Every second restore succeeds and writes nothing at all."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        if not self.strikes():
            await super().restore(restorer, snapshot, destination, sub_path)


class RestoreLitters(Behaviour):
    """Every second restore leaves a file beside the restored tree."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        if self.strikes():
            destination.with_name(".restore-journal").touch()


@dataclass(frozen=True)
class Taken:
    """What was snapshotted, as far as a client could tell two trees apart by it."""

    source: Path
    contents: Contents


class Remembering(Behaviour):
    """Remembers what was snapshotted, in memory: for short runs."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self.taken: dict[str, Taken] = {}
        """By id, oldest first."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        contents = dict(_contents_of(source))
        receipt = await super().create(client, source, operation)
        self.taken[receipt.id] = Taken(source, contents)
        return receipt


class RestoreOverwritesSource(Remembering):
    """Every second restore of a tree whose source holds a file writes over that, too."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        victims = files_below(self.taken[snapshot].source) if snapshot in self.taken else []
        if victims and self.strikes():
            victims[0].write_bytes(b"restored to where it came from")


class RestoreGivesAnother(Remembering):
    """Every second restore gives another snapshot of the client.

    Not an empty one, nor for one: an empty directory for a full one is what `give_nothing` does.
    """

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        another = await self._another(snapshot, sub_path)
        if another is not None and self.strikes():
            await super().restore(restorer, another, destination, ROOT)
        else:
            await super().restore(restorer, snapshot, destination, sub_path)

    async def _another(self, snapshot: str, sub_path: bytes) -> str | None:
        if snapshot not in self.taken:
            return None
        wanted = _part(self.taken[snapshot].contents, sub_path)
        for client in self.honest.clients.values():
            with suppress(TargetError):
                shown = [entry.id for entry in await client.list_snapshots()]
                if snapshot in shown and len(wanted) > 1:
                    others = {one: self.taken[one].contents for one in shown if one in self.taken and one != snapshot}
                    return next((one for one, other in others.items() if len(other) > 1 and other != wanted), None)
        return None


class RestoreGivesStaleVersion(Remembering):
    """Every second restore gives an older version of a file, of which there was another one in an earlier snapshot."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        for file in files_below(destination):
            older = self._older(snapshot, joined(sub_path, os.fsencode(file.relative_to(destination))))
            if older is not None:
                if self.strikes():
                    rewrite(file, older)
                return

    def _older(self, snapshot: str, path: bytes) -> bytes | None:
        if snapshot not in self.taken:
            return None
        ids, taken = list(self.taken), self.taken[snapshot]
        for earlier in reversed(ids[: ids.index(snapshot)]):
            older = self.taken[earlier]
            content = older.contents.get(path, b"")
            if older.source == taken.source and content[:1] == _FILE and content != taken.contents.get(path):
                return content[1:]
        return None


class Overlaid(Behaviour):
    """Some files of some snapshots come back as if they had been stored with other content, or not at all."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self.overlays: dict[str, dict[bytes, bytes | None]] = {}
        """By snapshot and path; None for a file that was not stored."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        overlay = self.overlays.get(snapshot, {})
        if overlay.get(sub_path, b"") is None:
            raise OperationFailed(f"there is no {sub_path!r} in snapshot {snapshot}")
        await super().restore(restorer, snapshot, destination, sub_path)
        for path, content in overlay.items():
            if sub_path not in (ROOT, path) and not path.startswith(sub_path + b"/"):
                continue
            file = destination / os.fsdecode(path[len(sub_path) :].lstrip(b"/"))
            if content is None:
                remove(file)
            else:
                rewrite(file, content)


class CreateStale(Overlaid):
    """A file whose size has not changed since the last snapshot of its source is not read again."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._stored: dict[Path, Contents] = {}

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        now, before = dict(_contents_of(source)), self._stored.get(source, {})
        stale = {
            path: before[path]
            for path, content in now.items()
            if path in before and content[:1] == before[path][:1] == _FILE and len(content) == len(before[path])
        }
        receipt = await super().create(client, source, operation)
        self.overlays[receipt.id] = {path: old[1:] for path, old in stale.items() if old != now[path]}
        self._stored[source] = now | stale
        return receipt


def _contents_of(tree: Path) -> Iterator[tuple[bytes, bytes]]:
    yield ROOT, _DIRECTORY
    for path in sorted(tree.rglob("*")):
        relative = os.fsencode(path.relative_to(tree))
        if path.is_symlink():
            yield relative, _LINK + os.fsencode(os.readlink(path))
        elif path.is_dir():
            yield relative, _DIRECTORY
        elif path.is_file():
            yield relative, _FILE + (path.read_bytes() if os.access(path, os.R_OK) else b"")


def _part(contents: Contents, sub_path: bytes) -> Contents:
    if sub_path == ROOT:
        return contents
    below = sub_path + b"/"
    part = {path[len(below) :]: content for path, content in contents.items() if path.startswith(below)}
    return part | {ROOT: contents[sub_path]} if sub_path in contents else part


def _damage(
    sentence: str, find: damage.FindDamage, work: WorkKind = WorkKind.RESTORE, *, needs_root: bool = False
) -> Defect:
    return Defect(
        sentence,
        _RESTORED,
        work,
        functools.partial(RestoreDamaged, find_damage=find),
        needs_root=needs_root,
    )


OF_RESTORES: dict[str, Defect] = {
    "restore-flips-a-byte": _damage("One bit of one file comes back flipped.", damage.flip_a_byte),
    "restore-truncates-a-file": _damage("One file comes back half as long.", damage.truncate),
    "restore-appends-a-byte": _damage("One file comes back one byte longer.", damage.append_a_byte),
    "restore-zeroes-the-tail": _damage("The second half of one file comes back as zeros.", damage.zero_the_tail),
    "restore-loses-an-entry": _damage("One file does not come back.", damage.lose_an_entry),
    "restore-adds-an-entry": _damage("A file comes back that was never there.", damage.add_an_entry),
    "restore-renames-a-file": _damage("One file comes back under another name.", damage.rename_an_entry),
    "restore-changes-a-mode": _damage("One file comes back with another mode.", damage.change_a_mode),
    "restore-changes-an-owner": _damage(
        "One file comes back with another owner; only root can restore owners.", damage.change_an_owner, needs_root=True
    ),
    "restore-changes-an-mtime": _damage("One file comes back one nanosecond younger.", damage.change_an_mtime),
    "restore-swaps-two-files": _damage("Two files come back with each other's content.", damage.swap_two_files),
    "restore-follows-a-symlink": _damage(
        "A link to a file comes back as a copy of that file.", damage.follow_a_symlink, WorkKind.RESTORE_LINK
    ),
    "restore-changes-a-symlink-target": _damage(
        "A link comes back pointing elsewhere.", damage.change_a_symlink, WorkKind.RESTORE_LINK
    ),
    "restore-loses-an-empty-directory": _damage(
        "An empty directory does not come back.", damage.lose_an_empty_directory, WorkKind.RESTORE_EMPTY_DIRECTORY
    ),
    "restore-gives-nothing": _damage("A restore succeeds, and its directory is empty.", damage.give_nothing),
    "restore-makes-no-destination": Defect(
        "A restore succeeds and writes nothing at all.",
        _RESTORED,
        WorkKind.RESTORE,
        RestoreMakesNothing,
    ),
    "restore-gives-another-snapshot": Defect(
        "Another snapshot of the client comes back.", _RESTORED, WorkKind.RESTORE, RestoreGivesAnother
    ),
    "restore-gives-a-stale-version": Defect(
        "An older version of a file comes back.", _RESTORED, WorkKind.RESTORE, RestoreGivesStaleVersion
    ),
    "restore-leaves-a-file-beside": Defect(
        "A restore leaves a file beside the restored tree.", Guarantee.NO_LEAK, WorkKind.RESTORE, RestoreLitters
    ),
    "restore-overwrites-the-source": Defect(
        "A restore also writes over one of the client's files.",
        Guarantee.SOURCE_UNTOUCHED,
        WorkKind.RESTORE,
        RestoreOverwritesSource,
    ),
}
