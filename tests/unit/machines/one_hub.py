"""What tests of hubs and hosts share: a hub that writes down what changes, hosts beside it, and services to call."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.machines.host import Ending, HostSettings, host
from snapstorm.machines.hub import Change, Hub, HubSettings, Lost, Refused, open_hub
from snapstorm.machines.join_file import make_credentials, read_join_file
from snapstorm.machines.services import Method, Services
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import ProcessRunner

ECHO = Method("echo", bytes, bytes)
SLEEP = Method("sleep", str, str)
"""Never answers; makes a file of this name when it begins, and one with `.ended` when it was cancelled."""
CHILD = Method("child", str, int)
"""Runs a child of its own, whose id it writes to the file of this name; never answers."""


STOP = Method("stop", str, str)
"""Stops the machine's process until it is told to go on, and answers then. Makes a file of this name before."""


def machine_services(runner: ProcessRunner | None = None) -> Services:
    services = Services()
    services.offer(ECHO, echo)
    services.offer(SLEEP, sleep)
    services.offer(STOP, stop)

    async def child(path: str) -> int:
        assert runner is not None
        script = f"import os, time; open({path!r} + '.new', 'w').write(str(os.getpid())); "
        script += f"os.rename({path!r} + '.new', {path!r}); time.sleep(1000)"
        await runner.run([sys.executable, "-c", script], env=Environment(os.environ), seconds_max=GIVE_UP_SECONDS)
        return 0

    services.offer(CHILD, child)
    return services


async def echo(payload: bytes) -> bytes:
    return payload


async def sleep(path: str) -> str:
    Path(path).touch()
    try:
        await anyio.sleep(GIVE_UP_SECONDS)
    finally:
        Path(f"{path}.ended").touch()
    return path


async def stop(path: str) -> str:
    Path(path).touch()
    os.kill(os.getpid(), signal.SIGSTOP)
    return path


@dataclass
class Scene:
    """A hub, and what has changed."""

    directory: Path
    hub: Hub
    changes: list[Change] = field(default_factory=list)

    def lost(self) -> list[tuple[str, str]]:
        return [(change.machine.name, change.reason) for change in self.changes if isinstance(change, Lost)]

    def refused(self) -> list[Refused]:
        return [change for change in self.changes if isinstance(change, Refused)]

    @property
    def join_file(self) -> Path:
        return self.directory / "machines" / "join.pem"

    def settings(self, name: str) -> HostSettings:
        return HostSettings(self.hub.address, read_join_file(self.join_file), name, self.directory / "hosts" / name)

    @asynccontextmanager
    async def host_beside(self, name: str, services: Services | None = None) -> AsyncIterator[list[Ending]]:
        """A machine in this process. Yields where its ending will be."""
        endings: list[Ending] = []

        async def work() -> None:
            endings.append(await host(self.settings(name), services or machine_services()))

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            while name not in self.hub.machines:  # noqa: ASYNC110 - as `until`
                await anyio.sleep(0.005)
            yield endings
            await self.hub.dismiss()


@asynccontextmanager
async def a_hub(directory: Path, *, lost_after_seconds: float = 60.0, **facts: str) -> AsyncIterator[Scene]:
    """A hub on loopback."""
    changes: list[Change] = []
    settings = HubSettings(lost_after_seconds=lost_after_seconds, facts=facts, on_change=changes.append)
    async with open_hub(make_credentials(directory / "machines"), settings) as hub:
        yield Scene(directory, hub, changes)
