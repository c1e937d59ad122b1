"""Brings machines back that were lost in the middle of a run.

While a machine is away, whatever is asked of it fails at once with MachineLost. It comes back as another incarnation,
which knows nothing of the run: the run begins there anew, and its clients' files are opened and connected again, before
any of them goes on. Processes of the one before have ended by then, so what is not listed after that does not exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError, MachineLost, SnapstormError, TargetError
from snapstorm.machines.hub import Change, Hub, HubSettings, Lost, Refused, open_hub
from snapstorm.machines.join_file import make_credentials
from snapstorm.machines.local_machines import LocalMachines, local_machines
from snapstorm.model.protocols import Program
from snapstorm.remote import requests
from snapstorm.remote.exchange import CLIENTS, MachineCaller, Question, Reply
from snapstorm.remote.remote_machine import RemoteMachine
from snapstorm.run.run_machines import MachineChoice
from snapstorm.runtime.process import Listener, ProcessRunner
from snapstorm.runtime.tasks import beside, plain_task_group
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.under_test import UnderTest

FILE_SECONDS_MAX = 900.0
"""A machine that takes longer than an operation may, and so much more, does not answer any more: it is given up."""
BACK_SECONDS_MAX = 60.0
"""A machine that is not back after so long ends the run."""
_AGAIN_SECONDS = 0.2


@dataclass
class _Kept:
    machine: RemoteMachine
    is_open: bool = True
    """Whether anything may be asked of it."""
    ready: anyio.Event = field(default_factory=anyio.Event)
    """Set while its clients may go on, and once it is given up."""
    returning: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around what brings it back."""
    why_gone: str = ""
    """Why it was given up; empty while it is not."""


