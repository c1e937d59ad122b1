"""What is judged around the clients' own work: listings, time-outs, and what must be refused."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from snapstorm.actions.multiclient import MultiClientSnapshotter
from snapstorm.actions.own_operations import OwnOperations
from snapstorm.errors import OperationTimedOut, TargetError
from snapstorm.guarantees.access_checks import AccessChecks
from snapstorm.guarantees.checker import Checker
from snapstorm.model.protocols import Server
from snapstorm.model.seen import FailureSeen
from snapstorm.model.work import WorkKind
from snapstorm.run.hangs import Hangs
from snapstorm.runtime.tasks import together
from snapstorm.testbed.machine_check import MachineCheck


@dataclass(frozen=True)
class Finisher:
    """The parts of a run before and after the clients' actions."""

    machine: MachineCheck
    own_operations: OwnOperations
    snapshotter: MultiClientSnapshotter
    server: Server
    checker: Checker
    access: AccessChecks
    hangs: Hangs

    async def reconcile(self, clients: Sequence[str]) -> None:
        """Hold the listing of each client against the ledger, while nothing of theirs runs."""
        await together([functools.partial(self.own_operations.reconcile, client) for client in clients])

    async def settle(self, clients: Sequence[str]) -> None:
        """Settle every doubt; repeat, on a machine that is idle now, what has timed out."""
        await self.reconcile(clients)
        if await self.hangs.repeat_suspects():
            await self.reconcile(clients)

    async def check_access(self, clients: Sequence[str]) -> None:
        """A wrong password and a removed client must get in nowhere, and one who stays must still get in."""
        if not clients or not self.server.authenticates:
            return
        *staying, tried = clients
        impostor, refused = self.server.impostor(tried), self.access.must_be_refused
        await refused(impostor, tried, WorkKind.WRONG_PASSWORD, connects=True)
        try:
            await impostor.disconnect()
            if not self.server.manages_users:
                return
            await self._remove(tried)
        except TargetError as error:
            self.machine.check(error)
            what = f"{tried} could not be removed"
            seen = FailureSeen(client=tried, what=what, error=str(error), output=error.evidence)
            self.checker.observe(seen)
        else:
            await refused(self.snapshotter.of(tried), tried, WorkKind.REMOVED_CLIENT, connects=False)
        if self.server.manages_users:
            await self.reconcile(staying[:1])

    async def _remove(self, client: str) -> None:
        """Remove this client's access to the server. A time-out counts only if it comes again."""
        try:
            await self.server.remove_client(client)
        except OperationTimedOut:
            await self.server.remove_client(client)
