"""Faults of clients' rights: taken away during work, and given back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from snapstorm.faults.fault import Fault, FaultKind, Record, Scene
from snapstorm.model.abilities import ChangesPasswords, NarrowsRights, RefusesDeletions
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
        return super().why_not(scene) if scene.server.manages_users else "users are not managed here"

    given_back: str
    """What was done when the rights were given back, for people."""

    @property
    def client(self) -> str:
        """The one that is struck."""
        assert self.clients is not None
        return next(iter(self.clients))

    async def inject(self, record: Record) -> None:
        client = self.draws.choice(sorted(self.scene.clients))
        self.clients = frozenset({client})
        record({"client": client})
        self.is_injected = True
        await self.take(self.scene.server, client)

    async def heal(self) -> None:
        if self.is_injected:
            await self.give_back(self.scene.server, self.client)

    @classmethod
    async def heal_left_over_with(cls, server: Server, details: Mapping[str, Any]) -> str | None:
        if not details or not isinstance(server, cls.ability or object):
            return None
        await cls.give_back(server, details["client"])
        return cls.given_back.format(details["client"])

    @staticmethod
    @abstractmethod
    async def take(server: Any, client: str) -> None:
        """Take the client's rights. `server` has the `ability`."""

    @staticmethod
    @abstractmethod
    async def give_back(server: Any, client: str) -> None:
        """Give them back."""


class RemoveUser(_TakesRights):
    """A client's user is removed while the client works, and added again."""

    key = "remove-user"
    given_back = "added {} again"

    @staticmethod
    async def take(server: Server, client: str) -> None:
        await server.remove_client(client)

    @staticmethod
    async def give_back(server: Server, client: str) -> None:
        await server.add_clients([client])

    async def judge(self) -> None:
        await self.scene.judge.must_be_refused(self.client, "a removed client")


class ChangePassword(_TakesRights):
    """The password of a client's user is changed while the client works, and changed back."""

    key = "change-password"
    ability = ChangesPasswords
    lacking = "passwords can't be changed here"
    given_back = "gave {} its password back"

    @staticmethod
    async def take(server: ChangesPasswords, client: str) -> None:
        await server.change_password(client)

    @staticmethod
    async def give_back(server: ChangesPasswords, client: str) -> None:
        await server.restore_password(client)

    async def judge(self) -> None:
        await self.scene.judge.must_be_refused(self.client, "a client with an old password")


class NarrowRights(_TakesRights):
    """A client may only read its snapshots, not take or delete any, for some seconds."""

    key = "narrow-rights"
    ability = NarrowsRights
    lacking = "rights can't be narrowed here"
    given_back = "gave {} its rights back"

    @staticmethod
    async def take(server: NarrowsRights, client: str) -> None:
        await server.narrow_rights(client)

    @staticmethod
    async def give_back(server: NarrowsRights, client: str) -> None:
        await server.widen_rights(client)

    async def judge(self) -> None:
        await self.scene.judge.must_not_write(self.client)


class AppendOnly(Fault):
    """The server is restarted so that it lets nobody delete, and after some seconds as it was."""

    key = "append-only"
    weight = 2
    kind = FaultKind.RIGHTS
    needs = "a server of our own that can refuse to delete"
    ability = RefusesDeletions
    lacking = "the server can't refuse to delete"
    hold_seconds = (0.5, 3.0)
    disturbs_process = True

    async def inject(self, record: Record) -> None:
        record({})
        await self._server.refuse_deletions()

    async def judge(self) -> None:
        await self.scene.judge.must_not_delete(self.draws.choice(sorted(self.scene.clients)))

    async def heal(self) -> None:
        await self._server.allow_deletions()

    @property
    def _server(self) -> RefusesDeletions:
        assert isinstance(self.scene.server, RefusesDeletions)
        return self.scene.server
