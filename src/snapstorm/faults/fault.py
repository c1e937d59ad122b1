"""Faults: what is broken on purpose, each a small class beside the others.

A fault says beforehand whether it is possible here, is made for one injury, breaks one thing, and heals it. What it
needs for healing it records before it breaks anything, so that the next run can heal what a kill left broken.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

from snapstorm.errors import TargetError
from snapstorm.faults.client_machines import ClientMachines
from snapstorm.faults.network_path import NetworkPath
from snapstorm.gateway.app import Served
from snapstorm.model.actions import ACTIONS
from snapstorm.model.protocols import Server
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import ProcessRunner


class FaultKind(StrEnum):
    """Where a fault strikes."""

    PROCESS = "process"
    NETWORK = "network"
    STORAGE = "storage"
    RIGHTS = "rights"
    REFUSES = "storage-refuses"
    LAGS = "storage-lags"
    LIES = "storage-lies"
    MACHINES = "machines"


@dataclass(frozen=True)
class InFlight:
    """An operation that a client has asked for and that has not ended."""

    operation: str
    client: str
    action: str


class Judge(Protocol):
    """What a fault may have judged while it lasts."""

    async def must_be_refused(self, client: str, who: str) -> None:
        """A client that has just lost its rights must get in nowhere."""
        ...

    async def must_not_write(self, client: str) -> None:
        """A client that may only read must not get a snapshot acknowledged."""
        ...

    async def must_not_delete(self, client: str) -> None:
        """A client that may not delete must not get a deletion acknowledged."""
        ...

    async def probe_damage(self) -> None:
        """Restore some snapshots while storage is damaged: wrong bytes must never come with success."""
        ...


@dataclass(frozen=True)
class Scene:
    """What a fault may act on."""

    server: Server
    clients: Sequence[str]
    processes: ProcessRunner
    directory: Path
    """Where faults put aside what they take away. On a disk that outlives this process."""
    in_flight: Callable[[], Sequence[InFlight]]
    judge: Judge
    clock: Clock
    network_path: NetworkPath | None = None
    """The ways of the clients to the server, where these can be disturbed."""
    machines: ClientMachines | None = None
    """The machines on which clients run; None where all run in this process."""
    is_calm_awaited: Callable[[], bool] = lambda: False
    """Whether somebody waits for the end of what `delays`."""
    gateway: Served | None = None
    """What serves the repository's storage, where that is ours."""

    async def signal(self, operation: str, number: int) -> int:
        """Send a signal to the processes that run on behalf of an operation, wherever they do; 0 only counts them.
        Returns how many groups of them got it."""
        count = self.processes.signal_children_of(operation, number)
        if self.machines is not None:
            count += await self.machines.signal_operation(operation, number)
        return count


