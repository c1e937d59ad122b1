"""Planted defects of deletions, retention and collections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.defect import planted
from snapstorm.errors import OperationFailed, OperationUnknown
from snapstorm.model.abilities import StoredInFiles
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import ClientSnapshotter, Restorer
from snapstorm.model.work import WorkKind

_OPERATIONS_GONE = 4


@planted("delete-is-ignored", Guarantee.DELETED_STAYS_GONE, WorkKind.DELETE)
class DeleteIgnored(Behaviour):
    """A deletion is acknowledged and not done."""

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        return


@planted("delete-takes-another-too", Guarantee.ACKNOWLEDGED_STAYS_LISTED, WorkKind.DELETE)
class DeleteTakesAnotherToo(Behaviour):
    """A deletion takes another snapshot of the client too."""

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        others = [entry.id for entry in await client.list_snapshots() if entry.id != snapshot]
        for doomed in (snapshot, *others[:1]):
            await client.delete_snapshot(doomed)


@planted("delete-takes-another-instead", Guarantee.DELETED_STAYS_GONE, WorkKind.DELETE)
class DeleteTakesAnotherInstead(Behaviour):
    """A deletion takes another snapshot of the client instead."""

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        others = [entry.id for entry in await client.list_snapshots() if entry.id != snapshot]
        await client.delete_snapshot(others[0] if others else snapshot)


@planted("delete-fails-though-done", Guarantee.AVAILABLE, WorkKind.DELETE)
class DeleteFailsThoughDone(Behaviour):
    """A deletion is done, and the status says that it failed."""

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        await client.delete_snapshot(snapshot)
        raise OperationUnknown("delete failed")


@planted("deletion-only-hides", Guarantee.DELETED_STAYS_GONE, WorkKind.DELETE, needs_ability=True)
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


@planted("delete-comes-back", Guarantee.DELETED_STAYS_GONE, WorkKind.DELETE)
class DeleteComesBack(DeletionOnlyHides):
    """A deleted snapshot is listed again later."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._operations = 0
        """Since the last deletion."""

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        await super().delete(client, snapshot)
        self._operations = 0

    async def before(self, operation: str) -> None:
        self._operations += 1
        if operation == "gc" or self._operations >= _OPERATIONS_GONE:
            self._hidden.clear()


@planted("expire-takes-one-too-many", Guarantee.ACKNOWLEDGED_STAYS_LISTED, WorkKind.EXPIRE)
class ExpireTooMany(Behaviour):
    """Retention takes one of those that it must keep."""

    async def expire(self, client: ClientSnapshotter, source: Path, keep_latest: int) -> None:
        await client.expire_snapshots(source, keep_latest)
        kept = [entry.id for entry in await client.list_snapshots() if entry.source == path_as_text(source)]
        for snapshot in kept[:1]:
            await client.delete_snapshot(snapshot)


@planted("expire-keeps-one-too-many", Guarantee.DELETED_STAYS_GONE, WorkKind.EXPIRE)
class ExpireTooFew(Behaviour):
    """Retention leaves one of those that it must take."""

    async def expire(self, client: ClientSnapshotter, source: Path, keep_latest: int) -> None:
        await client.expire_snapshots(source, keep_latest + 1)


@planted("expire-does-nothing", Guarantee.DELETED_STAYS_GONE, WorkKind.EXPIRE)
class ExpireDoesNothing(Behaviour):
    """Retention is acknowledged and not applied."""

    async def expire(self, client: ClientSnapshotter, source: Path, keep_latest: int) -> None:
        return


@planted("gc-drops-a-live-snapshot", Guarantee.ACKNOWLEDGED_STAYS_LISTED, WorkKind.COLLECT)
class GcDropsSnapshot(Behaviour):
    """A collection drops the newest snapshot."""

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=is_full, is_safe=is_safe)
        if is_full:
            await self.honest.drop_newest()


@planted("gc-drops-content", Guarantee.RESTORED_EXACTLY, WorkKind.COLLECT, needs_ability=True)
class GcDropsContent(Behaviour):
    """A collection drops content that is in use."""

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=is_full, is_safe=is_safe)
        if is_full and isinstance(self.honest.server, StoredInFiles):
            blobs = await self.honest.server.content_blobs()
            of_files = [blob for blob in blobs if blob.holds_files] or blobs
            for blob in sorted(of_files, key=lambda blob: blob.path.stat().st_mtime_ns)[-1:]:
                blob.path.unlink()


@planted("collection-frees-nothing", Guarantee.NO_LEAK, WorkKind.MEASURE, needs_ability=True)
class GcFreesNothing(Behaviour):
    """A collection leaves what no snapshot needs any more."""

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=False, is_safe=is_safe)


@planted("collection-breaks-the-layout", Guarantee.LAYOUT_IS_SOUND, WorkKind.RESTORE, needs_ability=True)
class CollectionMixesUp(Behaviour):
    """A full collection leaves the layout in disorder."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._collections = 0

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=is_full, is_safe=is_safe)
        self._collections += is_full

    async def irregularities(self) -> Sequence[str]:
        return [f"collection {number} was done twice" for number in range(1, self._collections + 1)]
