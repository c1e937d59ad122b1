"""The harness: one run on one testbed, from opening it to the verdict.

    async with open_harness(HarnessOptions(testbed=Path("bed"))) as harness:
        await harness.run_clients(4, flow)
        await harness.finish()
    print(harness.result.verdict)

Opening looks before it changes anything, ends what a killed run left, starts the target, connects clients and holds
the repository's listing against the ledger. `finish` settles every doubt, sweeps every live snapshot and tries what
must be refused. Leaving the block ends every process and records the verdict, however the block is left.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import anyio

from snapstorm.actions.client import Client
from snapstorm.actions.engine import Engine
from snapstorm.actions.upkeep import make_room
from snapstorm.errors import ConfigError, HarnessError
from snapstorm.model.events import DaysLived, Listener, ignore
from snapstorm.model.protocols import Mode
from snapstorm.run.arrivals import Arrivals
from snapstorm.run.assembly import RunParts
from snapstorm.run.drive import drive
from snapstorm.run.drive_recorded import ReplayProgress, drive_recorded
from snapstorm.run.opened_run import OpenedRun, open_run
from snapstorm.run.options import HarnessOptions, check_options
from snapstorm.run.result import RunResult
from snapstorm.run.set_up import recording_failure
from snapstorm.run.virtual_runs import settled_in_time
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.tasks import beside, together
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.scenarios import CLIENTS_MAX, Scenario, ScenarioStep
from snapstorm.targets.plugin import MakeTarget
from snapstorm.targets.registry import find_target
from snapstorm.testbed.control import Control
from snapstorm.testbed.identity import client_name

__all__ = ["Harness", "HarnessOptions", "client_name", "open_harness"]

Arriving: TypeAlias = tuple[list[Client], Arrivals]


class Harness:
    """One run. Made by `open_harness`."""

    def __init__(self, opened: OpenedRun, parts: RunParts) -> None:
        self._opened = opened
        self._run = opened.run
        self._parts = parts

    @property
    def engine(self) -> Engine:
        """Performs actions for the client that acts."""
        return self._parts.acting.engine

    @property
    def seed(self) -> int:
        """The seed from which every draw of this run follows."""
        return self._run.seed

    @property
    def result(self) -> RunResult:
        """What the run has shown; final once the harness's block has been left."""
        return self._opened.conclusion.result

    async def run_clients(self, count: int, flow: Callable[[Client], Awaitable[object]]) -> None:
        """Run `flow` once for each of `count` clients, side by side, for each once it is connected.

        One client's failure cancels the others and ends their processes; the first failure is raised.
        """

        async def begin(client: Client, arrivals: Arrivals) -> None:
            await arrivals.wait_for(client.name)
            await flow(client)

        async with self._arriving(count) as (clients, arrivals):
            with self._working(f"{count} client(s) at work"):
                async with self._watching(arrivals):
                    await together([functools.partial(begin, client, arrivals) for client in clients])

    async def run_scenario(self, scenario: Scenario) -> None:
        """Run a scenario to its end. Violations are counted, and end the clients' work unless it is to keep going."""
        parts = self._parts
        async with self._arriving(scenario.clients, scenario.steps[:1]) as (clients, arrivals):
            if scenario.recorded is not None:
                await arrivals.wait_for_all()
            with self._working(f"{scenario.name}: {scenario.clients} client(s) at work"):
                if scenario.recorded is not None:
                    await self._replay(clients, scenario.recorded)
                else:
                    async with self._watching(arrivals):
                        note, end_round = self._run.note, functools.partial(self._end_round, scenario)
                        steering, storm = parts.steering, parts.storm
                        await drive(clients, scenario, self.engine, steering, arrivals, storm, note, end_round)

    async def _end_round(self, scenario: Scenario, number: int) -> None:
        """Measure what is stored, and tell those who watch how much virtual time the scenario's rounds have taken."""
        if scenario.virtual_start is not None:
            await self._parts.measurements.look_at_storage()
            days_after = scenario.days_after
            self._run.emit(DaysLived(days_after(number), days_after(scenario.rounds)))

    @contextmanager
    def _working(self, words: str) -> Iterator[None]:
        with self._opened.phases.phase("actions", words), self._parts.steering.working():
            yield

    @asynccontextmanager
    async def _watching(self, arrivals: Arrivals) -> AsyncIterator[None]:
        """What goes on beside the clients' work. Nothing is broken before all of them are there."""
        parts = self._parts

        async def blow() -> None:
            await arrivals.wait_for_all()
            await parts.storm.blow()

        async with beside(parts.leaks.watch), beside(parts.measurements.record), beside(blow):
            yield

    async def _replay(self, clients: Sequence[Client], recording: Recording) -> None:
        progress, parts = ReplayProgress(recording), self._parts
        faults = functools.partial(parts.storm.replay, recording, progress.wait)
        async with beside(parts.leaks.watch), beside(parts.measurements.record), beside(faults):
            await drive_recorded(clients, recording, self.engine, parts.steering, progress)

    async def connect_clients(self, count: int) -> list[Client]:
        """The first `count` clients of the testbed, connected."""
        async with self._arriving(count) as (clients, arrivals):
            await arrivals.wait_for_all()
        return clients

    @asynccontextmanager
    async def _arriving(self, count: int, begin_with: Sequence[ScenarioStep] = ()) -> AsyncIterator[Arriving]:
        """The first `count` clients of the testbed, which connect beside the block: see `Admission.arriving`."""
        if not 1 <= count <= CLIENTS_MAX:
            raise ConfigError(f"the number of clients must be from 1 to {CLIENTS_MAX}, not {count}")
        if self._opened.under_test.place.mode is Mode.DIRECT and count != 1:
            raise ConfigError(f"mode direct has exactly one client, not {count}")
        names, parts = self._names(count), self._parts
        is_before = bool(begin_with) and not any(
            self.engine.asks_target(step.make(), name) for step in begin_with for name in names
        )

        async def begin() -> None:
            if not self._opened.conclusion.clients_count:
                await parts.leaks.begin()
            self._opened.conclusion.clients_count = max(self._opened.conclusion.clients_count, count)

        async with parts.admission.arriving(names, begins_with_files=is_before, on_let_in=begin) as arrivals:
            yield [Client(name, self.engine) for name in names], arrivals

    def _names(self, count: int) -> list[str]:
        server = self._opened.options.external_server
        if server is None:
            return [client_name(number) for number in range(1, count + 1)]
        if count > len(server.users):
            raise ConfigError(
                f"{count} clients are asked for, but the operator's file names {len(server.users)} user(s)"
            )
        return list(server.users[:count])

    async def finish(self) -> None:
        """Judge all that is left to judge: doubts, time-outs, the final listing, every live snapshot, and what must be
        refused."""
        parts, phase, connected = self._parts, self._opened.phases.phase, self._parts.connected
        if self._run.tally.faults:
            with phase("recovery", "waiting until every client is on its feet again"):
                working = connected[: self._opened.conclusion.clients_count]
                await parts.aftermath.recover(working, self._opened.options.recovery_seconds_max)
        with phase("reconcile", "settling what is in doubt"):
            await parts.finisher.settle(connected)
        with phase("layout", "looking at what is stored"):
            await parts.leaks.end()
            await parts.layout.check()
            if connected:
                await parts.storage_growth.judge(connected[0])
        self._opened.conclusion.count_unaccounted()
        await _make_room(self._opened, parts)
        async with parts.sweeper.sweeping(self._opened.options.sweep_seconds) as sweep:
            with phase("sweep", "restoring every live snapshot"):
                await (sweep.over.wait() if self._run.tally.faults else sweep.answered.wait())
            if self._run.tally.faults:
                with phase("own_check", "comparing the target's own check with the sweep"):
                    await parts.aftermath.compare_with_own_check(connected)
            with phase("locks", "trying what must be refused"):
                check_access = functools.partial(parts.finisher.check_access, connected)
                check_sources = functools.partial(parts.acting.source.check_all, connected)
                await together([check_access, parts.rights.try_all, check_sources, sweep.over.wait])
                await parts.hangs.repeat_suspects()
        parts.leaks.judge_commands()
        await parts.settings.end(connected)


