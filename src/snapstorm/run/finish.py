"""What is judged around the clients' own work: listings, time-outs, the sweep, and what must be refused."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from snapstorm.actions.multiclient import MultiClientSnapshotter
from snapstorm.actions.own_operations import OwnOperations
from snapstorm.actions.sweep import Sweep, SweepRestores, Swept, TimeOuts
from snapstorm.errors import OperationTimedOut, TargetError
from snapstorm.guarantees.access_checks import AccessChecks
from snapstorm.guarantees.checker import Checker
from snapstorm.model.events import SweepAdvanced
from snapstorm.model.protocols import Server
from snapstorm.model.seen import FailureSeen
from snapstorm.model.work import WorkKind
from snapstorm.run.hangs import Hangs
from snapstorm.runtime.tasks import plain_task_group, together
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.machine_check import MachineCheck

SWEEP_AT_ONCE = 4


@dataclass(frozen=True)
class Finisher:
    """The parts of a run before and after the clients' actions."""

    run: RunContext
    machine: MachineCheck
    own_operations: OwnOperations
    sweep_restores: SweepRestores
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

    @asynccontextmanager
    async def sweeping(self, seconds_max: float | None) -> AsyncIterator[Sweep]:
        """Restore and compare every live snapshot beside the block, those with the greatest restore debt first."""
        order = self.run.ledger.history.sweep_order(self.run.clock.utc())
        self.run.tally.sweep_left = len(order)
        sweep = Sweep(len(order))
        async with plain_task_group() as group:
            group.start_soon(self._sweep, order, sweep, seconds_max)
            yield sweep

    async def _sweep(self, order: Sequence[tuple[str, str]], sweep: Sweep, seconds_max: float | None) -> None:
        began, unverified = self.run.ledger.verifications_count(), list[str]()
        await self._forget_caches_in_the_way(order)
        deadline = None if seconds_max is None else self.run.now_seconds() + seconds_max
        waiting = await self._sweep_round(order, sweep, deadline, unverified)
        while waiting and not sweep.is_cut:
            waiting = await self._sweep_round(waiting, sweep, deadline, unverified)
        self._count_unverified(unverified, began)
        sweep.end()

    async def _sweep_round(
        self, order: Sequence[tuple[str, str]], sweep: Sweep, deadline: float | None, unverified: list[str]
    ) -> Sequence[tuple[str, str]]:
        """Restore all of these except those that seem to hang, then find out whether they do. Returns those that were
        put off and do not hang; the others are left, because each would only time out."""
        tally, time_outs, waiting = self.run.tally, TimeOuts(), iter(order)
        put_off: list[tuple[str, str]] = []

        async def sweep_some() -> None:
            """Take from `waiting` one after the other; a restore that differs or fails is unverified."""
            for client, operation in waiting:
                if deadline is not None and self.run.now_seconds() >= deadline:
                    sweep.cut()
                    return
                kind = self.sweep_restores.kind(operation)
                if time_outs.seem_to_hang(kind, client):
                    put_off.append((client, operation))
                    continue
                sweep.begin()
                swept = await self.sweep_restores.restore(client, operation, sweep)
                time_outs.add(kind, client, swept)
                if swept is Swept.EXACT:
                    tally.sweep_verified += 1
                else:
                    unverified.append(operation)
                tally.sweep_left -= 1
                self.run.emit(SweepAdvanced(sweep.snapshots - tally.sweep_left, sweep.snapshots))

        await together([sweep_some] * SWEEP_AT_ONCE)
        await self.hangs.repeat_suspects()
        kinds = Counter(self.sweep_restores.kind(operation) for _, operation in put_off)
        for kind in filter(self.hangs.is_confirmed, kinds):
            self.run.note(f"{kinds[kind]} live snapshot(s) were left out of the sweep, because {kind} hangs")
        return [one for one in put_off if not self.hangs.is_confirmed(self.sweep_restores.kind(one[1]))]

    def _count_unverified(self, unverified: Sequence[str], began: int) -> None:
        tally = self.run.tally
        # What timed out in the sweep may have been verified by its repetition.
        still = [one for one in unverified if not self.run.ledger.is_verified(one, self.run.number, after=began)]
        tally.sweep_verified += len(unverified) - len(still)
        known_lost = {violation.snapshot for violation in tally.known_violations}
        tally.sweep_unverified = sum(
            found.snapshot not in known_lost and found.tainted_by is None and not found.is_promise_in_doubt
            for found in self.run.ledger.expectations_of_operations(still)
        )

    async def _forget_caches_in_the_way(self, order: Sequence[tuple[str, str]]) -> None:
        """Drop the caches of the clients as which the sweep restores: they could hide what the repository has lost."""
        clients = {client for client, operation in order if self.sweep_restores.through(operation) is None}
        if clients:
            await self.server.forget_caches(sorted(clients))

    async def check_access(self, clients: Sequence[str]) -> None:
        """A wrong password and a removed client must get in nowhere, and one who stays must still get in."""
        if not clients or not self.server.has_permissions:
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
