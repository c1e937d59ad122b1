"""Opening a run: what is there for it from the testbed to the server, and gone when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snapstorm.errors import ConfigError
from snapstorm.faults.network_path import NetworkPath
from snapstorm.model.events import Listener, Noted
from snapstorm.model.protocols import Server
from snapstorm.persistence.persistence import REPOSITORY_FACT, AnyCopies
from snapstorm.persistence.places import open_persistence
from snapstorm.run.conclusion import Conclusion
from snapstorm.run.offered_storage import OfferedStorage, storage_for
from snapstorm.run.options import HarnessOptions
from snapstorm.run.phases import Phases
from snapstorm.run.set_up import (
    begin_from_copy,
    begin_run,
    check_history,
    check_parameters,
    check_repository,
    clear_after_a_kill,
    heal_rights,
    named_storage,
    network_path_for,
    place_for,
    record_retention,
    recording_failure,
    runner_for,
    testbed_for,
    workdir_for,
)
from snapstorm.run.virtual_runs import clock_for
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.meter import Work
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.plugin import MakeTarget
from snapstorm.targets.registry import find_known_bugs
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.control import Control
from snapstorm.testbed.testbed import Testbed
from snapstorm.testbed.under_test import UnderTest

if TYPE_CHECKING:
    from snapstorm.run.machine_keeper import MachineKeeper


@dataclass(frozen=True)
class OpenedRun:
    """What was opened for one run. Made by `open_run`."""

    run: RunContext
    options: HarnessOptions
    testbed: Testbed
    under_test: UnderTest
    server: Server
    processes: ProcessRunner
    commands: CommandLog
    copies: AnyCopies
    control: Control
    phases: Phases
    conclusion: Conclusion
    network_path: NetworkPath | None
    storage: OfferedStorage
    keeper: MachineKeeper | None
    """Keeps the machines on which clients run; None where all run in this process."""


@asynccontextmanager
async def open_run(
    options: HarnessOptions, make_target: MakeTarget, listener: Listener, control: Control, clock: Clock
) -> AsyncIterator[OpenedRun]:
    """Open a testbed and start its target for one run: see `open_harness`."""
    async with AsyncExitStack() as stack:
        await begin_from_copy(options)
        testbed = stack.enter_context(testbed_for(options))
        check_history(testbed, options, clock)
        clock = clock_for(options, testbed.ledger, clock, lambda words: listener(Noted(words, is_warning=False)))
        await clear_after_a_kill(testbed, clock, lambda words: listener(Noted(words)))
        # Until the target serves: a testbed that was made from a copy goes again if it does not.
        testbed.is_new |= options.copied_from is not None
        commands = CommandLog()
        runner = await stack.enter_async_context(runner_for(testbed, commands))
        target = make_target(runner)
        if options.mode not in target.modes:
            raise ConfigError(f"the target {options.target} can't be driven in mode {options.mode}")
        check_parameters(options, testbed, lambda words: listener(Noted(words)))
        record_retention(options, testbed, lambda words: listener(Noted(words)))
        workdir = stack.enter_context(workdir_for(options, testbed))
        network_path = await stack.enter_async_context(network_path_for(options))
        storage = stack.enter_context(
            storage_for(
                named_storage(options, testbed),
                place_for(options, testbed, workdir),
                clock,
                history_bytes_max=options.history_bytes_max,
            )
        )
        testbed.ledger.storage_event = storage.last_event
        place = replace(storage.place, route=network_path.route if network_path else None)
        copies = await stack.enter_async_context(
            open_persistence(
                testbed,
                runner,
                clock,
                place=options.persist,
                programs=options.named_programs,
                minutes=options.persist_minutes,
                take_over=options.take_over or options.copied_from is not None,
            )
        )
        versions = " ".join((target.description.name, *target.description.versions))
        run = begin_run(options, testbed, target, versions, clock, listener)
        place = replace(place, seed=run.stream("target").getrandbits(63))
        is_across_versions = len(run.ledger.target_versions()) > 1
        known_bugs = find_known_bugs(options.target, options.known_bugs)
        capabilities = target.capabilities_with(place.parameters)
        under_test = UnderTest(place, capabilities, versions, is_across_versions, known_bugs)
        commands.begin(run, is_watched=control.is_watched)
        phases = Phases(run)
        conclusion = Conclusion(run, phases, commands, target, options.mode, testbed)
        stack.callback(conclusion.write_last_commands)
        with recording_failure(run):
            with phases.phase("set_up", "starting the server"), run.meter.busy[Work.TARGET]:
                server = await stack.enter_async_context(target.serve(place))
            check_repository(testbed, server)
            await heal_rights(run, server)
            keeper: MachineKeeper | None = None
            if options.machines is not None:
                # 0.04 s, for the library of certificates, which most runs do not need.
                from snapstorm.run.machine_keeper import remote_machines  # noqa: PLC0415

                machines = remote_machines(
                    options.machines,
                    run,
                    under_test,
                    options.data_bytes_max,
                    runner,
                    commands,
                    target.description.programs,
                )
                keeper = await stack.enter_async_context(machines)
        if options.repository is not None:
            testbed.ledger.set_fact(REPOSITORY_FACT, str(options.repository))
        yield OpenedRun(
            run=run,
            options=options,
            testbed=testbed,
            under_test=under_test,
            server=server,
            processes=runner,
            commands=commands,
            copies=copies,
            control=control,
            phases=phases,
            conclusion=conclusion,
            network_path=network_path,
            storage=storage,
            keeper=keeper,
        )
