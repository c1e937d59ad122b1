"""Planted defects that show only under the fault that they are about, or in what is judged after faults."""

from __future__ import annotations

from snapstorm.errors import OperationUnknown
from snapstorm.model.guarantees import Guarantee
from snapstorm.targets.memory.behaviour import Behaviour
from snapstorm.targets.memory.defect import Defect
from snapstorm.targets.memory.store import Store


class KillForgets(Behaviour):
    """A server that was killed has forgotten the newest snapshot."""

    def restarted(self, store: Store, *, was_asked: bool) -> None:
        newest = store.newest()
        if newest is not None and not was_asked:
            store.drop(newest)


class NeverRecovers(Behaviour):
    """Once it was ended, the server takes no snapshots any more."""

    def __init__(self) -> None:
        self._is_broken = False

    def restarted(self, store: Store, *, was_asked: bool) -> None:
        self._is_broken = True

    async def before(self, operation: str, seconds_max: float) -> None:
        if self._is_broken and operation == "create":
            raise OperationUnknown("create failed: no session")


class ReadsUnchecked(Behaviour):
    """What is read is not held against its digest."""

    def checks_blobs(self) -> bool:
        return False


class SilentCheck(Behaviour):
    """Content that is in use goes with a collection, and the target's own check says nothing of it."""

    def collected(self, store: Store) -> None:
        store.drop_newest_content()

    def complains(self) -> bool:
        return False


class PassesOverDamage(Behaviour):
    """The target's own check says nothing of what it has found."""

    def complains(self) -> bool:
        return False


class PasswordStays(Behaviour):
    """The old password is as good as the new one."""

    def password_changes(self) -> bool:
        return False


class ReadersWrite(Behaviour):
    """Who may read may also write."""

    def narrows(self) -> bool:
        return False


UNDER_FAULTS: dict[str, Defect] = {
    "kill-forgets-a-snapshot": Defect(
        "A server that was killed has forgotten the newest snapshot.", Guarantee.ACKNOWLEDGED_STAYS_LISTED, KillForgets
    ),
    "restart-takes-no-snapshots": Defect(
        "A server that was ended takes no snapshots any more.", Guarantee.RECOVERS, NeverRecovers
    ),
    "damage-is-not-noticed": Defect(
        "What is read is not held against its digest.", Guarantee.DAMAGE_IS_DETECTED, ReadsUnchecked
    ),
    "verify-says-nothing": Defect(
        "The check says nothing of what a collection has destroyed.", Guarantee.VERIFY_AGREES, SilentCheck
    ),
    "verify-passes-over-damage": Defect(
        "The check says nothing of a blob that is damaged.", Guarantee.VERIFY_AGREES, PassesOverDamage
    ),
    "old-password-still-good": Defect(
        "A password that was changed is still good.", Guarantee.CLIENTS_ISOLATED, PasswordStays
    ),
    "reader-may-write": Defect("A client that may only read may write.", Guarantee.CLIENTS_ISOLATED, ReadersWrite),
}
"""These show only under the fault that they are about."""

SHOWN_BY = {
    "kill-forgets-a-snapshot": "kill-server",
    "restart-takes-no-snapshots": "terminate-server",
    "damage-is-not-noticed": "flip-byte",
    "verify-says-nothing": "unfinished-files",
    "verify-passes-over-damage": "flip-byte",
    "old-password-still-good": "change-password",
    "reader-may-write": "narrow-rights",
}
"""For each of them, the fault under which it shows."""
