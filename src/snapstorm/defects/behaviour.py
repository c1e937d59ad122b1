"""How a target behaves at its protocol boundary: here, as the honest one does.

`Behaviour` is the null case. Each defect is a subclass that does one thing wrong. It works for every target, because it
reaches the honest one only through the protocols that the engine uses, and changes restored trees and clients' files on
the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from snapstorm.errors import TargetError
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.protocols import ClientSnapshotter, Restorer, Server, TargetPlace


@dataclass(frozen=True)
class HonestTarget:
    """The target in which a defect is planted, while it serves a testbed."""

    place: TargetPlace
    server: Server
    clients: dict[str, ClientSnapshotter] = field(default_factory=dict)
    """Those that the run has asked for, by name."""

    async def listings(self) -> list[tuple[ClientSnapshotter, Sequence[ListedSnapshot]]]:
        """What each client is shown; those that are not connected now are left out."""
        found: list[tuple[ClientSnapshotter, Sequence[ListedSnapshot]]] = []
        for client in list(self.clients.values()):
            with suppress(TargetError):
                found.append((client, await client.list_snapshots()))
        return found

    async def drop_newest(self) -> bool:
        """Delete the newest snapshot. Returns whether there was one."""
        shown = [(began_us(entry), entry.id, client) for client, entries in await self.listings() for entry in entries]
        if not shown:
            return False
        _, snapshot, client = max(shown, key=lambda one: one[0])
        await client.delete_snapshot(snapshot)
        return True


def began_us(entry: ListedSnapshot) -> int:
    """When a listed snapshot was begun; 0 where that is unsaid."""
    return (entry.particulars.began_us if entry.particulars else None) or 0


class Behaviour:
    """Does everything as the honest target does. One object for each time that the target serves.

    A method of a subclass that is called like one of the server's abilities stands in for it.
    """

    period: int = 2
    """It strikes at every so-manyth opportunity, so that a short run is sure to meet it, whatever the timing."""

    def __init__(self, honest: HonestTarget) -> None:
        self.honest = honest
        self._opportunities = 0

    def strikes(self) -> bool:
        """Whether this opportunity is one at which it does wrong."""
        self._opportunities += 1
        return self._opportunities % self.period == 0

    async def before(self, operation: str) -> None:
        """Called as `create`, `restore`, `delete`, `list`, `expire`, `verify` or `gc` begins; may fail or hang."""

    async def create(self, client: ClientSnapshotter, source: Path, operation: str) -> SnapshotReceipt:
        return await client.create_snapshot(source, operation)

    async def restore(self, restorer: Restorer, snapshot: str, destination: Path, sub_path: bytes) -> None:
        await restorer.restore_snapshot(snapshot, destination, sub_path)

    async def delete(self, client: ClientSnapshotter, snapshot: str) -> None:
        await client.delete_snapshot(snapshot)

    async def expire(self, client: ClientSnapshotter, source: Path, keep_latest: int) -> None:
        await client.expire_snapshots(source, keep_latest)

    async def list(self, client: ClientSnapshotter) -> Sequence[ListedSnapshot]:
        return await client.list_snapshots()

    async def verify(self, check: Callable[[], Awaitable[None]]) -> None:
        """`check` is the honest check of all snapshots of a client, or of one."""
        await check()

    async def collect(self, *, is_full: bool, is_safe: bool) -> None:
        await self.honest.server.collect_garbage(is_full=is_full, is_safe=is_safe)

    async def remove_client(self, client: str) -> None:
        await self.honest.server.remove_client(client)

    def impostor(self, client: str) -> ClientSnapshotter:
        return self.honest.server.impostor(client)
