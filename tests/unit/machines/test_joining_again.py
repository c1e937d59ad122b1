"""A machine that was cut off ends what it did, and joins again as another incarnation once it can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest
from tests.unit.machines.one_hub import ECHO, SLEEP, Scene, a_hub, machine_services
from tests.waiting import until

from snapstorm.errors import MachineLost
from snapstorm.machines.host import HostSettings, NotAdmitted, stay
from snapstorm.machines.hub import Joined, Lost
from snapstorm.machines.services import Services
from snapstorm.machines.transport import CoordinatorUnreachable, host_and_port
from snapstorm.runtime.relay import CLEAR, Conditions, Relay

pytestmark = pytest.mark.anyio
SECONDS = 900.0
CUT = Conditions(is_blocked=True)


@dataclass
class Staying:
    """A machine that stays, and what it has told."""

    told: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    async def open_services(self) -> Services:
        self.opened += 1
        services = machine_services()
        services.on_close(self.close)
        return services

    async def close(self) -> None:
        self.closed += 1

    async def stay(self, settings: HostSettings) -> None:
        await stay(settings, self.open_services, self.told.append, rejoin_seconds_max=SECONDS)


@asynccontextmanager
async def a_relay(scene: Scene) -> AsyncIterator[Relay]:
    relay = Relay(*host_and_port(scene.hub.address))
    async with anyio.create_task_group() as group:
        await group.start(relay.serve)
        yield relay
        group.cancel_scope.cancel()


async def test_a_machine_that_was_cut_off_comes_back_as_another_incarnation(scratch: Path) -> None:
    """Both sides find out by themselves; what the old one did was ended meanwhile."""
    staying, begun = Staying(), scratch / "begun"
    async with a_hub(scratch, lost_after_seconds=1.0) as scene, a_relay(scene) as relay:
        settings = replace(scene.settings("b"), address=f"tls://127.0.0.1:{relay.port}")
        async with anyio.create_task_group() as group:
            group.start_soon(staying.stay, settings)
            await scene.hub.wait_for(1, SECONDS)

            async def cut() -> None:
                await until(begun.exists)
                relay.set(CUT)

            group.start_soon(cut)
            with pytest.raises(MachineLost, match="nothing was heard of it for 1 s"):
                await scene.hub.ask("b", SLEEP, str(begun), SECONDS)
            await until(lambda: staying.told)
            assert staying.told == ["the coordinator is gone: nothing was heard of it for 1 s; joining again"]
            assert Path(f"{begun}.ended").exists()
            relay.set(CLEAR)
            await scene.hub.wait_for(1, SECONDS)
            assert await scene.hub.ask("b", ECHO, b"back", SECONDS) == b"back"
            await scene.hub.dismiss()
        kinds = [type(change) for change in scene.changes if isinstance(change, Joined | Lost)]
        assert kinds == [Joined, Lost, Joined]
        incarnations = {change.machine.incarnation for change in scene.changes if isinstance(change, Joined)}
        assert len(incarnations) == 2
        assert staying.opened == staying.closed >= 2


async def test_a_machine_whose_coordinator_is_gone_does_not_wait_for_it(scratch: Path) -> None:
    """Its port is closed, so the run has ended."""
    staying = Staying()
    async with a_hub(scratch) as scene, anyio.create_task_group() as group:

        async def be_left(address: str) -> None:
            with pytest.raises(CoordinatorUnreachable, match="no coordinator listens") as caught:
                await staying.stay(replace(scene.settings("b"), address=address))
            assert caught.value.is_gone

        async with a_relay(scene) as relay:
            group.start_soon(be_left, f"tls://127.0.0.1:{relay.port}")
            await scene.hub.wait_for(1, SECONDS)
    assert staying.told == ["the coordinator is gone: its connection has ended; joining again"]
    assert staying.opened == staying.closed == 2


async def test_a_machine_that_is_refused_does_not_try_again(scratch: Path) -> None:
    """Only a name that is taken may become free: its own incarnation before may not be given up yet."""
    staying = Staying()
    async with a_hub(scratch, program="a") as scene:
        with pytest.raises(NotAdmitted, match="program is nothing there"):
            await staying.stay(scene.settings("b"))
    assert (staying.told, staying.opened, staying.closed) == ([], 1, 1)
