"""Planted defects of the server: what fails or hangs, checks, who is let in, restarts, and what only a fault shows."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import anyio

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.defect import REGISTERED, Defect, planted
from snapstorm.defects.deletion_defects import GcDropsContent
from snapstorm.errors import OperationFailed, OperationPartial, OperationTimedOut, OperationUnknown, TargetError
from snapstorm.model.abilities import Restartable
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import ClientSnapshotter
from snapstorm.model.work import WorkKind


class Failing(Behaviour):
    """Every second operation of a kind fails, or hangs until its time is up."""

    def __init__(self, honest: HonestTarget, operation: str, error: type[TargetError]) -> None:
        super().__init__(honest)
        self._operation, self._error = operation, error

    async def before(self, operation: str) -> None:
        if operation != self._operation or not self.strikes():
            return
        if self._error is OperationTimedOut:
            await anyio.sleep(self.honest.place.operation_seconds_max)
        raise self._error(f"{operation} failed")


for _name, _work, _operation, _error in (
    ("restore-fails", WorkKind.RESTORE, "restore", OperationFailed),
    ("restore-hangs", WorkKind.RESTORE, "restore", OperationTimedOut),
    ("create-fails", WorkKind.CREATE, "create", OperationUnknown),
    ("create-hangs", WorkKind.CREATE, "create", OperationTimedOut),
    ("list-fails", WorkKind.LIST, "list", OperationFailed),
    ("delete-fails", WorkKind.DELETE, "delete", OperationUnknown),
    ("expire-fails", WorkKind.EXPIRE, "expire", OperationFailed),
    ("gc-fails", WorkKind.COLLECT, "gc", OperationFailed),
    ("gc-hangs", WorkKind.COLLECT, "gc", OperationTimedOut),
    # Not `verify-agrees`, which takes a restore to contradict: a check that fails on good data is not available.
    ("verify-complains-about-good-data", WorkKind.VERIFY, "verify", OperationPartial),
):
    _sentence = f"Every second {_operation} {'hangs' if _error is OperationTimedOut else 'fails'}."
    _make = functools.partial(Failing, operation=_operation, error=_error)
    REGISTERED[_name] = Defect(_sentence, Guarantee.AVAILABLE, _work, _make)


@planted("verify-passes-over-damage", Guarantee.VERIFY_AGREES, None, fault="flip-byte")
class PassesOverDamage(Behaviour):
    """The check says nothing of a blob that is damaged."""

    async def verify(self, check: Callable[[], Awaitable[None]]) -> None:
        return


@planted("verify-says-nothing", Guarantee.VERIFY_AGREES, None, fault="unfinished-files")
class SilentCheck(PassesOverDamage, GcDropsContent):
    """The check says nothing of what a collection has destroyed."""


@planted("removed-client-still-let-in", Guarantee.CLIENTS_ISOLATED, WorkKind.REMOVED_CLIENT)
class RemovedLetIn(Behaviour):
    """A client that was removed is still let in."""

    async def remove_client(self, client: str) -> None:
        return


@planted("removal-shuts-others-out", Guarantee.AVAILABLE, WorkKind.REMOVED_CLIENT)
class RemovesOthersToo(Behaviour):
    """With a client that is removed, others are shut out too."""

    async def remove_client(self, client: str) -> None:
        for one in {client, *self.honest.clients}:
            await super().remove_client(one)


@planted("wrong-password-accepted", Guarantee.CLIENTS_ISOLATED, WorkKind.WRONG_PASSWORD)
class AnyPassword(Behaviour):
    """Any password is right."""

    def impostor(self, client: str) -> ClientSnapshotter:
        return self.honest.server.client(client)


@planted(
    "restart-forgets-a-snapshot", Guarantee.ACKNOWLEDGED_STAYS_LISTED, WorkKind.RESTORE_EARLIER, needs_ability=True
)
class RestartForgets(Behaviour):
    """A server that starts again has forgotten the newest snapshot."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._is_to_forget = not honest.place.is_new

    async def before(self, operation: str) -> None:
        if self._is_to_forget:
            self._is_to_forget = False
            self._is_to_forget = not await self.honest.drop_newest()


class Restarted(Behaviour):
    """Knows when the server starts again after it was ended."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._is_ended = self._was_asked = False

    async def end_server(self, *, is_asked: bool) -> None:
        assert isinstance(self.honest.server, Restartable)
        await self.honest.server.end_server(is_asked=is_asked)
        self._is_ended, self._was_asked = True, is_asked

    async def start_server(self) -> None:
        assert isinstance(self.honest.server, Restartable)
        await self.honest.server.start_server()
        if self._is_ended:
            self._is_ended = False
            await self.restarted(was_asked=self._was_asked)

    async def restarted(self, *, was_asked: bool) -> None:
        """`was_asked`: it was ended by asking it to, not killed."""
        raise NotImplementedError


@planted("kill-forgets-a-snapshot", Guarantee.ACKNOWLEDGED_STAYS_LISTED, None, fault="kill-server")
class KillForgets(Restarted):
    """A server that was killed has forgotten the newest snapshot."""

    async def restarted(self, *, was_asked: bool) -> None:
        if not was_asked:
            await self.honest.drop_newest()


@planted("restart-takes-no-snapshots", Guarantee.RECOVERS, None, fault="terminate-server")
class NeverRecovers(Restarted):
    """A server that was ended takes no snapshots any more."""

    def __init__(self, honest: HonestTarget) -> None:
        super().__init__(honest)
        self._is_broken = False

    async def restarted(self, *, was_asked: bool) -> None:
        self._is_broken = True

    async def before(self, operation: str) -> None:
        if self._is_broken and operation == "create":
            raise OperationUnknown("create failed: no session")


@planted("old-password-still-good", Guarantee.CLIENTS_ISOLATED, None, fault="change-password")
class PasswordStays(Behaviour):
    """A password that was changed is still good."""

    async def change_password(self, client: str) -> None:
        return


@planted("reader-may-write", Guarantee.CLIENTS_ISOLATED, None, fault="narrow-rights")
class ReadersWrite(Behaviour):
    """A client that may only read may write."""

    async def narrow_rights(self, client: str) -> None:
        return


@planted("append-only-deletes", Guarantee.CLIENTS_ISOLATED, None, fault="append-only")
class Deletes(Behaviour):
    """A server that is told to let nobody delete lets everybody."""

    async def refuse_deletions(self) -> None:
        return
