"""Planted defects of creations: in what is acknowledged, in what is listed of it, and in clients' files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import msgspec

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.damage import files_below
from snapstorm.defects.defect import planted
from snapstorm.defects.restore_defects import Overlaid
from snapstorm.errors import OperationUnknown
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.work import WorkKind

_ELSEWHERE = "root@elsewhere"
_IN_2001_US = 981_173_106_000_000

Create: TypeAlias = Callable[[ClientSnapshotter, Path, str], Awaitable[SnapshotReceipt]]


class CreateOtherwise(Behaviour):
    """Every second creation is done otherwise."""

    def __init__(self, honest: HonestTarget, create: Create) -> None:
        super().__init__(honest)
        self._create = create

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        if self.strikes():
            return await self._create(client, source, operation)
        return await super().create(client, source, operation)


class CreateSeldom(CreateOtherwise):
    """Every third one is."""

    period = 3


@planted("create-acknowledged-but-lost", Guarantee.ACKNOWLEDGED_STAYS_LISTED, WorkKind.CREATE, by=CreateSeldom)
async def lose(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    """Every third snapshot is acknowledged and not kept."""
    receipt = await client.create_snapshot(source, operation)
    await client.delete_snapshot(receipt.id)
    return receipt


@planted(
    "create-acknowledges-and-does-nothing",
    Guarantee.ACKNOWLEDGED_STAYS_LISTED,
    WorkKind.CREATE,
    by=CreateSeldom,
)
async def do_nothing(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    """A snapshot is acknowledged that was never taken."""
    return SnapshotReceipt(secrets.token_hex(16))


@planted("create-fails-though-done", Guarantee.AVAILABLE, WorkKind.CREATE, by=CreateOtherwise)
async def take_and_fail(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    """A snapshot is taken, and the status says that it failed."""
    await client.create_snapshot(source, operation)
    raise OperationUnknown("create failed")


@planted("create-takes-two", Guarantee.NOTHING_UNREQUESTED, WorkKind.CREATE, by=CreateOtherwise)
async def take_two(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    """Two snapshots are taken for one."""
    await client.create_snapshot(source, operation)
    return await client.create_snapshot(source, operation)


@planted("create-leaves-a-file", Guarantee.SOURCE_UNTOUCHED, WorkKind.CREATE, by=CreateOtherwise)
async def take_and_litter(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    """A creation leaves a file of its own among the client's."""
    receipt = await client.create_snapshot(source, operation)
    (source / ".cache-of-the-backup").write_bytes(b"left behind")
    return receipt


