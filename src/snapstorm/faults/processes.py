"""Faults of processes: of the server, of a client at work, of maintenance; and of clients' caches."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress

import anyio

from snapstorm.errors import HarnessError, TargetError
from snapstorm.faults.fault import (
    Fault,
    FaultKind,
    InFlight,
    NothingToBreak,
    Record,
    Scene,
    killable_operations,
)
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.abilities import CachesOfClients, InProcess, Restartable, RunsCommands, ServesInSessions
from snapstorm.model.actions import RunGc
from snapstorm.runtime.process import on_behalf_of
from snapstorm.runtime.threads import run_file_work

_WAIT_FOR_WORK_SECONDS_MAX = 15.0
_POLL_SECONDS = 0.02
_SLICE_SECONDS = 0.1


class _EndsServer(Fault):
    kind = FaultKind.PROCESS
    needs = "a server of our own"
    ability = Restartable
    lacking = "there is no server of our own"
    hold_seconds = (0.0, 3.0)
    disturbs_process = True
    is_asked: bool

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        assert isinstance(scene.server, Restartable)
        self._server: Restartable = scene.server

    async def inject(self, record: Record) -> None:
        record({})
        await self._server.end_server(is_asked=self.is_asked)

    async def heal(self) -> None:
        await self._server.start_server()


class KillServer(_EndsServer):
    """The server is killed (KILL), and started again on the same address."""

    key = "kill-server"
    weight = 4
    is_asked = False


class TerminateServer(_EndsServer):
    """The server is asked to end (TERM), and started again on the same address."""

    key = "terminate-server"
    weight = 2
    is_asked = True


class PauseServer(Fault):
    """The server stands still (STOP) for some seconds, and goes on (CONT)."""

    key = "pause-server"
    weight = 2
    kind = FaultKind.PROCESS
    needs = "a server process of our own"
    ability = InProcess
    lacking = "there is no server process of our own"
    hold_seconds = (1.0, 8.0)

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        self._pid: int | None = None

    async def inject(self, record: Record) -> None:
        self._pid = server_pid(self.scene)
        record({})
        self._stop()

    async def heal(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                self._continue()

    def _stop(self) -> None:
        assert self._pid is not None
        if isinstance(self.scene.server, ServesInSessions):
            self.scene.server.stop_all()
        else:
            os.killpg(self._pid, signal.SIGSTOP)

    def _continue(self) -> None:
        assert self._pid is not None
        if isinstance(self.scene.server, ServesInSessions):
            self.scene.server.continue_all()
        else:
            os.killpg(self._pid, signal.SIGCONT)


class SlowServer(PauseServer):
    """The server runs only a part of the time, many times a second, as on a slow machine or disk."""

    key = "slow-server"
    weight = 2
    hold_seconds = (3.0, 10.0)

    async def hold(self, seconds: float) -> None:
        stopped_share, deadline = self.draws.uniform(0.5, 0.95), self.scene.clock.monotonic_seconds() + seconds
        with suppress(ProcessLookupError):  # Should it end meanwhile, clients tell.
            while self.scene.clock.monotonic_seconds() < deadline:
                await self.scene.clock.sleep(_SLICE_SECONDS * stopped_share)
                self._continue()
                await self.scene.clock.sleep(_SLICE_SECONDS * (1 - stopped_share))
                self._stop()


def server_pid(scene: Scene) -> int:
    """The process id of the server, which leads a group of its own. Raises NothingToBreak while there is none."""
    pid = scene.server.server_pid if isinstance(scene.server, InProcess) else None
    if pid is None:
        raise NothingToBreak("the server is not running")
    return pid


class _StrikesClient(Fault):
    """Strikes the processes of one client during a snapshot, a restore or a deletion."""

    kind = FaultKind.PROCESS
    needs = "clients that are processes"
    ability = RunsCommands
    lacking = "clients are no processes of their own"
    number: signal.Signals
    struck: InFlight | None = None

    async def inject(self, record: Record) -> None:
        with self.scene.clock.move_on_after(_WAIT_FOR_WORK_SECONDS_MAX):
            while True:
                victim = await self._next_victim()
                self.clients = frozenset({victim.client})
                await self.scene.clock.sleep(self.draws.uniform(0.05, 0.6))
                if not await self.scene.signal(victim.operation, 0):
                    continue
                self.struck = victim
                record({"client": victim.client, "operation": victim.operation, "action": victim.action})
                await self.scene.signal(victim.operation, self.number)
                return
        raise NothingToBreak("no client was at work")

    async def _next_victim(self) -> InFlight:
        while True:
            found = killable_operations(self.scene)
            if found:
                return self.draws.choice(found)
            await self.scene.clock.sleep(_POLL_SECONDS)


class KillClient(_StrikesClient):
    """A client is killed (KILL) during a snapshot, a restore or a deletion."""

    key = "kill-client"
    weight = 6
    number = signal.SIGKILL
    hold_seconds = (0.0, 0.2)


class TerminateClient(_StrikesClient):
    """A client is asked to end (TERM) during a snapshot, a restore or a deletion."""

    key = "terminate-client"
    weight = 3
    number = signal.SIGTERM
    hold_seconds = (0.0, 0.2)


class PauseClient(_StrikesClient):
    """A client stands still (STOP) during its work for some seconds, and goes on (CONT)."""

    key = "pause-client"
    weight = 2
    number = signal.SIGSTOP
    hold_seconds = (1.0, 8.0)

    async def heal(self) -> None:
        if self.struck is not None:
            await self.scene.signal(self.struck.operation, signal.SIGCONT)


class _StrikesMaintenance(Fault):
    """Strikes a full collection of garbage that it has begun itself."""

    kind = FaultKind.PROCESS
    needs = "a repository of our own"
    ability = RunsCommands
    lacking = "maintenance is no process of its own"
    number: signal.Signals

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        self._struck = 0
        self._ended = anyio.Event()
        self._operation = f"{self.key}-{draws.getrandbits(48):x}"

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        if RunGc.key in scene.server.refused_actions:
            return "maintenance is not ours to run"
        return super().why_not(scene)

    async def inject(self, record: Record) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._collect)
            delay_seconds = self.draws.uniform(0.3, 1.5)
            with self.scene.clock.move_on_after(delay_seconds):
                await self._ended.wait()
            if await self.scene.signal(self._operation, 0):
                self.clients = frozenset()
                record({"after_seconds": delay_seconds})
                self._struck = await self.scene.signal(self._operation, self.number)
            if self._struck and self.number is signal.SIGSTOP:
                await self.scene.clock.sleep(self.draws.uniform(0.5, 3.0))
                await self.scene.signal(self._operation, signal.SIGCONT)
        if not self._struck:
            raise NothingToBreak("maintenance had ended before it could be struck")

    async def _collect(self) -> None:
        token = on_behalf_of.set(self._operation)
        try:
            await self.scene.server.collect_garbage()
        except TargetError:
            return  # It was struck; what it left is judged by what clients restore.
        finally:
            on_behalf_of.reset(token)
            self._ended.set()


class KillMaintenance(_StrikesMaintenance):
    """A full collection of garbage is killed (KILL) while it runs."""

    key = "kill-maintenance"
    weight = 4
    leaves_unfinished_files = True
    number = signal.SIGKILL
    hold_seconds = (0.0, 0.1)


class PauseMaintenance(_StrikesMaintenance):
    """A full collection of garbage stands still (STOP) while clients work, and goes on (CONT)."""

    key = "pause-maintenance"
    weight = 3
    number = signal.SIGSTOP
    hold_seconds = (0.0, 0.1)


class DropClientCache(Fault):
    """A client's cache is deleted while the client works."""

    key = "drop-client-cache"
    weight = 2
    kind = FaultKind.PROCESS
    needs = "clients with caches"
    ability = CachesOfClients
    lacking = "clients keep no caches"
    hold_seconds = (0.0, 0.1)

    async def inject(self, record: Record) -> None:
        assert isinstance(self.scene.server, CachesOfClients)
        at_work = [found.client for found in killable_operations(self.scene)]
        client = self.draws.choice(at_work or sorted(self.scene.clients))
        self.clients = frozenset({client})
        record({"client": client})
        with suppress(HarnessError):  # The client writes there meanwhile, so that a directory may not be empty at last.
            await run_file_work(remove_tree, self.scene.server.client_cache(client))
