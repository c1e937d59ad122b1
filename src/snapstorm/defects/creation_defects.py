"""Planted defects of creations: in what is acknowledged, in what is stored, and in what they do to clients' files."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import msgspec

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.damage import files_below
from snapstorm.defects.defect import Defect, MakeBehaviour
from snapstorm.defects.restore_defects import CreateStale, Overlaid
from snapstorm.errors import OperationUnknown
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.work import WorkKind

_ELSEWHERE = "root@elsewhere"
_IN_2001_US = 981_173_106_000_000

Create: TypeAlias = Callable[[ClientSnapshotter, Path, str], Awaitable[SnapshotReceipt]]

_STAYS = Guarantee.ACKNOWLEDGED_STAYS_LISTED
_UNREQUESTED = Guarantee.NOTHING_UNREQUESTED
_PARTIAL = Guarantee.PARTIAL_IS_REPORTED


class CreateOtherwise(Behaviour):
    """Every second creation is done otherwise."""

    def __init__(self, honest: HonestTarget, create: Create) -> None:
        super().__init__(honest)
        self._create = create

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        if self.strikes():
            return await self._create(client, source, operation)
        return await super().create(client, source, operation)


class CreateOtherwiseSeldom(CreateOtherwise):
    """Every third creation is done otherwise."""

    period = 3


async def lose(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    receipt = await client.create_snapshot(source, operation)
    await client.delete_snapshot(receipt.id)
    return receipt


async def do_nothing(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    return SnapshotReceipt(secrets.token_hex(16))


async def take_and_fail(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    await client.create_snapshot(source, operation)
    raise OperationUnknown("create failed")


async def take_two(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    await client.create_snapshot(source, operation)
    return await client.create_snapshot(source, operation)


async def take_and_litter(client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
    receipt = await client.create_snapshot(source, operation)
    (source / ".cache-of-the-backup").write_bytes(b"left behind")
    return receipt


class CreateKeepsTwo(Behaviour):
    """Every second snapshot is taken a second time, for a client that there is not."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        if self.strikes():
            await self.honest.server.add_clients([_ELSEWHERE])
            elsewhere = self.honest.server.client(_ELSEWHERE)
            await elsewhere.connect()
            await elsewhere.create_snapshot(source, operation)
        return await super().create(client, source, operation)


class CreateTouches(Behaviour):
    """Does something to a file of the client's own after every second snapshot of a source that has one."""

    def __init__(self, honest: HonestTarget, touch: Callable[[Path], None]) -> None:
        super().__init__(honest)
        self._touch = touch

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        victims = files_below(source)
        if victims and self.strikes():
            self._touch(victims[-1])
        return receipt


def rewrite_unseen(file: Path) -> None:
    """Change a byte and set the times back: size, mode and times are then what they were."""
    before = file.stat()
    with open(file, "r+b") as opened:
        first = opened.read(1)[0]
        # Until the system's clock has ticked: nothing real is so quick that its change falls into the same tick.
        while file.stat().st_ctime_ns == before.st_ctime_ns:
            opened.seek(0)
            opened.write(bytes([first ^ 0x20]))
            opened.flush()
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


class CreateWrongId(Behaviour):
    """Every second snapshot beside others is acknowledged under the id of another one."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        others = [entry.id for entry in await client.list_snapshots() if entry.id != receipt.id]
        return replace(receipt, id=others[0]) if others and self.strikes() else receipt


class CreateMiscounts(Behaviour):
    """Each creation says something else of its snapshot than listings do."""

    def __init__(self, honest: HonestTarget, **told: Callable[[int], int]) -> None:
        super().__init__(honest)
        self._told = told

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        told = {name: tell(getattr(receipt, name) or 0) for name, tell in self._told.items()}
        return replace(receipt, **receipt.particulars._replace(**told)._asdict())


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


class CreateMisdates(Retelling):
    """Every third snapshot is one of the year 2001."""

    period = 3

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        if not self.strikes():
            return receipt
        return self.retell(receipt, lambda told: told._replace(began_us=_IN_2001_US, ended_us=_IN_2001_US))


class CreateLosesTags(Retelling):
    """Every second snapshot has no tags."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        receipt = await super().create(client, source, operation)
        if self.strikes():
            self.retold[receipt.id] = lambda entry: msgspec.structs.replace(entry, testbed=None, operation=None)
        return receipt


