"""The sweep: restores and compares every live snapshot at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

import anyio

from snapstorm.actions.disk_space import DiskSpace
from snapstorm.actions.restores import Restores
from snapstorm.actions.step import Steps, kind_of
from snapstorm.errors import NoSpaceError
from snapstorm.model.actions import RestoreSnapshot
from snapstorm.model.events import SweepAdvanced
from snapstorm.model.expectations import State
from snapstorm.model.outcomes import Ok
from snapstorm.model.protocols import Restorer, Server
from snapstorm.run.hangs import Hangs
from snapstorm.runtime.tasks import plain_task_group, together
from snapstorm.testbed.context import RunContext

SWEEP_AT_ONCE = 4
TIMED_OUT_OF_A_CLIENT_MAX = 3
"""In a row: then no more restores of this client are begun before it is known whether they hang."""
TIMED_OUT_MAX = 8
"""In all: then no more are begun for any client."""
TIMED_OUT_WITHOUT_ANSWER_MAX = 4
"""The same where several clients' restores time out, and no other has come to an end."""


@dataclass
class Sweep:
    """A sweep that goes on beside something else."""

    snapshots: int
    """How many live snapshots are to be restored."""
    begun: int = 0
    unanswered: int = 0
    is_cut: bool = False
    """No more of them are begun: its time is up."""
    answered: anyio.Event = field(default_factory=anyio.Event)
    """The target has nothing more to restore; the last of what it gave may still be compared."""
    over: anyio.Event = field(default_factory=anyio.Event)

    def begin(self) -> None:
        """One more is asked for."""
        self.begun += 1
        self.unanswered += 1

    def answer(self) -> None:
        """One was given. One that never is, because it fails, keeps this from being answered before it is over."""
        self.unanswered -= 1
        self._look()

    def ask_again(self) -> None:
        """One that was given is needed once more; for while it is not all answered."""
        self.unanswered += 1

    def cut(self) -> None:
        """Begin no more."""
        self.is_cut = True
        self._look()

    def end(self) -> None:
        """All is compared."""
        self.answered.set()
        self.over.set()

    def _look(self) -> None:
        if self.unanswered == 0 and (self.is_cut or self.begun == self.snapshots):
            self.answered.set()


class Swept(Enum):
    """The outcome of one restore in a sweep."""

    EXACT = "exact"
    TIMED_OUT = "timed out"
    WRONG = "wrong"
    """It differs, or failed, or was not possible."""


class TimeOuts:
    """The time-outs of one round of a sweep, by kind of restore. Tells when beginning more would only wait out more of
    them, so that it is to be found out first whether it is a hang."""

    def __init__(self) -> None:
        self._in_a_row = Counter[tuple[str, str]]()
        """By kind and client: without an answer in between."""
        self._count = Counter[str]()
        self._clients: dict[str, set[str]] = {}
        """By kind, whose restores timed out."""
        self._answered = set[str]()
        """The kinds of which any restore came to an end."""

    def add(self, kind: str, client: str, swept: Swept) -> None:
        """Count how a restore ended."""
        if swept is Swept.TIMED_OUT:
            self._in_a_row[kind, client] += 1
            self._count[kind] += 1
            self._clients.setdefault(kind, set()).add(client)
        else:
            self._in_a_row[kind, client] = 0
            self._answered.add(kind)

    def seem_to_hang(self, kind: str, client: str) -> bool:
        """Whether no more restores of this kind are to be begun for this client. One client alone may have what hangs,
        so others go on as long as not too many have timed out."""
        if self._in_a_row[kind, client] >= TIMED_OUT_OF_A_CLIENT_MAX or self._count[kind] >= TIMED_OUT_MAX:
            return True
        is_for_several = len(self._clients.get(kind, ())) > 1
        return is_for_several and kind not in self._answered and self._count[kind] >= TIMED_OUT_WITHOUT_ANSWER_MAX


