"""Keeps copies of a testbed's ledger elsewhere during runs, so that no promise is lost with the machine.

A copy names the instance (the testbed directory) that writes it, with a lease while a run is at work. If another
instance goes on from the copy, it owns the copy; the first one is told so when it next wants to write. The storage has
no compare-and-swap, so two instances that take over at the same moment don't see each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias

import anyio

from snapstorm.errors import HarnessError, TestbedError
from snapstorm.ledger.copies import CopyState
from snapstorm.ledger.persisters import Persister
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.machine import host_name
from snapstorm.testbed.testbed import LEDGER_NAME, Testbed

INSTANCE_FACT = "instance"
PERSISTED_TO_FACT = "persisted_to"
REPOSITORY_FACT = "repository"
_LEASE_MIN = timedelta(minutes=10)
_LEASE_PERIODS = 3


class Persistence:
    """Copies one testbed's ledger to one place during one run."""

    def __init__(self, persister: Persister, testbed: Testbed, clock: Clock, *, minutes: float) -> None:
        self._persister = persister
        self._testbed = testbed
        self._minutes = minutes
        self._clock = clock
        self._writing = anyio.Lock()

    async def begin(self, *, take_over: bool) -> None:
        """Check whether this testbed may write there. Raises TestbedError, one line, before anything is changed."""
        found = await self._persister.read_state()
        if found is not None:
            self._refuse_foreign(found)
            if found.instance != instance_of(self._testbed) and not take_over:
                refuse_leased(found, self._persister.place, self._clock.utc())
                raise TestbedError(
                    f"the testbed {found.directory} on {found.host} has gone on from the copy in "
                    f"{self._persister.place}; go on there, or use --take-over to make this one the owner"
                )
        self._testbed.ledger.set_fact(PERSISTED_TO_FACT, self._persister.place)

    def _refuse_foreign(self, found: CopyState) -> None:
        """Raise TestbedError if the copy belongs to another testbed, or knows more than this testbed's ledger."""
        testbed, place, run = self._testbed, self._persister.place, self._testbed.ledger.position[0]
        if found.testbed != testbed.id:
            raise TestbedError(
                f"{place} holds copies of another testbed's ledger ({found.testbed}, not {testbed.id}); "
                "choose another place"
            )
        if found.run > run:
            raise TestbedError(
                f"the copy in {place} has reached run {found.run}, the ledger in {testbed.directory} only run {run}: "
                f"others have gone on since; begin a new testbed with --from {place}"
            )

    async def write(self, *, is_final: bool) -> None:
        """Make a copy now; the final copy ends the lease."""
        testbed, now_utc = self._testbed, self._clock.utc()
        lease = max(_LEASE_MIN, timedelta(minutes=self._minutes * _LEASE_PERIODS))
        default = testbed.directory / "repository"
        async with self._writing:
            run, tick = testbed.ledger.position
            state = CopyState(
                testbed=testbed.id,
                instance=instance_of(testbed),
                host=host_name(),
                directory=str(testbed.directory),
                run=run,
                tick=tick,
                is_final=is_final,
                written_utc=now_utc,
                lease_until_utc=None if is_final else (datetime.fromisoformat(now_utc) + lease).isoformat(),
                repository=testbed.ledger.fact(REPOSITORY_FACT) or (str(default) if default.is_dir() else None),
                mode=testbed.ledger.fact("mode") or "server",
                target=testbed.ledger.fact("target") or "",
            )
            await self._persister.write(testbed.directory / LEDGER_NAME, state)

    async def keep_writing(self, note: Callable[[str], None]) -> None:
        """Make a copy at once, then one per interval, until cancelled. A copy that fails is noted, and the next one is
        made nevertheless."""
        while True:
            try:
                await self.write(is_final=False)
            except HarnessError as error:
                note(f"a copy of the ledger failed: {error}")
            await self._clock.sleep(self._minutes * 60)


class NoCopies:
    """In place of `Persistence` in a run whose ledger is copied nowhere."""

    async def write(self, *, is_final: bool) -> None:
        """Make no copy."""

    async def keep_writing(self, note: Callable[[str], None]) -> None:
        """Make no copies."""


AnyCopies: TypeAlias = Persistence | NoCopies


def instance_of(testbed: Testbed) -> str:
    """The id of this directory among all directories that the testbed has had; created at the first call."""
    found = testbed.ledger.fact(INSTANCE_FACT)
    if found is None:
        found = secrets.token_hex(8)
        testbed.ledger.set_fact(INSTANCE_FACT, found)
    return found


def refuse_leased(found: CopyState, place: str, now_utc: str) -> None:
    """Raise TestbedError while the copy's instance may be at work."""
    until = found.lease_until_utc
    if until is not None and datetime.fromisoformat(until) > datetime.fromisoformat(now_utc):
        raise TestbedError(
            f"the testbed whose copy is in {place} is in use by {found.directory} on {found.host}, or was killed "
            f"there; wait until {until}, or use --take-over"
        )
