"""Planted defects of deletions, retention and collections."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.defect import Defect, MakeBehaviour
from snapstorm.errors import OperationFailed, OperationUnknown
from snapstorm.model.abilities import StoredInFiles
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import ClientSnapshotter, Restorer
from snapstorm.model.work import WorkKind

_OPERATIONS_GONE = 4

_STAYS = Guarantee.ACKNOWLEDGED_STAYS_LISTED
_GONE = Guarantee.DELETED_STAYS_GONE


class DeleteIgnored(Behaviour):
    """No deletion is done."""

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        return


class DeleteTakesAnother(Behaviour):
    """Each deletion takes the client's oldest other snapshot along, or takes only that."""

    def __init__(self, honest: HonestTarget, *, instead: bool) -> None:
        super().__init__(honest)
        self._instead = instead

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        others = [entry.id for entry in await client.list_snapshots() if entry.id != snapshot][:1]
        for doomed in others if self._instead and others else [snapshot, *others]:
            await super().delete(client, doomed)


class DeleteFailsThoughDone(Behaviour):
    """Each deletion is done, and said to have failed."""

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        await super().delete(client, snapshot)
        raise OperationUnknown("delete failed")


class DeletionOnlyHides(Behaviour):
    """A deleted snapshot is shown no more, and stays."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._hidden: set[str] = set()

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        self._hidden.add(snapshot)

    async def list(self, client: ClientSnapshotter) -> Sequence[ListedSnapshot]:
        return [entry for entry in await super().list(client) if entry.id not in self._hidden]

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        if snapshot in self._hidden:
            raise OperationFailed(f"there is no snapshot {snapshot}")
        await super().restore(restorer, snapshot, destination, sub_path)


class DeleteComesBack(DeletionOnlyHides):
    """A deleted snapshot is listed again, whole, from the next collection or the fourth operation after it."""

    _operations = 0

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        await super().delete(client, snapshot)
        self._operations = 0

    async def before(self, operation: str) -> None:
        self._operations += 1
        if operation == "gc" or self._operations >= _OPERATIONS_GONE:
            self._hidden.clear()


class ExpireTooMany(Behaviour):
    """Each expiry takes the oldest snapshot of those to be kept, too."""

    async def expire(self, client: ClientSnapshotter, source: Path, keep_latest: int) -> None:
        await super().expire(client, source, keep_latest)
        kept = [entry.id for entry in await client.list_snapshots() if entry.source == path_as_text(source)]
        for snapshot in kept[:1]:
            await client.delete_snapshot(snapshot)


class ExpireTooFew(Behaviour):
    """Each expiry leaves the newest of those that are to go."""

    async def expire(self, client: ClientSnapshotter, source: Path, keep_latest: int) -> None:
        await super().expire(client, source, keep_latest + 1)


class ExpireDoesNothing(Behaviour):
    """No expiry is done."""

    async def expire(self, client: ClientSnapshotter, source: Path, keep_latest: int) -> None:
        return


class GcDropsSnapshot(Behaviour):
    """Each full collection drops the newest snapshot."""

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=is_full, is_safe=is_safe)
        if is_full:
            await self.honest.drop_newest()


class GcDropsContent(Behaviour):
    """Each full collection drops the newest content of files. Only for what is stored in files."""

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=is_full, is_safe=is_safe)
        server = self.honest.server
        if is_full and isinstance(server, StoredInFiles):
            blobs = [blob.path for blob in await server.content_blobs() if blob.holds_files]
            for path in sorted(blobs, key=lambda path: path.stat().st_mtime_ns)[-1:]:
                path.unlink()


class GcFreesNothing(Behaviour):
    """No collection takes anything."""

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=False, is_safe=is_safe)


def _delete(sentence: str, guarantee: Guarantee, make: MakeBehaviour, *, needs_ability: bool = False) -> Defect:
    return Defect(sentence, guarantee, WorkKind.DELETE, make, needs_ability=needs_ability)


def _expire(sentence: str, guarantee: Guarantee, make: MakeBehaviour) -> Defect:
    return Defect(sentence, guarantee, WorkKind.EXPIRE, make)


def _collect(sentence: str, guarantee: Guarantee, make: MakeBehaviour, *, needs_ability: bool = False) -> Defect:
    return Defect(sentence, guarantee, WorkKind.COLLECT, make, needs_ability=needs_ability)


OF_DELETIONS: dict[str, Defect] = {
    "delete-is-ignored": _delete("A deletion is acknowledged and not done.", _GONE, DeleteIgnored),
    "delete-takes-another-too": _delete(
        "A deletion takes another snapshot of the client too.",
        _STAYS,
        functools.partial(DeleteTakesAnother, instead=False),
    ),
    "delete-takes-another-instead": _delete(
        "A deletion takes another snapshot of the client instead.",
        _GONE,
        functools.partial(DeleteTakesAnother, instead=True),
    ),
    "delete-comes-back": _delete("A deleted snapshot is listed again later.", _GONE, DeleteComesBack),
    "deletion-only-hides": _delete(
        "A deleted snapshot is shown no more, and stays.",
        _GONE,
        DeletionOnlyHides,
        needs_ability=True,
    ),
    "delete-fails-though-done": _delete(
        "A deletion is done, and the status says that it failed.", Guarantee.AVAILABLE, DeleteFailsThoughDone
    ),
    "expire-takes-one-too-many": _expire("Retention takes one of those that it must keep.", _STAYS, ExpireTooMany),
    "expire-keeps-one-too-many": _expire("Retention leaves one of those that it must take.", _GONE, ExpireTooFew),
    "expire-does-nothing": _expire("Retention is acknowledged and not applied.", _GONE, ExpireDoesNothing),
    "gc-drops-a-live-snapshot": _collect("A collection drops the newest snapshot.", _STAYS, GcDropsSnapshot),
    "gc-drops-content": _collect(
        "A collection drops content that is in use.", Guarantee.RESTORED_EXACTLY, GcDropsContent, needs_ability=True
    ),
    "collection-frees-nothing": Defect(
        "A collection leaves what no snapshot needs any more.",
        Guarantee.NO_LEAK,
        WorkKind.MEASURE,
        GcFreesNothing,
        needs_ability=True,
    ),
}
