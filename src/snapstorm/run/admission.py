"""Admission: the clients of a run are let in, connected, and given their files."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from snapstorm.actions.multiclient import MultiClientFileWriter, MultiClientSnapshotter
from snapstorm.errors import HarnessError, TargetError
from snapstorm.guarantees.settings import SettingsWatch
from snapstorm.run.arrivals import Arrivals
from snapstorm.run.permissions import Rights
from snapstorm.run.phases import Phases
from snapstorm.runtime.tasks import plain_task_group, together
from snapstorm.testbed.context import RunContext


@dataclass(frozen=True)
class Admission:
    """Lets the clients of one run in, each once."""

    run: RunContext
    phases: Phases
    snapshotter: MultiClientSnapshotter
    writer: MultiClientFileWriter
    settings: SettingsWatch
    rights: Rights
    connected: list[str] = field(init=False, default_factory=list)
    """Who was let in. Grows."""
    opened: set[str] = field(init=False, default_factory=set)
    """Whose files are known, or are being read."""

    @asynccontextmanager
    async def arriving(
        self, names: Sequence[str], *, begins_with_files: bool, on_let_in: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[Arrivals]:
        """Have these clients connect beside the block. It begins once one of them can begin: once it is connected, or
        where what it does `begins_with_files`, once it has those.

        Raises HarnessError when one can't be connected, which ends the block.
        """
        arrivals = Arrivals(names)
        new = [name for name in names if name not in self.connected]
        async with plain_task_group() as group:
            with self._adding(new):
                await self._let_in(new)
                await on_let_in()
                for name in names:
                    group.start_soon(self._bring, name, name in new, arrivals)
                await arrivals.wait_for_first(only_files=begins_with_files)
            yield arrivals

    async def bring_back(self, names: Sequence[str], trees: Sequence[str], then: Callable[[], Awaitable[None]]) -> None:
        """Connect clients of earlier runs again, and go on. Meanwhile the files are looked at of those in `trees`."""

        async def connect_all() -> None:
            with self._adding(names):
                await self._let_in(names)
                await together([functools.partial(self._connect, name) for name in names])
            await then()

        await together([connect_all, *(functools.partial(self._open, name) for name in trees)])

    async def _bring(self, name: str, is_new: bool, arrivals: Arrivals) -> None:
        """Have one client arrive. A tree that an earlier run left is read while the client connects."""

        async def give_files() -> None:
            await self._open(name)
            arrivals.have_files(name)

        await together([functools.partial(self._connect, name), give_files] if is_new else [give_files])
        await self.rights.find_out(name)
        arrivals.arrive(name)

    @contextmanager
    def _adding(self, names: Sequence[str]) -> Iterator[None]:
        """The part of the run in which clients are added, if there are any to add."""
        if not names:
            yield
            return
        with self.phases.phase("set_up", f"adding {len(names)} client(s)"):
            yield

    async def _let_in(self, names: Sequence[str]) -> None:
        """Have the server know these clients, which are then to be connected."""
        if names:
            with _without_it_no_run("clients could not be let in"):
                await self.snapshotter.add_clients(names)
            self.connected.extend(names)
            self.run.ledger.add_clients(names, self.run.number)

    async def _connect(self, name: str) -> None:
        with _without_it_no_run(f"{name} could not be connected"):
            await self.snapshotter.of(name).connect()
        self.settings.begin(name)

    async def _open(self, name: str) -> None:
        """Have a client's files known."""
        if name not in self.opened:
            self.opened.add(name)
            await self.writer.add_client(name)


@contextmanager
def _without_it_no_run(words: str) -> Iterator[None]:
    """Without all its clients a run does not go on: raises HarnessError for the target's refusal."""
    try:
        yield
    except TargetError as error:
        raise HarnessError(f"{words}: {error}") from error