async def _go_on_from_history(opened: OpenedRun, parts: RunParts) -> None:
    """Connect the clients of earlier runs again and hold the listing against what the ledger promises.

    Meanwhile their trees are read, because most runs go on with the same clients.
    """
    names = opened.run.ledger.clients_with_expectations()
    if not names:
        await parts.acting.quota.measure()  # So that a limit that can't be kept is refused before anything is written.
        return

    async def reconcile() -> None:
        with opened.phases.phase("reconcile", "comparing the listing with the ledger"):
            await parts.finisher.reconcile(names)

    has_files = [name for name in names if (opened.under_test.place.work / name / "data").is_dir()]
    await parts.admission.bring_back(names, [] if opened.options.is_sweep_only else has_files, reconcile)
    opened.conclusion.count_unaccounted()
    await parts.acting.quota.measure()
    if parts.acting.quota.is_full:
        await _make_room(opened, parts)  # A killed run has not come to it.


async def _make_room(opened: OpenedRun, parts: RunParts) -> None:
    """Have the next run find room; what the sweep then restores is what such collections have left."""
    connected, options = parts.connected, opened.options
    if options.repository_bytes_max is not None and connected and not options.is_sweep_only:
        with opened.phases.phase("making_room", "making room in the repository"):
            await make_room(parts.acting.quota, parts.acting.engine, connected[0])


