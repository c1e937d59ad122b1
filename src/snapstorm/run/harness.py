"""The harness: one run on one testbed, from opening it to the verdict.

    async with open_harness(HarnessOptions(testbed=Path("bed"))) as harness:
        await harness.run_clients(4, flow)
        await harness.finish()
    print(harness.result.verdict)

Opening looks before it changes anything, ends what a killed run left, starts the target, connects clients and holds
the repository's listing against the ledger. `finish` settles every doubt, sweeps every live snapshot and tries the
locks. Leaving the block ends every process and records the verdict, however the block is left.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import anyio

from snapstorm.actions.client import Client
from snapstorm.actions.multiclient import MultiClientFileWriter, MultiClientSnapshotter
from snapstorm.actions.parts import Parts
from snapstorm.actions.possible import asks_target
from snapstorm.actions.upkeep import make_room
from snapstorm.errors import ConfigError, GuaranteeViolated, HarnessError, SnapstormError
from snapstorm.faults.catalogue import ALL, FAULTS, read_keys
from snapstorm.faults.fault import Scene
from snapstorm.faults.network_path import NetworkPath
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.guarantees.checker import Checker
from snapstorm.guarantees.layout import LayoutCheck
from snapstorm.guarantees.leaks import LeakWatch
from snapstorm.model.abilities import Routed, RunsCommands
from snapstorm.model.events import Listener, Noted, RunEnded, ignore
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import FileWriter, Mode, Server, Target
from snapstorm.model.verdict import decide
from snapstorm.persistence.persistence import REPOSITORY_FACT, Persistence, persisting
from snapstorm.persistence.places import open_persistence
from snapstorm.run.admission import Admission
from snapstorm.run.aftermath import Aftermath
from snapstorm.run.arrivals import Arrivals
from snapstorm.run.drive import drive
from snapstorm.run.drive_recorded import ReplayProgress, drive_recorded
from snapstorm.run.fault_judge import FaultJudge
from snapstorm.run.finish import Finisher
from snapstorm.run.hangs import Hangs
from snapstorm.run.measurements import Measurements
from snapstorm.run.options import HarnessOptions, check_options
from snapstorm.run.permissions import Rights
from snapstorm.run.result import RunResult
from snapstorm.run.set_up import (
    CommandRecorder,
    begin_from_copy,
    begin_run,
    check_history,
    check_parameters,
    check_repository,
    clear_after_a_kill,
    client_name,
    heal_rights,
    network_path_for,
    place_for,
    recording_failure,
    runner_for,
    testbed_for,
    workdir_for,
)
from snapstorm.run.storm import Storm, StormPlan, blowing, split_by_possibility
from snapstorm.runtime.machine import own_usage
from snapstorm.runtime.meter import Work
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.tasks import beside, beside_if, together
from snapstorm.runtime.threads import run_file_work
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.scenarios import CLIENTS_MAX, Scenario, ScenarioStep
from snapstorm.targets.registry import find_target
from snapstorm.testbed.context import Run
from snapstorm.testbed.control import Control
from snapstorm.testbed.testbed import Testbed

__all__ = ["Harness", "HarnessOptions", "client_name", "open_harness"]

_UNACCOUNTED_FACT = "unaccounted_told"
"""How many unaccounted snapshots earlier runs have told of."""


Arriving: TypeAlias = tuple[list[Client], Arrivals]


class Harness:
    """One run. Made by `open_harness`."""

    def __init__(
        self,
        run: Run,
        target: Target,
        server: Server,
        testbed: Testbed,
        options: HarnessOptions,
        processes: ProcessRunner,
    ) -> None:
        self._run = run
        run.meters_operations = not (isinstance(server, RunsCommands) and server.runs_commands)
        self._target = target
        self._server = server
        self._testbed = testbed
        self._options = options
        self._snapshotter = MultiClientSnapshotter(server)
        self._writer = MultiClientFileWriter(self._make_writer)
        checker = Checker(run, server)
        self._settings = checker.settings
        self.parts = parts = Parts(
            run=run,
            writer=self._writer,
            snapshotter=self._snapshotter,
            server=server,
            checker=checker,
            processes=processes,
            repository_bytes_max=options.repository_bytes_max,
        )
        self.engine = parts.engine
        self._rights = Rights(run, parts.own_operations, parts.refusals, checker)
        self._admission = Admission(
            run, self._snapshotter, self._writer, on_connected=self._settings.begin, before_work=self._rights.find_out
        )
        self._connected = self._admission.connected
        self._clients_count = 0
        self._hangs = Hangs(run, parts.operations, parts.engine)
        self._finisher = Finisher(
            run, parts.own_operations, parts.sweep_restores, self._snapshotter, server, checker, self._hangs
        )
        self._aftermath = Aftermath(run, parts.engine, parts.own_operations, server, checker, self._hangs)
        self._leaks = LeakWatch(run, server, checker, processes)
        self._measurements = Measurements(run, server, self._connected)
        self._layout = LayoutCheck(run, server, checker)
        self._judge = FaultJudge(run, parts.own_operations, self._snapshotter, checker)
        self._storm: Storm | None = None
        self._result: RunResult | None = None

    @property
    def seed(self) -> int:
        """The seed from which every draw of this run follows."""
        return self._run.seed

    @property
    def result(self) -> RunResult:
        """What the run has shown; final once the harness's block has been left."""
        return self._result or self._make_result()

    async def run_clients(self, count: int, flow: Callable[[Client], Awaitable[object]]) -> None:
        """Run `flow` once for each of `count` clients, side by side, for each once it is connected.

        One client's failure cancels the others and ends their processes; the first failure is raised.
        """

        async def begin(client: Client, arrivals: Arrivals) -> None:
            await arrivals.wait_for(client.name)
            await flow(client)

        async with self._arriving(count) as (clients, arrivals):
            with self._run.part("actions", f"{count} client(s) at work"), self._run.control.working():
                async with self._watching(arrivals):
                    await together([functools.partial(begin, client, arrivals) for client in clients])

    async def run_scenario(self, scenario: Scenario) -> None:
        """Run a scenario to its end. Violations are counted, and end the clients' work unless it is to keep going."""
        words = f"{scenario.name}: {scenario.clients} client(s) at work"
        async with self._arriving(scenario.clients, scenario.steps[:1]) as (clients, arrivals):
            if scenario.recorded is not None:
                await arrivals.wait_for_all()
            with self._run.part("actions", words), self._run.control.working():
                if scenario.recorded is not None:
                    await self._replay(clients, scenario.recorded)
                else:
                    async with self._watching(arrivals):
                        await drive(clients, scenario, self.engine, self._run, arrivals, self._is_fault_awaited)

    def _is_fault_awaited(self) -> bool:
        return self._storm is not None and self._storm.is_awaited

    @asynccontextmanager
    async def _watching(self, arrivals: Arrivals) -> AsyncIterator[None]:
        """What goes on beside the clients' work. Nothing is broken before all of them are there."""
        async with (
            beside(self._leaks.watch),
            beside(self._measurements.record),
            blowing(self._storm, arrivals.wait_for_all),
        ):
            yield

    async def _replay(self, clients: Sequence[Client], recording: Recording) -> None:
        board, storm = ReplayProgress(recording), self._storm
        faults = functools.partial(storm.replay, recording, board.wait) if storm is not None else None
        async with beside(self._leaks.watch), beside(self._measurements.record), beside_if(faults):
            await drive_recorded(clients, recording, self.engine, self._run, board)

    def prepare_faults(self, processes: ProcessRunner, network_path: NetworkPath | None) -> None:
        """Find out which of the faults that were asked for are possible here, and say which are not.

        Raises HarnessError for one that was asked for by name, and when none is possible.
        """
        keys, control = read_keys(self._options.faults), self._run.control
        if not keys and not control.is_watched:
            return
        scene = self._scene(processes, network_path)
        available, reasons = split_by_possibility(tuple(FAULTS) if control.is_watched else keys, scene)
        if control.is_watched:
            control.faults = {key: reasons.get(key) for key in FAULTS}
        chosen = self._choose_faults(keys, reasons) if keys else []
        if available:
            plan = StormPlan(
                chosen,
                # All that is possible takes minutes, which whoever gives a shorter time does not want.
                is_each_awaited=self._options.is_each_fault_awaited and ALL not in self._options.faults,
                weights=self._options.fault_weights,
                pace=self._options.fault_pace,
            )
            self._storm = Storm(self._run, scene, plan)

    def _scene(self, processes: ProcessRunner, network_path: NetworkPath | None) -> Scene:
        is_routed = isinstance(self._server, Routed) and self._server.is_routed
        return Scene(
            server=self._server,
            clients=self._connected,
            processes=processes,
            directory=self._testbed.directory / "faults",
            in_flight=self.parts.operations.in_flight,
            judge=self._judge,
            network_path=network_path if is_routed else None,
        )

    def _choose_faults(self, keys: Sequence[str], reasons_by_key: Mapping[str, str]) -> list[str]:
        """Of the faults that were asked for, those for which there is no reason against it. Raises HarnessError as
        `prepare_faults` does."""
        self._run.tally.faults_asked = True
        possible = [key for key in keys if key not in reasons_by_key]
        reasons = {key: reasons_by_key[key] for key in keys if key in reasons_by_key}
        if reasons and ALL not in self._options.faults and not self._options.are_faults_optional:
            key, reason = next(iter(reasons.items()))
            raise HarnessError(f"the fault {key} is not possible here: {reason}")
        for reason in dict.fromkeys(reasons.values()):
            left_out = ", ".join(key for key, other in reasons.items() if other == reason)
            self._run.note(f"left out of the faults, because {reason}: {left_out}")
        if not possible and self._options.are_faults_optional:
            self._run.tally.faults_asked = False
        elif not possible:
            raise HarnessError("no fault is possible here")
        return possible

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
        if self._run.place.mode is Mode.DIRECT and count != 1:
            raise ConfigError(f"mode direct has exactly one client, not {count}")
        names, ledger = self._names(count), self._run.ledger
        is_before = bool(begin_with) and not any(
            asks_target(step.make(), name, ledger) for step in begin_with for name in names
        )

        async def begin() -> None:
            if not self._clients_count:
                await self._leaks.begin()
            self._clients_count = max(self._clients_count, count)

        async with self._admission.arriving(names, begins_with_files=is_before, on_let_in=begin) as arrivals:
            yield [Client(name, self.engine) for name in names], arrivals

    def _names(self, count: int) -> list[str]:
        server = self._options.external_server
        if server is None:
            return [client_name(number) for number in range(1, count + 1)]
        if count > len(server.users):
            raise ConfigError(
                f"{count} clients are asked for, but the operator's file names {len(server.users)} user(s)"
            )
        return list(server.users[:count])

    async def go_on_from_history(self) -> None:
        """Connect the clients of earlier runs again and hold the listing against what the ledger promises.

        Meanwhile their trees are read, because most runs go on with the same clients.
        """
        names = self._run.ledger.clients_with_expectations()
        if not names:
            return
        trees = [] if self._options.is_sweep_only else [name for name in names if self._data_directory(name).is_dir()]
        await self._admission.bring_back(names, trees, functools.partial(self._reconcile_history, names))
        self._count_unaccounted()
        await self.parts.room.measure()
        if self.parts.room.is_full:
            await self._make_room()  # A killed run has not come to it.

    def _count_unaccounted(self) -> None:
        told = int(self._run.ledger.fact(_UNACCOUNTED_FACT) or 0)
        self._run.tally.unaccounted = self._run.ledger.gaps.count_unlisted() - told

    async def _reconcile_history(self, names: Sequence[str]) -> None:
        with self._run.part("reconcile", "comparing the listing with the ledger"):
            await self._finisher.reconcile(names)

    async def finish(self) -> None:
        """Judge all that is left to judge: doubts, time-outs, the final listing, every live snapshot, the locks."""
        if self._run.tally.faults:
            with self._run.part("recovery", "waiting until every client is on its feet again"):
                await self._aftermath.recover(
                    self._connected[: self._clients_count], self._options.recovery_seconds_max
                )
        with self._run.part("reconcile", "settling what is in doubt"):
            await self._finisher.settle(self._connected)
        with self._run.part("layout", "looking at what is stored"):
            await self._leaks.end()
            await self._layout.check()
        self._count_unaccounted()
        await self._make_room()
        async with self._finisher.sweeping(self._options.sweep_seconds) as sweep:
            with self._run.part("sweep", "restoring every live snapshot"):
                await (sweep.over.wait() if self._run.tally.faults else sweep.answered.wait())
            if self._run.tally.faults:
                with self._run.part("own_check", "comparing the target's own check with the sweep"):
                    await self._aftermath.compare_with_own_check(self._connected)
            with self._run.part("locks", "trying what must be refused"):
                check_sources = functools.partial(self.parts.source.check_all, self._connected)
                await together(
                    [
                        functools.partial(self._finisher.try_locks, self._connected),
                        self._rights.try_all,
                        check_sources,
                        sweep.over.wait,
                    ]
                )
                await self._hangs.repeat_suspects()
        self._leaks.judge_commands()
        await self._settings.end(self._connected)

    async def _make_room(self) -> None:
        """Have the next run find room; what the sweep then restores is what such collections have left."""
        if self._options.repository_bytes_max is not None and self._connected and not self._options.is_sweep_only:
            with self._run.part("making_room", "making room in the repository"):
                await make_room(self.parts.room, self.engine, self._connected[0])

    def note_error(self, error: Exception) -> None:
        """Remember that the harness, the machine or what drove the run failed, for the verdict. A violation is told."""
        if not isinstance(error, GuaranteeViolated):
            words = str(error) if isinstance(error, SnapstormError) else f"cut off by {type(error).__name__}: {error}"
            self._run.tally.error = self._run.tally.error or words

    def note_interrupted(self) -> None:
        """Remember that a signal ended the run early."""
        self._run.tally.is_interrupted = True

    def close(self) -> None:
        """Record the verdict. Called when the block is left and everything has ended.

        Where the ledger can't be written any more, the verdict says so, and is not recorded.
        """
        run = self._run
        self._result = self._make_result()
        try:
            run.flush_commands()
            run.ledger.end_run(
                run.number,
                ended_utc=run.clock.utc(),
                verdict=self._result.verdict,
                summary=json.dumps(self._result.as_json()),
            )
            run.ledger.set_fact(_UNACCOUNTED_FACT, str(run.ledger.gaps.count_unlisted()))
        except HarnessError as error:
            self.note_error(error)
            self._result = self._make_result()
        run.emit(RunEnded(self._result.verdict.value, self._result.reason))
        with suppress(OSError):  # Holds evidence, if it is not empty.
            run.directory.rmdir()

    def _make_result(self) -> RunResult:
        run, own = self._run, own_usage()
        verdict, reason = decide(run.tally)
        return RunResult(
            run=run.number,
            seed=run.seed,
            verdict=verdict,
            reason=reason,
            target=self._target.description,
            mode=run.place.mode,
            clients=self._clients_count,
            seconds=run.now_seconds(),
            seconds_by_part=dict(run.seconds_by_part),
            seconds_by_work={work.value: seconds for work, seconds in run.meter.seconds_by_work.items()},
            own_cpu_seconds=own.cpu_seconds,
            own_memory_bytes_max=own.memory_bytes_max,
            tally=run.tally,
            states=run.ledger.count_states(),
            testbed=self._testbed.directory,
        )

    def _data_directory(self, client: str) -> Path:
        return self._run.workdir / client / "data"

    async def _make_writer(self, client: str) -> FileWriter:
        directory = self._data_directory(client)
        make = functools.partial(
            TreeFileWriter,
            data_directory=directory,
            capabilities=self._run.capabilities,
            total_bytes_max=self._options.data_bytes_max,
            # So that a run does not begin with reading gigabytes. What a snapshot must be is always read anew.
            remembered=self._run.ledger.latest_manifest(client, path_as_text(directory)),
        )
        return await run_file_work(make)


