"""Planted defects of the server: what fails or hangs, checks, who is let in, restarts, and what only a fault shows."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

import anyio

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.defect import Defect, MakeBehaviour
from snapstorm.defects.deletion_defects import GcDropsContent
from snapstorm.errors import OperationFailed, OperationPartial, OperationTimedOut, OperationUnknown, TargetError
from snapstorm.model.abilities import Restartable
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.work import WorkKind

_AVAILABLE = Guarantee.AVAILABLE
_ISOLATED = Guarantee.CLIENTS_ISOLATED


class Failing(Behaviour):
    """Every second operation of a kind fails."""

    def __init__(self, honest: HonestTarget, operation: str, error: type[TargetError], message: str) -> None:
        super().__init__(honest)
        self._operation, self._error, self._message = operation, error, message

    async def before(self, operation: str) -> None:
        if operation == self._operation and self.strikes():
            raise self._error(self._message)


class Hanging(Behaviour):
    """Every second operation of a kind hangs until its time is up."""

    def __init__(self, honest: HonestTarget, operation: str) -> None:
        super().__init__(honest)
        self._operation = operation

    async def before(self, operation: str) -> None:
        if operation == self._operation and self.strikes():
            seconds_max = self.honest.place.operation_seconds_max
            await anyio.sleep(seconds_max)
            raise OperationTimedOut(f"{operation} was still running after {seconds_max:g} s")


class PassesOverDamage(Behaviour):
    """The target's own check finds nothing, whatever is damaged."""

    async def verify(self, check: Callable[[], Awaitable[None]]) -> None:
        return


class SilentCheck(PassesOverDamage, GcDropsContent):
    """Content that is in use goes with a collection, and the target's own check says nothing of it."""


class RemovedLetIn(Behaviour):
    """Who is removed is still let in."""

    async def remove_client(self, client: str) -> None:
        return


class RemovesOthersToo(Behaviour):
    """With a client that is removed, all others are shut out."""

    async def remove_client(self, client: str) -> None:
        for one in {client, *self.honest.clients}:
            await super().remove_client(one)


class AnyPassword(Behaviour):
    """Any password is right."""

    def impostor(self, client: str) -> ClientSnapshotter:
        return self.honest.server.client(client)