class MachineKeeper:
    """The machines of one run, and those of them that are away."""

    def __init__(
        self,
        run: RunContext,
        begin: requests.BeginRun,
        scratch: Path,
        seconds_max: float,
        back_seconds_max: float = BACK_SECONDS_MAX,
    ) -> None:
        """`begin` is what each machine is told first; `seconds_max`, how long it may take to answer a call;
        `back_seconds_max`, how long it may be away."""
        self._run = run
        self._begin = begin
        self._scratch = scratch
        self._seconds_max = seconds_max
        self._back_seconds_max = back_seconds_max
        self._kept: dict[str, _Kept] = {}
        self._lost = asyncio.Queue[str]()
        self._hub: Hub | None = None
        self._local: LocalMachines | None = None
        self.on_back: Callable[[str], Awaitable[None]] | None = None
        """Has the clients of a machine go on there. May raise TargetError, and is called again then."""

    @property
    def machines(self) -> Sequence[RemoteMachine]:
        """All of them, whether they are there or not."""
        return [kept.machine for kept in self._kept.values()]

    def on_change(self, change: Change) -> None:
        """Take what the hub tells of."""
        match change:
            case Lost(machine, reason):
                self._run.note(f"the machine {machine.name} was lost: {reason}")
                if (kept := self._kept.get(machine.name)) is not None:
                    before, kept.is_open, kept.ready = kept.ready, False, anyio.Event()
                    before.set()  # Who waits goes on waiting, for this one.
                    self._lost.put_nowait(machine.name)
            case Refused(name, peer, problems):
                self._run.note(f"a machine {name} at {peer} was not let in: {'; '.join(problems)}")
            case _:
                pass

    async def begin(self, hub: Hub, local: LocalMachines, commands: Listener) -> None:
        """Have the run begin on all machines that have joined. Raises HarnessError."""
        self._hub, self._local = hub, local
        for name in sorted(hub.machines, key=lambda name: int(name.rpartition("-")[2])):
            caller = MachineCaller(self._asking(hub, name), commands)
            begun = await MachineCaller(self._asking(hub, name, is_gated=False), commands)(self._begin)
            machine = RemoteMachine(name, Path(os.fsdecode(begun.workdir)), caller, self._scratch)
            self._kept[name] = _Kept(machine)
            self._kept[name].ready.set()

    def _asking(self, hub: Hub, name: str, *, is_gated: bool = True) -> Callable[[Question], Awaitable[Reply]]:
        async def ask(question: Question) -> Reply:
            if is_gated and not self._kept[name].is_open:
                raise MachineLost(f"the machine {name} is away")
            return await hub.ask(name, CLIENTS, question, self._seconds_max)

        return ask

    async def wait_for(self, machine: RemoteMachine) -> None:
        """Return once the clients of this machine may go on. Raises HarnessError for one that is not coming back."""
        kept = self._kept[machine.name]
        while not kept.ready.is_set():
            await kept.ready.wait()
        if kept.why_gone:
            raise HarnessError(kept.why_gone)

    async def wait_for_machine(self, name: str) -> None:
        """The same, by the name of the machine."""
        await self.wait_for(self._kept[name].machine)

    async def keep(self) -> None:
        """Bring back each machine that is lost. Until cancelled."""
        async with plain_task_group() as group:
            while True:
                kept = self._kept[await self._lost.get()]
                kept.returning.cancel()  # It was lost again on its way.
                kept.returning = anyio.CancelScope()
                group.start_soon(self._bring_back, kept)

    async def _bring_back(self, kept: _Kept) -> None:
        """Until it is back, given up, or lost again."""
        with kept.returning:
            why_not = await self._return(kept)
            kept.why_gone = why_not and f"the machine {kept.machine.name} was lost and is not back: {why_not}"
            kept.ready.set()

    async def _return(self, kept: _Kept) -> str:
        """Returns why it did not come back; nothing if it did."""
        reason = "it did not join again"
        with self._run.clock.move_on_after(self._back_seconds_max):
            while True:
                try:
                    await self._join_again(kept)
                except TargetError as error:
                    reason = str(error)  # A fault may keep its clients out.
                except SnapstormError as error:
                    return str(error)
                else:
                    return ""
                await self._run.clock.sleep(_AGAIN_SECONDS)
        return f"{reason} within {self._back_seconds_max:g} s"

    async def _join_again(self, kept: _Kept) -> None:
        assert self._hub is not None
        assert self._local is not None
        name = kept.machine.name
        if not kept.is_open:
            await self._local.ensure(name)
            while name not in self._hub.machines:
                await self._run.clock.sleep(_AGAIN_SECONDS)
            ask = self._asking(self._hub, name, is_gated=False)
            await MachineCaller(ask, lambda _: None)(self._begin)
            kept.is_open = True
            await kept.machine.open_writers_again()
        if self.on_back is not None:
            await self.on_back(name)

    async def signal_operation(self, operation: str, number: int) -> int:
        """Send a signal to what runs on any of them on behalf of an operation. Returns how many got it."""
        count = 0
        for machine in self.machines:
            with contextlib.suppress(MachineLost):  # What ran there has ended, or will.
                count += (await machine.call(requests.SignalOperation(operation, number))).count
        return count

    def signal_machine(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process of a machine."""
        assert self._local is not None
        with contextlib.suppress(ProcessLookupError):  # It has ended by itself.
            os.kill(self._local.pid(name), number)

    @property
    def clients_by_machine(self) -> Mapping[str, Sequence[str]]:
        """Whose files are on each machine."""
        return {kept.machine.name: kept.machine.clients for kept in self._kept.values()}


@asynccontextmanager
async def remote_machines(
    choice: MachineChoice,
    run: RunContext,
    under_test: UnderTest,
    data_bytes_max: int,
    runner: ProcessRunner,
    commands: CommandLog,
    programs: Sequence[Program],
) -> AsyncIterator[MachineKeeper]:
    """Keeps the machines that were chosen, once all have joined, while the block lasts.

    Raises HarnessError if one does not join, or can't do its work.
    """
    place = under_test.place
    directory = place.directory / "machines"
    directory.mkdir(mode=0o700, exist_ok=True)
    begin = requests.BeginRun(
        testbed=place.testbed,
        shared_directory=os.fsencode(place.directory),
        shared_workdir=os.fsencode(place.work),
        capabilities=under_test.capabilities.as_json,
        data_bytes_max=data_bytes_max,
        programs=tuple(os.fsencode(program.path) for program in programs),
    )
    keeper = MachineKeeper(run, begin, directory, place.operation_seconds_max + FILE_SECONDS_MAX)
    async with AsyncExitStack() as stack:
        settings = HubSettings(on_change=keeper.on_change)
        hub = await stack.enter_async_context(open_hub(make_credentials(directory), settings))
        join_file = directory / "join.pem"
        local = local_machines(hub, runner, join_file, directory, choice.local_count)
        await keeper.begin(hub, await stack.enter_async_context(local), commands)
        await stack.enter_async_context(beside(keeper.keep))
        yield keeper
