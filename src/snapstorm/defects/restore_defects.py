"""Planted defects of restores that give something else, and of creations that show when what they took is restored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.damage import files_below, remove, rewrite
from snapstorm.defects.defect import planted
from snapstorm.errors import OperationFailed
from snapstorm.filesystem.descriptors import joined
from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import ROOT
from snapstorm.model.protocols import ClientSnapshotter, Restorer
from snapstorm.model.work import WorkKind

Contents: TypeAlias = dict[bytes, bytes]
"""Of each entry of a tree by its path: a letter that says whether it is a file, a link or a directory, and content."""

_FILE, _LINK, _DIRECTORY = b"f", b"l", b"d"


@planted("restore-makes-no-destination", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE)
class RestoreMakesNothing(Behaviour):
    """A restore succeeds and writes nothing at all."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        if not self.strikes():
            await super().restore(restorer, snapshot, destination, sub_path)


@planted("restore-leaves-a-file-beside", Guarantee.NO_LEAK, WorkKind.RESTORE)
class RestoreLitters(Behaviour):
    """A restore leaves a file beside the restored tree."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        if self.strikes():
            destination.with_name(".restore-journal").touch()


class Remembering(Behaviour):
    """Remembers what was snapshotted, in memory: for short runs."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self.taken: dict[str, tuple[Path, Contents]] = {}
        """By id, oldest first: from where, and what a client could tell two trees apart by."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        contents = dict(_contents_of(source))
        receipt = await super().create(client, source, operation)
        self.taken[receipt.id] = source, contents
        return receipt


@planted("restore-overwrites-the-source", Guarantee.SOURCE_UNTOUCHED, WorkKind.RESTORE)
class RestoreOverwritesSource(Remembering):
    """A restore also writes over one of the client's files."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        victims = files_below(self.taken[snapshot][0]) if snapshot in self.taken else []
        if victims and self.strikes():
            victims[0].write_bytes(b"restored to where it came from")


@planted("restore-gives-another-snapshot", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE)
class RestoreGivesAnother(Remembering):
    """Another snapshot of the client comes back."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        another = await self._another(snapshot, sub_path)
        if another is not None and self.strikes():
            snapshot, sub_path = another, ROOT
        await super().restore(restorer, snapshot, destination, sub_path)

    async def _another(self, snapshot: str, sub_path: bytes) -> str | None:
        """One that differs. Not an empty one, nor one for an empty one: that is what `give_nothing` does."""
        wanted = _part(self.taken[snapshot][1], sub_path) if snapshot in self.taken else {}
        shown = [{entry.id for entry in entries} for _, entries in await self.honest.listings()]
        own = next((ids for ids in shown if snapshot in ids), set())
        for one, (_, contents) in self.taken.items():
            if one in own - {snapshot} and contents != wanted and min(len(contents), len(wanted)) > 1:
                return one
        return None


@planted("restore-gives-a-stale-version", Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE)
class RestoreGivesStaleVersion(Remembering):
    """An older version of a file comes back."""

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await super().restore(restorer, snapshot, destination, sub_path)
        for file in files_below(destination):
            older = self._older(snapshot, joined(sub_path, os.fsencode(file.relative_to(destination))))
            if older is not None:
                if self.strikes():
                    rewrite(file, older)
                return

    def _older(self, snapshot: str, path: bytes) -> bytes | None:
        ids = list(self.taken)
        if snapshot not in ids:
            return None
        source, contents = self.taken[snapshot]
        for earlier in reversed(ids[: ids.index(snapshot)]):
            older = self.taken[earlier][1].get(path, b"")
            if self.taken[earlier][0] == source and older[:1] == _FILE and older != contents.get(path):
                return older[1:]
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
            if sub_path in (ROOT, path) or path.startswith(sub_path + b"/"):
                file = destination / os.fsdecode(path[len(sub_path) :].lstrip(b"/"))
                if content is None:
                    remove(file)
                else:
                    rewrite(file, content)


@planted("create-stores-stale-content", Guarantee.RESTORED_EXACTLY, WorkKind.CREATE)
class CreateStale(Overlaid):
    """A file that kept its size is not read again."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._stored: dict[Path, Contents] = {}

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        now, before = dict(_contents_of(source)), self._stored.get(source, {})
        kept = {path: before[path] for path in now.keys() & before.keys() if len(now[path]) == len(before[path])}
        stale = {path: old for path, old in kept.items() if old[:1] == now[path][:1] == _FILE and old != now[path]}
        receipt = await super().create(client, source, operation)
        self.overlays[receipt.id] = {path: old[1:] for path, old in stale.items()}
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
        elif path.is_file() and os.access(path, os.R_OK):
            yield relative, _FILE + path.read_bytes()


def _part(contents: Contents, sub_path: bytes) -> Contents:
    if sub_path == ROOT:
        return contents
    below = sub_path + b"/"
    return {
        path[len(below) :]: content for path, content in contents.items() if path == sub_path or path.startswith(below)
    }