class RestartForgets(Behaviour):
    """A repository that is served again has forgotten the newest snapshot of the client that comes first."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._is_to_forget = not honest.place.is_new

    async def before(self, operation: str) -> None:
        if self._is_to_forget:
            self._is_to_forget = False
            self._is_to_forget = not await self.honest.drop_newest()


class _Restarted(Behaviour):
    """Knows when the server starts again after it was ended."""

    replaces: ClassVar[tuple[str, ...]] = ("end_server", "start_server")

    _was_asked: bool | None = None
    """None while the server has not been ended."""

    async def end_server(self, *, is_asked: bool) -> None:
        assert isinstance(self.honest.server, Restartable)
        await self.honest.server.end_server(is_asked=is_asked)
        self._was_asked = is_asked

    async def start_server(self) -> None:
        assert isinstance(self.honest.server, Restartable)
        await self.honest.server.start_server()
        if self._was_asked is not None:
            was_asked, self._was_asked = self._was_asked, None
            await self.restarted(was_asked=was_asked)

    async def restarted(self, *, was_asked: bool) -> None:
        raise NotImplementedError


class KillForgets(_Restarted):
    """A server that was killed has forgotten the newest snapshot."""

    async def restarted(self, *, was_asked: bool) -> None:
        if not was_asked:
            await self.honest.drop_newest()


class NeverRecovers(_Restarted):
    """Once it was ended, the server takes no snapshots any more."""

    _is_broken = False

    async def restarted(self, *, was_asked: bool) -> None:
        self._is_broken = True

    async def before(self, operation: str) -> None:
        if self._is_broken and operation == "create":
            raise OperationUnknown("create failed: no session")


class PasswordStays(Behaviour):
    """The old password is as good as the new one."""

    replaces: ClassVar[tuple[str, ...]] = ("change_password",)

    async def change_password(self, client: str) -> None:
        return


class ReadersWrite(Behaviour):
    """Who may read may also write."""

    replaces: ClassVar[tuple[str, ...]] = ("narrow_rights",)

    async def narrow_rights(self, client: str) -> None:
        return


class CollectionMixesUp(Behaviour):
    """A full collection leaves the layout in disorder."""

    replaces: ClassVar[tuple[str, ...]] = ("irregularities",)

    _collections = 0

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await super().collect(is_full=is_full, is_safe=is_safe)
        self._collections += is_full

    async def irregularities(self) -> Sequence[str]:
        return [f"collection {number} was done twice" for number in range(1, self._collections + 1)]


def _failing(operation: str, work: WorkKind, error: type[TargetError], message: str) -> Defect:
    make = functools.partial(Failing, operation=operation, error=error, message=message)
    return Defect(f"Every second {operation} fails.", _AVAILABLE, work, make)


def _hanging(operation: str, work: WorkKind) -> Defect:
    make = functools.partial(Hanging, operation=operation)
    return Defect(f"Every second {operation} hangs.", _AVAILABLE, work, make)


def _under(fault: str, sentence: str, guarantee: Guarantee, make: MakeBehaviour) -> Defect:
    return Defect(sentence, guarantee, WorkKind.VERIFY, make, fault=fault)


OF_SERVERS: dict[str, Defect] = {
    "restore-fails": _failing("restore", WorkKind.RESTORE, OperationFailed, "restore failed"),
    "restore-hangs": _hanging("restore", WorkKind.RESTORE),
    "create-fails": _failing("create", WorkKind.CREATE, OperationUnknown, "create failed"),
    "create-hangs": _hanging("create", WorkKind.CREATE),
    "list-fails": _failing("list", WorkKind.LIST, OperationFailed, "listing failed"),
    "delete-fails": _failing("delete", WorkKind.DELETE, OperationUnknown, "delete failed"),
    "expire-fails": _failing("expire", WorkKind.EXPIRE, OperationFailed, "expire failed"),
    "gc-fails": _failing("gc", WorkKind.COLLECT, OperationFailed, "collection failed"),
    "gc-hangs": _hanging("gc", WorkKind.COLLECT),
    # Not `verify-agrees`, which takes a restore to contradict: a check that fails on good data is not available.
    "verify-complains-about-good-data": _failing("verify", WorkKind.VERIFY, OperationPartial, "verify found damage"),
    "collection-breaks-the-layout": Defect(
        "A full collection leaves the layout in disorder.",
        Guarantee.LAYOUT_IS_SOUND,
        WorkKind.RESTORE,
        CollectionMixesUp,
        needs_ability=True,
    ),
    "removed-client-still-let-in": Defect(
        "A client that was removed is still let in.", _ISOLATED, WorkKind.REMOVED_CLIENT, RemovedLetIn
    ),
    "removal-shuts-others-out": Defect(
        "With a client that is removed, others are shut out too.",
        _AVAILABLE,
        WorkKind.REMOVED_CLIENT,
        RemovesOthersToo,
    ),
    "wrong-password-accepted": Defect("Any password is right.", _ISOLATED, WorkKind.WRONG_PASSWORD, AnyPassword),
    "restart-forgets-a-snapshot": Defect(
        "A server that starts again has forgotten the newest snapshot.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.RESTORE_EARLIER,
        RestartForgets,
        needs_ability=True,
    ),
    "kill-forgets-a-snapshot": _under(
        "kill-server",
        "A server that was killed has forgotten the newest snapshot.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        KillForgets,
    ),
    "restart-takes-no-snapshots": _under(
        "terminate-server",
        "A server that was ended takes no snapshots any more.",
        Guarantee.RECOVERS,
        NeverRecovers,
    ),
    "verify-says-nothing": _under(
        "unfinished-files",
        "The check says nothing of what a collection has destroyed.",
        Guarantee.VERIFY_AGREES,
        SilentCheck,
    ),
    "verify-passes-over-damage": _under(
        "flip-byte", "The check says nothing of a blob that is damaged.", Guarantee.VERIFY_AGREES, PassesOverDamage
    ),
    "old-password-still-good": _under(
        "change-password", "A password that was changed is still good.", _ISOLATED, PasswordStays
    ),
    "reader-may-write": _under("narrow-rights", "A client that may only read may write.", _ISOLATED, ReadersWrite),
}