@asynccontextmanager
async def open_harness(
    options: HarnessOptions,
    listener: Listener = ignore,
    control: Control | None = None,
    *,
    clock: Clock | None = None,
    make_target: MakeTarget | None = None,
) -> AsyncIterator[Harness]:
    """Open a testbed and start its target for one run. Whoever holds `control` may pause the run, end its clients' work
    before its time, and have faults injected. All parts of the run but the target go by `clock`. `make_target`
    makes the target, in place of that which the options name.

    Raises ConfigError, HarnessError or TestbedError, one line each. What goes wrong before the target serves leaves
    nothing behind.
    """
    check_options(options)
    options = settled_in_time(options)
    make_target = make_target or find_target(
        options.target, options.programs, options.external_server, is_virtual=options.is_virtual
    )
    control = control or Control(is_watched=False)
    async with open_run(options, make_target, listener, control, clock or Clock()) as opened:
        run, conclusion, is_new_testbed = opened.run, opened.conclusion, opened.testbed.is_new
        with recording_failure(run):
            parts = RunParts(opened)
        opened.testbed.is_new = False
        with _kept_only_if_violated(opened, is_new_testbed):
            try:
                keep_copies = functools.partial(opened.copies.keep_writing, run.note)
                async with beside(keep_copies), parts.cleaner.cleaning():
                    await _go_on_from_history(opened, parts)
                    yield Harness(opened, parts)
            except Exception as error:
                conclusion.note_error(error)
                raise
            except anyio.get_cancelled_exc_class():
                conclusion.note_interrupted()
                raise
            finally:
                # Before the server ends, so that a run whose ending hangs has its verdict recorded.
                conclusion.close()
                await _make_last_copy(opened)


async def _make_last_copy(opened: OpenedRun) -> None:
    """Make the last copy, also of a run that was cancelled. One that fails is an error of the run."""
    with anyio.CancelScope(shield=True):
        try:
            await opened.copies.write(is_final=True)
        except HarnessError as error:
            opened.conclusion.note_error(error)
            opened.conclusion.close()


@contextmanager
def _kept_only_if_violated(opened: OpenedRun, is_new_testbed: bool) -> Iterator[None]:
    """Have a temporary testbed removed when it is closed, unless it holds evidence."""
    try:
        yield
    finally:
        if opened.options.testbed is None and is_new_testbed and not opened.run.tally.violations:
            opened.testbed.is_new = True
