"""A target with a planted defect: the honest one, with a behaviour between it and whoever uses it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.defects.defect import MakeBehaviour
from snapstorm.errors import HarnessError
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.protocols import Auditor, ClientSnapshotter, Server, Target, TargetDescription, TargetPlace

Honest = TypeVar("Honest")


def with_defect(honest: Target, make_behaviour: MakeBehaviour, name: str) -> Target:
    """The target with a defect planted in it, under this name in its description."""

    @asynccontextmanager
    async def serve(place: TargetPlace) -> AsyncIterator[Server]:
        async with honest.serve(place) as server:
            behaviour = make_behaviour(HonestTarget(place, server))
            own = {name for name in dir(behaviour) if callable(getattr(server, name, None))}
            abilities = {name: staticmethod(getattr(behaviour, name)) for name in own - set(dir(Behaviour))}
            yield _derived(server, _DefectiveServer, behaviour=behaviour, **abilities)

    return _derived(honest, _DefectiveTarget, honest=honest, serve_defective=staticmethod(serve), defect=name)


def _derived(honest: Honest, mixin: type, /, **attributes: Any) -> Honest:
    """An object with the state of `honest`, of a class derived from its class, so that it has the same abilities."""
    if not hasattr(honest, "__dict__"):
        raise HarnessError(f"no defect can be planted in a {type(honest).__name__}, because it has no __dict__")
    derived: Any = object.__new__(type(mixin.__name__, (mixin, type(honest)), attributes))
    object.__setattr__(derived, "__dict__", vars(honest))
    return cast(Honest, derived)


class _DefectiveTarget:
    """Goes before the class of an honest target."""

    honest: Target
    serve_defective: Callable[[TargetPlace], AbstractAsyncContextManager[Server]]
    defect: str

    @property
    def description(self) -> TargetDescription:
        honest = self.honest.description
        return replace(honest, notes=(f"planted defect: {self.defect}", *honest.notes))

    def serve(self, place: TargetPlace) -> AbstractAsyncContextManager[Server]:
        return self.serve_defective(place)


class _DefectiveServer:
    """Goes before the class of an honest server."""

    behaviour: Behaviour

    @property
    def only_here(self) -> str | None:
        """The defect stands between the server and its clients, in this process."""
        return "the planted defect acts in the process of the run"

    def client(self, client: str) -> ClientSnapshotter:
        honest = self.behaviour.honest.clients[client] = self.behaviour.honest.server.client(client)
        return _DefectiveClient(self.behaviour, honest)

    def impostor(self, client: str) -> ClientSnapshotter:
        return _DefectiveClient(self.behaviour, self.behaviour.impostor(client))

    @property
    def auditor(self) -> Auditor | None:
        honest = self.behaviour.honest.server.auditor
        return None if honest is None else _DefectiveAuditor(self.behaviour, honest)

    async def remove_client(self, client: str) -> None:
        await self.behaviour.remove_client(client)

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        await self.behaviour.before("gc")
        await self.behaviour.collect(is_full=is_full, is_safe=is_safe)


@dataclass(frozen=True)
class _DefectiveAuditor(Auditor):
    behaviour: Behaviour
    honest: Auditor

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self.behaviour.before("restore")
        await self.behaviour.restore(self.honest, snapshot, destination, sub_path)

    async def verify_snapshot(self, snapshot: str) -> None:
        await self.behaviour.before("verify")
        await self.behaviour.verify(functools.partial(self.honest.verify_snapshot, snapshot))


@dataclass(frozen=True)
class _DefectiveClient(ClientSnapshotter):
    behaviour: Behaviour
    honest: ClientSnapshotter

    async def connect(self) -> None:
        await self.honest.connect()

    async def disconnect(self) -> None:
        await self.honest.disconnect()

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        await self.behaviour.before("create")
        return await self.behaviour.create(self.honest, source, operation)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        await self.behaviour.before("restore")
        await self.behaviour.restore(self.honest, snapshot, destination, sub_path)

    async def delete_snapshot(self, snapshot: str) -> None:
        await self.behaviour.before("delete")
        await self.behaviour.delete(self.honest, snapshot)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        await self.behaviour.before("expire")
        await self.behaviour.expire(self.honest, source, keep_latest)

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        await self.behaviour.before("list")
        return tuple(await self.behaviour.list(self.honest))

    async def verify_snapshots(self) -> None:
        await self.behaviour.before("verify")
        await self.behaviour.verify(self.honest.verify_snapshots)