@planted("create-eats-a-file", Guarantee.SOURCE_UNTOUCHED, WorkKind.CREATE, by=CreateOtherwise)
async def take_and_eat(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    """One of the client's own files is gone afterwards."""
    receipt = await client.create_snapshot(source, operation)
    for victim in files_below(source)[-1:]:
        victim.unlink()
    return receipt


@planted("create-rewrites-a-file", Guarantee.SOURCE_UNTOUCHED, WorkKind.CREATE, by=CreateOtherwise)
async def take_and_rewrite(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    """A byte of one of the client's own files is another one afterwards, and its times are as before."""
    receipt = await client.create_snapshot(source, operation)
    for victim in files_below(source)[-1:]:
        _rewrite_unseen(victim)
    return receipt


def _rewrite_unseen(file: Path) -> None:
    """Size, mode and times are then what they were."""
    before = file.stat()
    with open(file, "r+b") as opened:
        first = opened.read(1)[0]
        # Until the system's clock has ticked: nothing real is so quick that its change falls into the same tick.
        while file.stat().st_ctime_ns == before.st_ctime_ns:
            opened.seek(0)
            opened.write(bytes([first ^ 0x20]))
            opened.flush()
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@planted("create-keeps-two", Guarantee.NOTHING_UNREQUESTED, WorkKind.CREATE, needs_ability=True)
class CreateKeepsTwo(Behaviour):
    """A snapshot is kept a second time, where no client is shown it."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        if self.strikes():
            await self.honest.server.add_clients([_ELSEWHERE])
            elsewhere = self.honest.server.client(_ELSEWHERE)
            await elsewhere.connect()
            await elsewhere.create_snapshot(source, operation)
        return await super().create(client, source, operation)


@planted("create-gives-a-wrong-id", Guarantee.ACKNOWLEDGED_STAYS_LISTED, WorkKind.CREATE)
class CreateWrongId(Behaviour):
    """A new snapshot is acknowledged under another one's id."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        others = [entry.id for entry in await client.list_snapshots() if entry.id != receipt.id]
        return replace(receipt, id=others[0]) if others and self.strikes() else receipt


@planted("create-counts-one-too-many", Guarantee.PARTIAL_IS_REPORTED, WorkKind.CREATE)
class CreateCountsTooMany(Behaviour):
    """The counts claim a file that was not there."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        return replace(receipt, files=(receipt.files or 0) + 1)


@planted("create-miscounts-links", Guarantee.PARTIAL_IS_REPORTED, WorkKind.CREATE)
class CreateMiscountsLinks(Behaviour):
    """The counts claim that there were no links."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        return replace(await super().create(client, source, operation), symlinks=0)


class Retelling(Behaviour):
    """Listings tell something else of some snapshots, always the same."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self.retold: dict[str, Callable[[ListedSnapshot], ListedSnapshot]] = {}

    async def list(self, client: ClientSnapshotter) -> Sequence[ListedSnapshot]:
        entries = await super().list(client)
        return [self.retold[entry.id](entry) if entry.id in self.retold else entry for entry in entries]

    def retell(self, receipt: SnapshotReceipt, change: Callable[[Particulars], Particulars]) -> SnapshotReceipt:
        """Tell other particulars of this snapshot from now on, in its receipt and in listings."""
        self.retold[receipt.id] = lambda entry: msgspec.structs.replace(
            entry, particulars=entry.particulars and change(entry.particulars)
        )
        return replace(receipt, **change(receipt.particulars)._asdict())


@planted("create-misdates", Guarantee.ACKNOWLEDGED_STAYS_LISTED, WorkKind.CREATE)
class CreateMisdates(Retelling):
    """A snapshot is stored as one of the year 2001."""

    period = 3

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        if not self.strikes():
            return receipt
        return self.retell(receipt, lambda told: told._replace(began_us=_IN_2001_US, ended_us=_IN_2001_US))


@planted("create-loses-tags", Guarantee.NOTHING_UNREQUESTED, WorkKind.CREATE)
class CreateLosesTags(Retelling):
    """A snapshot is taken without its tags."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        if self.strikes():
            self.retold[receipt.id] = lambda entry: msgspec.structs.replace(entry, testbed=None, operation=None)
        return receipt


@planted("create-takes-two-for-another", Guarantee.NOTHING_UNREQUESTED, WorkKind.CREATE)
class CreateTakesTwoForAnother(Retelling):
    """A creation takes another snapshot under the mark of another testbed."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        if self.strikes():
            another = await client.create_snapshot(source, operation)
            self.retold[another.id] = lambda entry: msgspec.structs.replace(entry, testbed="another", operation=None)
        return await super().create(client, source, operation)


@planted("create-skips-a-file-and-lies", Guarantee.RESTORED_EXACTLY, WorkKind.CREATE)
class CreateSkipsAndLies(Overlaid, Retelling):
    """A file is left out, and the count claims all."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        files = files_below(source)
        size_bytes = files[-1].stat().st_size if files else 0
        receipt = await super().create(client, source, operation)
        if not files or not self.strikes():
            return receipt
        self.overlays[receipt.id] = {os.fsencode(files[-1].relative_to(source)): None}
        return self.told_of(receipt, len(files), size_bytes)

    def told_of(self, receipt: SnapshotReceipt, files: int, size_bytes: int) -> SnapshotReceipt:
        """What is said of a snapshot of so many files, of which one of this size was left out."""
        return receipt


@planted("create-skips-a-file", Guarantee.PARTIAL_IS_REPORTED, WorkKind.CREATE)
class CreateSkips(CreateSkipsAndLies):
    """A file is left out, and the count says so; the status does not."""

    def told_of(self, receipt: SnapshotReceipt, files: int, size_bytes: int) -> SnapshotReceipt:
        return self.retell(
            receipt,
            lambda told: told._replace(
                files=(files if told.files is None else told.files) - 1,
                size_bytes=None if told.size_bytes is None else told.size_bytes - size_bytes,
            ),
        )
