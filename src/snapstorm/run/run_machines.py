"""The machines of a run: clients run on processes of their own, here or elsewhere, where that was asked for."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from snapstorm.errors import MachineLost
from snapstorm.filesystem.client_machine import Machine
from snapstorm.model.abilities import Route, ServesOtherMachines
from snapstorm.model.client_access import ClientAccess
from snapstorm.model.protocols import ClientSnapshotter, Server
from snapstorm.remote import requests
from snapstorm.remote.remote_machine import RemoteMachine
from snapstorm.remote.remote_snapshotter import RemoteSnapshotter
from snapstorm.runtime.adoption import Adopted
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.server_process import host_and_port

LOCAL_MACHINES_MAX = 64
_LOCAL = re.compile(r"local:(\d+)")


@dataclass(frozen=True)
class MachineChoice:
    """On which machines clients run."""

    local_count: int
    """So many processes on this machine."""


def read_machines(text: str) -> MachineChoice:
    """The choice that `--machines` names. Raises ValueError for one that can't be."""
    match = _LOCAL.fullmatch(text)
    if match is None:
        raise ValueError(f"machines are given as local:N, such as local:2, not {text!r}")
    count = int(match[1])
    if not 1 <= count <= LOCAL_MACHINES_MAX:
        raise ValueError(f"there can be 1 to {LOCAL_MACHINES_MAX} local machines, not {count}")
    return MachineChoice(count)


class KeepsMachines(Protocol):
    """Brings machines back that were lost: see `MachineKeeper`."""

    on_back: Callable[[str], Awaitable[None]] | None

    @property
    def machines(self) -> Sequence[RemoteMachine]: ...

    async def wait_for(self, machine: RemoteMachine) -> None: ...


@dataclass
class RunMachines:
    """The machines of one run. Implements `Machines`."""

    own: Machine
    keeper: KeepsMachines | None
    """Keeps the machines where clients run; None where all run here."""
    server: Server
    route: Route | None = None
    """By which way clients reach the server; None for the straight one."""
    asking: AbstractContextManager[None] = field(default_factory=nullcontext)
    """The block in which the target is asked by clients elsewhere."""
    _by_client: dict[str, RemoteMachine] = field(default_factory=dict)
    _elsewhere: dict[str, RemoteSnapshotter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.keeper is not None:
            self.keeper.on_back = self._go_on

    @property
    def others(self) -> Sequence[RemoteMachine]:
        """Where clients run; empty where all run here."""
        return () if self.keeper is None else self.keeper.machines

    def of(self, client: str) -> Machine:
        """The one of this client: those that come first each have another."""
        return self._remote(client) or self.own

    def _remote(self, client: str) -> RemoteMachine | None:
        if not self.others:
            return None
        if client not in self._by_client:
            count = len(self._by_client)
            self._by_client[client] = self.others[count % len(self.others)]
        return self._by_client[client]

    def open_client(self, client: str) -> ClientSnapshotter:
        """The snapshotter of a client that was added: where it runs, if that is possible, else in this process."""
        machine, server = self._remote(client), self.server
        if machine is None or why_only_here(server):
            return server.client(client)
        assert isinstance(server, ServesOtherMachines)
        access = functools.partial(server.client_access, client)
        self._elsewhere[client] = RemoteSnapshotter(
            client, machine.call, access, self._find_address, server.add_last_words, self.asking
        )
        return self._elsewhere[client]

    async def ready(self, client: str) -> None:
        """Return once this client may go on: its machine may be away. Raises HarnessError for one that is not coming
        back."""
        machine = self._by_client.get(client)
        if machine is not None and self.keeper is not None:
            await self.keeper.wait_for(machine)

    async def _go_on(self, name: str) -> None:
        """Connect the clients of a machine that is back."""
        for client, snapshotter in self._elsewhere.items():
            if self._by_client[client].name == name and snapshotter.has_connected:
                await snapshotter.connect()

    async def _find_address(self, access: ClientAccess) -> str | None:
        """By which way a client reaches the server, where that can be disturbed."""
        if self.route is None:
            return None
        host, port = await self.route(access.client, *host_and_port(access.server))
        return f"{host}:{port}"


@dataclass(frozen=True)
class StraysEverywhere:
    """The processes that have left their groups, on all machines. Implements `FindsStrays`."""

    here: ProcessRunner
    others: Sequence[RemoteMachine]

    def strays(self) -> Sequence[Adopted]:
        """Those of this machine, where the server is: only it may have helpers."""
        return self.here.strays()

    async def end_strays(self, spared: Collection[Adopted]) -> Sequence[object]:
        ended: list[object] = list(await self.here.end_strays(spared))
        for machine in self.others:
            with contextlib.suppress(MachineLost):  # It ends them itself.
                ended += (await machine.call(requests.EndStrays())).shown
        return ended


def why_only_here(server: Server) -> str | None:
    """Why clients of this server can only ask it from this process; None if they can from others."""
    if not isinstance(server, ServesOtherMachines):
        return "the target does not say what a client elsewhere has to know"
    return server.only_here
