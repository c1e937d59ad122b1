"""Faults of clients' rights: taken away in the midst of work, and given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snapstorm.faults.fault import Fault, FaultKind, Record, Scene
from snapstorm.model.abilities import ChangesPasswords, NarrowsRights
from snapstorm.model.protocols import Server


class _TakesRights(Fault):
    """Strikes one client."""

    kind = FaultKind.RIGHTS
    needs = "a server of our own that tells clients apart"
    hold_seconds = (0.5, 3.0)
    is_injected = False
    heals_with_server = True

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        return None if scene.server.manages_users else "users are not managed here"

    @property
    def client(self) -> str:
        """The one that is struck."""
        assert self.clients is not None
        return next(iter(self.clients))

    def strike_one(self, record: Record) -> str:
        client = self.draws.choice(sorted(self.scene.clients))
        self.clients = frozenset({client})
        record({"client": client})
        self.is_injected = True
        return client


class RemoveUser(_TakesRights):
    """A client's user is removed while the client works, and added again."""

    key = "remove-user"

    async def inject(self, record: Record) -> None:
        await self.scene.server.remove_client(self.strike_one(record))

    async def judge(self) -> None:
        await self.scene.judge.must_be_refused(self.client, "a removed client")

    async def heal(self) -> None:
        if self.is_injected:
            await self.scene.server.add_clients([self.client])

    @classmethod
    async def heal_left_over_with(cls, server: Server, details: Mapping[str, Any]) -> str | None:
        if not details:
            return None
        await server.add_clients([details["client"]])
        return f"added {details['client']} again"


class ChangePassword(_TakesRights):
    """The password of a client's user is changed while the client works, and changed back."""

    key = "change-password"

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        return super().why_not(scene) or (
            None if isinstance(scene.server, ChangesPasswords) else "passwords can't be changed here"
        )

    async def inject(self, record: Record) -> None:
        assert isinstance(self.scene.server, ChangesPasswords)
        await self.scene.server.change_password(self.strike_one(record))

    async def judge(self) -> None:
        await self.scene.judge.must_be_refused(self.client, "a client with an old password")

    async def heal(self) -> None:
        if self.is_injected:
            assert isinstance(self.scene.server, ChangesPasswords)
            await self.scene.server.restore_password(self.client)

    @classmethod
    async def heal_left_over_with(cls, server: Server, details: Mapping[str, Any]) -> str | None:
        if not details or not isinstance(server, ChangesPasswords):
            return None
        await server.restore_password(details["client"])
        return f"gave {details['client']} its password back"


class NarrowRights(_TakesRights):
    """A client may only read its snapshots, not take or delete any, for some seconds."""

    key = "narrow-rights"

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        return super().why_not(scene) or (
            None if isinstance(scene.server, NarrowsRights) else "rights can't be narrowed here"
        )

    async def inject(self, record: Record) -> None:
        assert isinstance(self.scene.server, NarrowsRights)
        await self.scene.server.narrow_rights(self.strike_one(record))

    async def judge(self) -> None:
        await self.scene.judge.must_not_write(self.client)

    async def heal(self) -> None:
        if self.is_injected:
            assert isinstance(self.scene.server, NarrowsRights)
            await self.scene.server.widen_rights(self.client)

    @classmethod
    async def heal_left_over_with(cls, server: Server, details: Mapping[str, Any]) -> str | None:
        if not details or not isinstance(server, NarrowsRights):
            return None
        await server.widen_rights(details["client"])
        return f"gave {details['client']} its rights back"
