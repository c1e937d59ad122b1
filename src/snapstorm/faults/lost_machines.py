"""Faults of machines on which clients run."""

from __future__ import annotations

import signal
from typing import ClassVar

from snapstorm.faults.client_machines import ClientMachines
from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record, Scene


class _StrikesMachine(Fault):
    """Strikes one machine, and all clients that run there."""

    kind = FaultKind.MACHINES
    needs_machines = True
    needs = "clients on machines (`--machines`)"
    number: ClassVar[signal.Signals]
    struck: str | None = None

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        if scene.machines is None:
            return "clients run in the process of the run, and not on machines"
        return super().why_not(scene)

    @property
    def _machines(self) -> ClientMachines:
        assert self.scene.machines is not None
        return self.scene.machines

    async def inject(self, record: Record) -> None:
        by_machine = self._machines.clients_by_machine
        at_work = sorted(name for name, clients in by_machine.items() if clients)
        if not at_work:
            raise NothingToBreak("no client runs on a machine yet")
        self.struck = self.draws.choice(at_work)
        self.clients = frozenset(by_machine[self.struck])
        record({"machine": self.struck, "clients": sorted(self.clients)})
        self._machines.signal_machine(self.struck, self.number)


class KillMachine(_StrikesMachine):
    """The process of a machine on which clients run is killed (KILL). What it has started ends, and it joins again."""

    key = "kill-machine"
    weight = 2
    number = signal.SIGKILL
    hold_seconds = (0.0, 0.2)

    async def heal(self) -> None:
        if self.struck is not None:
            await self._machines.wait_for_machine(self.struck)


class PauseMachine(_StrikesMachine):
    """The process of a machine stands still (STOP), and goes on (CONT). It is given up if that takes long."""

    key = "pause-machine"
    number = signal.SIGSTOP
    hold_seconds = (1.0, 24.0)

    async def heal(self) -> None:
        if self.struck is not None:
            self._machines.signal_machine(self.struck, signal.SIGCONT)
            await self._machines.wait_for_machine(self.struck)