class CreateTakesTwoForAnother(Retelling):
    """Every second time another snapshot is taken under the mark of another testbed."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        if self.strikes():
            another = await client.create_snapshot(source, operation)
            self.retold[another.id] = lambda entry: msgspec.structs.replace(
                entry, testbed="somebody-elses", operation=None
            )
        return await super().create(client, source, operation)


class CreateSkips(Overlaid, Retelling):
    """Leaves a file out of every second snapshot that has one; counts what was stored, or claims all."""

    def __init__(self, honest: HonestTarget, *, lies: bool) -> None:
        super().__init__(honest)
        self._lies = lies

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        files = files_below(source)
        sizes = [file.stat().st_size for file in files]
        receipt = await super().create(client, source, operation)
        if not files or not self.strikes():
            return receipt
        self.overlays[receipt.id] = {os.fsencode(files[-1].relative_to(source)): None}
        if self._lies:
            return receipt
        return self.retell(
            receipt,
            lambda told: told._replace(
                files=(len(files) if told.files is None else told.files) - 1,
                size_bytes=None if told.size_bytes is None else told.size_bytes - sizes[-1],
            ),
        )


def _create(sentence: str, guarantee: Guarantee, make: MakeBehaviour, *, needs_ability: bool = False) -> Defect:
    return Defect(sentence, guarantee, WorkKind.CREATE, make, needs_ability=needs_ability)


def _touching(sentence: str, touch: Callable[[Path], None]) -> Defect:
    return _create(sentence, Guarantee.SOURCE_UNTOUCHED, functools.partial(CreateTouches, touch=touch))


OF_CREATIONS: dict[str, Defect] = {
    "create-acknowledged-but-lost": _create(
        "Every third snapshot is acknowledged and not kept.",
        _STAYS,
        functools.partial(CreateOtherwiseSeldom, create=lose),
    ),
    "create-acknowledges-and-does-nothing": _create(
        "A snapshot is acknowledged that was never taken.",
        _STAYS,
        functools.partial(CreateOtherwiseSeldom, create=do_nothing),
    ),
    "create-gives-a-wrong-id": _create("A new snapshot is acknowledged under another one's id.", _STAYS, CreateWrongId),
    "create-skips-a-file": _create(
        "A file is left out, and the count says so; the status does not.",
        _PARTIAL,
        functools.partial(CreateSkips, lies=False),
    ),
    "create-skips-a-file-and-lies": _create(
        "A file is left out, and the count claims all.",
        Guarantee.RESTORED_EXACTLY,
        functools.partial(CreateSkips, lies=True),
    ),
    "create-counts-one-too-many": _create(
        "The counts claim a file that was not there.",
        _PARTIAL,
        functools.partial(CreateMiscounts, files=lambda files: files + 1),
    ),
    "create-miscounts-links": _create(
        "The counts claim that there were no links.",
        _PARTIAL,
        functools.partial(CreateMiscounts, symlinks=lambda links: 0),
    ),
    "create-misdates": _create("A snapshot is stored as one of the year 2001.", _STAYS, CreateMisdates),
    "create-stores-stale-content": _create(
        "A file that kept its size is not read again.", Guarantee.RESTORED_EXACTLY, CreateStale
    ),
    "create-takes-two": _create(
        "Two snapshots are taken for one.", _UNREQUESTED, functools.partial(CreateOtherwise, create=take_two)
    ),
    "create-takes-two-for-another": _create(
        "A creation takes another snapshot under the mark of another testbed.",
        _UNREQUESTED,
        CreateTakesTwoForAnother,
    ),
    "create-keeps-two": _create(
        "A snapshot is kept a second time, where no client is shown it.",
        _UNREQUESTED,
        CreateKeepsTwo,
        needs_ability=True,
    ),
    "create-loses-tags": _create("A snapshot is taken without its tags.", _UNREQUESTED, CreateLosesTags),
    "create-eats-a-file": _touching("One of the client's own files is gone afterwards.", Path.unlink),
    "create-leaves-a-file": _create(
        "A creation leaves a file of its own among the client's.",
        Guarantee.SOURCE_UNTOUCHED,
        functools.partial(CreateOtherwise, create=take_and_litter),
    ),
    "create-rewrites-a-file": _touching(
        "A byte of one of the client's own files is another one afterwards, and its times are as before.",
        rewrite_unseen,
    ),
    "create-fails-though-done": _create(
        "A snapshot is taken, and the status says that it failed.",
        Guarantee.AVAILABLE,
        functools.partial(CreateOtherwise, create=take_and_fail),
    ),
}