@dataclass(frozen=True)
class Sweeper:
    """Sweeps the live snapshots of one run's testbed.

    What this run has already restored as its client is restored straight from the repository, where that is possible,
    so that each way to it is taken once.
    """

    run: RunContext
    server: Server
    steps: Steps
    restores: Restores
    disk_space: DiskSpace
    hangs: Hangs

    @asynccontextmanager
    async def sweeping(self, seconds_max: float | None) -> AsyncIterator[Sweep]:
        """Restore and compare every live snapshot beside the block, those with the greatest restore debt first."""
        order = self.run.ledger.history.sweep_order(self.run.clock.virtual_utc())
        self.run.tally.sweep_left = len(order)
        sweep = Sweep(len(order))
        async with plain_task_group() as group:
            group.start_soon(self._sweep, order, sweep, seconds_max)
            yield sweep

    async def _sweep(self, order: Sequence[tuple[str, str]], sweep: Sweep, seconds_max: float | None) -> None:
        began, unverified = self.run.ledger.verifications_count(), list[str]()
        # Caches of the clients as which it restores could hide what the repository has lost.
        clients = {client for client, operation in order if self._through(operation) is None}
        if clients:
            await self.server.forget_caches(sorted(clients))
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
                kind = self._kind(operation)
                if time_outs.seem_to_hang(kind, client):
                    put_off.append((client, operation))
                    continue
                sweep.begin()
                swept = await self._restore(client, operation, sweep)
                time_outs.add(kind, client, swept)
                if swept is Swept.EXACT:
                    tally.sweep_verified += 1
                else:
                    unverified.append(operation)
                tally.sweep_left -= 1
                self.run.emit(SweepAdvanced(sweep.snapshots - tally.sweep_left, sweep.snapshots))

        await together([sweep_some] * SWEEP_AT_ONCE)
        await self.hangs.repeat_suspects()
        kinds = Counter(self._kind(operation) for _, operation in put_off)
        for kind in filter(self.hangs.is_confirmed, kinds):
            self.run.note(f"{kinds[kind]} live snapshot(s) were left out of the sweep, because {kind} hangs")
        return [one for one in put_off if not self.hangs.is_confirmed(self._kind(one[1]))]

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

    def _kind(self, operation: str) -> str:
        """The kind of restore by which what this operation created is restored."""
        return kind_of(RestoreSnapshot(), is_past_server=self._through(operation) is not None)

    def _through(self, operation: str) -> Restorer | None:
        """The way past the server by which it is restored; None for its client's own way."""
        return self.server.auditor if self.run.ledger.is_verified(operation, self.run.number) else None

    async def _restore(self, client: str, operation: str, sweep: Sweep) -> Swept:
        """Restore and compare the live snapshot that this operation created. The sweep is told when the target has
        given it; once all of the sweep is answered, the target is asked for nothing again."""
        is_answered = False

        def answered() -> None:
            nonlocal is_answered
            is_answered = True
            sweep.answer()

        found = self.run.ledger.expectations_of_operations([operation])
        if not found or found[0].state is not State.LIVE:
            return Swept.WRONG
        with self.steps.own(client, RestoreSnapshot(id=found[0].snapshot or "?")) as step:
            through = self._through(operation)
            try:
                outcome = await self.restores.restore(step, found[0], through=through, on_answered=answered)
            except NoSpaceError as error:
                if sweep.answered.is_set():
                    raise
                # The room that the client's own files take is better spent on this: the last of them have been backed
                # up, if they are to be. Each time halves them, so this ends.
                await self.disk_space.free(step, error)
                if is_answered:
                    sweep.ask_again()
                return await self._restore(client, operation, sweep)
        if isinstance(outcome, Ok):
            return Swept.EXACT if outcome.value.is_equal else Swept.WRONG
        return Swept.TIMED_OUT if step.has_timed_out else Swept.WRONG