Record: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Makes durable what a fault is about to do, and has it count as active."""


class NothingToBreak(Exception):
    """The fault found nothing to strike at this time. It has broken nothing."""


class Fault(ABC):
    """One kind of fault; an instance is one injury.

    A subclass with a `key` of its own is registered by being defined. Its docstring is the sentence that
    `snapstorm faults` prints.
    """

    defined: ClassVar[list[type[Fault]]] = []
    """Every kind, in the order of definition."""
    key: ClassVar[str]
    kind: ClassVar[FaultKind]
    weight: ClassVar[int] = 1
    """How often it is drawn, against the others."""
    ability: ClassVar[type | None] = None
    """What the server must be able to do for it: one of `snapstorm.model.abilities`."""
    lacking: ClassVar[str] = ""
    """What to say, in a few words, of a server without the ability."""
    needs: ClassVar[str] = "nothing"
    """What it takes to inject it, for people."""
    needs_machines: ClassVar[bool] = False
    """Whether it is possible only where clients run on machines."""
    needs_gateway: ClassVar[bool] = False
    """Whether it is possible only where the repository is behind the gateway."""
    hold_seconds: ClassVar[tuple[float, float]] = (0.5, 4.0)
    """For how long it lasts: drawn from this range."""
    aftermath_seconds: float = 5.0
    """For how long after it has healed operations may still fail because of it."""
    is_damage: ClassVar[bool] = False
    """It damages what is stored: what is restored meanwhile is judged by `damage-is-detected`."""
    is_veil: ClassVar[bool] = False
    """Storage may show less than was acknowledged, or what was deleted, of what happened since the fault began, and
    nobody can tell: listings are not held to that."""
    veil_seconds: float = 0.0
    """For how long after it has healed somebody may still believe what storage has shown."""
    delays: ClassVar[bool] = False
    """Something of it may come some seconds late. Virtual time is not advanced meanwhile: it would be days late."""
    spoils_collections: ClassVar[bool] = False
    """A collection of garbage that meets it may take what is needed, and the target can't know."""
    heals_with_server: ClassVar[bool] = False
    """What a killed run has left of it can be healed only once the server is there, before clients connect."""
    leaves_unfinished_files: ClassVar[bool] = False
    """It kills what writes to the storage itself, so that an unfinished file may stay there."""
    disturbs_process: ClassVar[bool] = False
    """What the server's process holds open afterwards says nothing about leaks."""

    def __init_subclass__(cls) -> None:
        """Register a kind. Raises TypeError for one that lacks something, or whose key is taken."""
        super().__init_subclass__()
        if "key" not in cls.__dict__:
            return
        missing = [name for name in ("kind", "__doc__") if not getattr(cls, name, None)]
        if missing or cls.weight < 1 or any(cls.key == other.key for other in Fault.defined):
            raise TypeError(f"the fault {cls.key!r} needs a key of its own, a kind, a docstring and a weight above 0")
        Fault.defined.append(cls)

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        self.scene = scene
        self.draws = draws
        self.clients: frozenset[str] | None = None
        """Whom it strikes; None for everybody."""

    @classmethod
    def why_not_here(cls) -> str | None:
        """Why it is not possible on this machine, or for this user, in a few words; None if it is."""
        return None

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        """Why it is not possible with this server, in a few words; None if it is."""
        return None if cls.ability is None or isinstance(scene.server, cls.ability) else cls.lacking

    @abstractmethod
    async def inject(self, record: Record) -> None:
        """Break it, once `record` was told what, whom (`clients`) and all that is needed to heal it.

        From that moment on it counts as active. Raises NothingToBreak when there is nothing to break now; after
        `record` only if nothing has met it.
        """

    async def judge(self) -> None:  # noqa: B027 - not every fault gives something to judge
        """Have judged what can be while it lasts."""

    async def hold(self, seconds: float) -> None:
        """Let it last."""
        await self.scene.clock.sleep(seconds)

    async def heal(self) -> None:  # noqa: B027 - what is broken for a moment only heals by itself
        """Make it whole again. Called if `record` was; must not mind what is whole already."""

    @property
    def has_struck(self) -> bool:
        """Whether anything has met it yet."""
        return True

    def touches(self, age_seconds: float) -> bool:
        """Whether it can have touched an operation that began so many seconds ago and ends now, besides that it was
        active then."""
        return True

    def excuses(self, error: TargetError) -> bool:
        """Whether it can be the reason for this failure of an operation that it has touched."""
        return True

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        """Heal what a killed run has left of it, before anything else runs on the testbed. Returns what was done, for
        people; None if there was nothing to do, as for all that ends with the processes of a run."""
        return None

    @classmethod
    async def heal_left_over_with(cls, server: Server, details: Mapping[str, Any]) -> str | None:
        """The same for what `heals_with_server`."""
        return None


def killable_operations(scene: Scene) -> list[InFlight]:
    """What is in flight of actions that are worth striking in their midst, in a fixed order."""
    found = (one for one in scene.in_flight() if ACTIONS[one.action].is_killable)
    return sorted(found, key=lambda one: one.operation)
