"""Machines that are processes on the coordinator's own machine. They take scanning and hashing off its core.

They join as machines elsewhere do, over loopback with TLS: without it any user of this machine could execute code in
them, and it costs little (see docs/machines.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError
from snapstorm.machines.hub import Hub
from snapstorm.runtime.child import Environment
from snapstorm.runtime.polling import until
from snapstorm.runtime.process import ProcessRunner, RunningProcess

JOIN_SECONDS_MAX = 60.0
"""How long local machines may take to join on a busy machine; on an idle one it takes 1.5 s."""
_END_SECONDS_MAX = 10.0


@dataclass
class LocalMachines:
    """The processes of local machines, by name. See `local_machines`."""

    _runner: ProcessRunner
    _hub: Hub
    _join_file: Path
    _directory: Path
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _processes: dict[str, RunningProcess] = field(default_factory=dict)

    def pid(self, name: str) -> int:
        """The process of a machine, for faults."""
        return self._processes[name].child.pid

    async def start(self, name: str) -> None:
        """Start a machine, or start it again. It joins as a new incarnation."""
        workdir = self._directory / name
        words: Sequence[str | Path] = (
            *(sys.executable, "-m", "snapstorm", "machine", self._hub.address),
            *("--join", self._join_file, "--workdir", workdir, "--name", name),
        )
        log = self._directory / f"{name}.log"
        environment = Environment({}, inherited=os.environ)
        running = self._runner.start(words, env=environment, log=log, is_of_target=False)
        self._processes[name] = await self._stack.enter_async_context(running)

    async def ensure(self, name: str) -> None:
        """Start a machine again if its process has ended. One that was only cut off joins again by itself."""
        if self._processes[name].child.exit_code is not None:
            await self.start(name)

    def failure(self) -> str | None:
        """What the first machine that has ended wrote at last; None while all run."""
        for name, process in self._processes.items():
            if process.child.exit_code is not None:
                lines = process.log_tail().strip().splitlines()
                return f"the local machine {name} has ended: {lines[-1] if lines else 'it wrote nothing'}"
        return None

    async def close(self) -> None:
        """Dismiss them, and end those that don't go by themselves."""
        try:
            await self._hub.dismiss()
            with anyio.move_on_after(_END_SECONDS_MAX):
                await until(lambda: all(process.child.exit_code is not None for process in self._processes.values()))
        finally:
            await self._stack.aclose()


@asynccontextmanager
async def local_machines(
    hub: Hub, runner: ProcessRunner, join_file: Path, directory: Path, count: int
) -> AsyncIterator[LocalMachines]:
    """So many machines, `local-1` and so on, that work below the directory while the block lasts.

    Raises HarnessError if one ends before all have joined, or if they don't join in time.
    """
    machines = LocalMachines(runner, hub, join_file, directory)
    try:
        for number in range(1, count + 1):
            await machines.start(f"local-{number}")
        await _all_joined(machines, hub, count)
        yield machines
    finally:
        with anyio.CancelScope(shield=True):
            await machines.close()


async def _all_joined(machines: LocalMachines, hub: Hub, count: int) -> None:
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await until(lambda: machines.failure() is not None)
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await hub.wait_for(count, JOIN_SECONDS_MAX)
        group.cancel_scope.cancel()
    if len(hub.machines) < count:
        raise HarnessError(machines.failure() or "a local machine has ended")