@asynccontextmanager
async def open_harness(
    options: HarnessOptions, listener: Listener = ignore, control: Control | None = None
) -> AsyncIterator[Harness]:
    """Open a testbed and start its target for one run. Whoever holds `control` may pause the run, end its clients' work
    before its time, and have faults injected.

    Raises ConfigError, HarnessError or TestbedError, one line each. What goes wrong before the target serves leaves
    nothing behind.
    """
    check_options(options)
    make_target = find_target(options.target, options.programs, options.external_server)
    async with AsyncExitStack() as stack:
        await begin_from_copy(options)
        testbed = stack.enter_context(testbed_for(options))
        check_history(testbed, options)
        await clear_after_a_kill(testbed, lambda words: listener(Noted(words)))
        # Until the target serves: a testbed that was made from a copy goes again if it does not.
        testbed.is_new |= options.copied_from is not None
        recorder = CommandRecorder()
        runner = await stack.enter_async_context(runner_for(testbed, recorder))
        target = make_target(runner)
        if options.mode not in target.modes:
            raise ConfigError(f"the target {options.target} can't be driven in mode {options.mode}")
        check_parameters(options, testbed, lambda words: listener(Noted(words)))
        workdir = stack.enter_context(workdir_for(options, testbed))
        is_new_testbed = testbed.is_new
        network_path = await stack.enter_async_context(network_path_for(options))
        place = replace(place_for(options, testbed, workdir), route=network_path.route if network_path else None)
        persistence = await stack.enter_async_context(
            open_persistence(
                testbed,
                runner,
                place=options.persist,
                programs=options.named_programs,
                minutes=options.persist_minutes,
                take_over=options.take_over or options.copied_from is not None,
            )
        )
        run = begin_run(options, testbed, target, place, workdir, listener, control)
        stack.callback(recorder.record_for(run))
        with recording_failure(run):
            with run.part("set_up", "starting the server"), run.meter.busy(Work.TARGET):
                server = await stack.enter_async_context(target.serve(run.place))
            check_repository(testbed, server)
            await heal_rights(testbed, server, run.note)
        if options.repository is not None:
            testbed.ledger.set_fact(REPOSITORY_FACT, str(options.repository))
        harness = Harness(run, target, server, testbed, options, runner)
        with recording_failure(run):
            harness.prepare_faults(runner, network_path)
        testbed.is_new = False
        stack.enter_context(_kept_only_if_violated(options, testbed, harness, is_new_testbed))
        try:
            async with persisting(persistence, run.note), harness.parts.cleaner.cleaning():
                await harness.go_on_from_history()
                yield harness
        except Exception as error:
            harness.note_error(error)
            raise
        except anyio.get_cancelled_exc_class():
            harness.note_interrupted()
            raise
        finally:
            # Before the server ends, so that a run whose ending hangs has its verdict recorded.
            harness.close()
            if persistence is not None:
                await _persist_the_end(persistence, harness)


async def _persist_the_end(persistence: Persistence, harness: Harness) -> None:
    """Make the last copy, also of a run that was cancelled. One that fails is an error of the run."""
    with anyio.CancelScope(shield=True):
        try:
            await persistence.write(is_final=True)
        except HarnessError as error:
            harness.note_error(error)
            harness.close()


@contextmanager
def _kept_only_if_violated(
    options: HarnessOptions, testbed: Testbed, harness: Harness, is_new_testbed: bool
) -> Iterator[None]:
    """Have a temporary testbed removed when it is closed, unless it holds evidence."""
    try:
        yield
    finally:
        if options.testbed is None and is_new_testbed and not harness.result.tally.violations:
            testbed.is_new = True
