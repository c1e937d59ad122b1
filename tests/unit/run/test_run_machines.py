"""On which machine each client runs, and how it asks the target from there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest
from tests.idle_server import IdleServer

from snapstorm.errors import TargetError
from snapstorm.filesystem.cleaner import Cleaner
from snapstorm.filesystem.local_machine import LocalMachine
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.client_access import ClientAccess
from snapstorm.model.protocols import ClientSnapshotter, Server
from snapstorm.remote.remote_machine import RemoteMachine
from snapstorm.remote.remote_snapshotter import RemoteSnapshotter
from snapstorm.run.run_machines import MachineChoice, RunMachines, read_machines
from snapstorm.runtime.meter import Meter
from snapstorm.runtime.process import ProcessRunner

OWN = LocalMachine(Path("/w"), Capabilities(), 1, Cleaner(Meter(lambda: 0.0), ProcessRunner("bed")))


class Serving(IdleServer):
    """A server whose clients can be elsewhere, unless something is said."""

    def __init__(self, only_here: str | None = None) -> None:
        self.reason = only_here

    @property
    def only_here(self) -> str | None:
        return self.reason

    def client_access(self, client: str) -> ClientAccess:
        return ClientAccess("t", client, "here:1", b"")

    def add_last_words(self, error: TargetError) -> None: ...


async def no_call(request: object) -> NoReturn:
    raise AssertionError("nobody asks")


@dataclass
class Keeper:
    """Of machines that are never lost."""

    machines: Sequence[RemoteMachine]
    on_back: Callable[[str], Awaitable[None]] | None = None
    awaited: list[str] = field(default_factory=list)

    async def wait_for(self, machine: RemoteMachine) -> None:
        self.awaited.append(machine.name)


def machines(server: Server, count: int) -> RunMachines:
    others = [RemoteMachine(f"m{number}", Path("/there"), no_call, Path("/s")) for number in range(count)]
    return RunMachines(OWN, Keeper(others) if others else None, server)


def test_each_client_stays_on_its_machine_and_they_are_spread() -> None:
    three = machines(Serving(), 3)
    names = [three.of(f"c{number}").name for number in range(7)]
    assert names == ["m0", "m1", "m2", "m0", "m1", "m2", "m0"]
    assert [three.of(f"c{number}").name for number in range(7)] == names


def test_without_other_machines_all_are_here() -> None:
    assert machines(Serving(), 0).of("c1") is OWN


@pytest.mark.parametrize(("count", "only_here"), [(0, None), (2, "its clock is here")])
def test_a_client_asks_from_here_where_it_must(count: int, only_here: str | None) -> None:
    asked: list[str] = []

    class Recording(Serving):
        def client(self, client: str) -> ClientSnapshotter:
            asked.append(client)
            return super().client(client)

    server = Recording(only_here)
    with pytest.raises(NotImplementedError):  # An idle server has no clients, but it was asked for one.
        machines(server, count).open_client("c1")
    assert asked == ["c1"]


def test_a_client_asks_from_its_machine_where_it_can() -> None:
    assert isinstance(machines(Serving(), 2).open_client("c1"), RemoteSnapshotter)


def test_the_choice_is_read() -> None:
    assert read_machines("local:3") == MachineChoice(3)


@pytest.mark.parametrize("text", ["3", "local:", "local:0", "local:65", "remote:1", "local:-1"])
def test_a_wrong_choice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="local"):
        read_machines(text)
