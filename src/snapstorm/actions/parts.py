"""The parts that perform the actions of one run, each made once, from the lowest up to the engine."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from snapstorm.actions import advancing, creations, deletions, files, inspections, restores, storage_mark, upkeep
from snapstorm.actions.choosing import Choosing
from snapstorm.actions.disk_space import DiskSpace
from snapstorm.actions.engine import Engine
from snapstorm.actions.operations import Operations
from snapstorm.actions.own_operations import OwnOperations
from snapstorm.actions.performer import Performers
from snapstorm.actions.picking import LiveSnapshots
from snapstorm.actions.plugins import load_actions
from snapstorm.actions.possible import Refusals
from snapstorm.actions.quota import Quota
from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Steps
from snapstorm.faults.weather import Weather
from snapstorm.filesystem.client_machine import Machines
from snapstorm.guarantees.checker import Checker
from snapstorm.model.abilities import RunsCommands
from snapstorm.model.protocols import FileWriter, Server, Snapshotter
from snapstorm.runtime.meter import Work
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.machine_check import MachineCheck
from snapstorm.testbed.under_test import UnderTest

SHIPPED = (advancing, creations, deletions, files, inspections, restores, storage_mark, upkeep)
"""The modules of the performers that come with snapstorm: they are registered once these are imported."""


@dataclass(frozen=True)
class PartsBasis:
    """The objects that the constructors of the parts need."""

    run: RunContext
    under_test: UnderTest
    weather: Weather
    machine: MachineCheck
    commands: CommandLog
    checker: Checker
    writer: FileWriter
    snapshotter: Snapshotter
    server: Server
    machines: Machines
    repository_bytes_max: int | None = None


class Parts:
    """All of them. What a performer names in its constructor is what is called so here."""

    def __init__(self, basis: PartsBasis) -> None:
        """Raises HarnessError for an action that nothing performs."""
        load_actions()  # For a run of the library or of pytest: the command line has done so before it reads scenarios.
        self.run = run = basis.run
        self.ledger = run.ledger
        self.weather = basis.weather
        self.checker = checker = basis.checker
        self.writer = writer = basis.writer
        self.snapshotter = snapshotter = basis.snapshotter
        self.server = server = basis.server
        place = basis.under_test.place
        self.quota = Quota(server, basis.repository_bytes_max, run.note)
        self.refusals = Refusals(server.refused_actions)
        self.machines = basis.machines
        self.disk_space = DiskSpace(writer, run.note)
        self.source = SourceWatch(writer, checker)
        self.steps = Steps(run, basis.commands)
        runs_commands = isinstance(server, RunsCommands) and server.runs_commands
        self.operations = Operations(
            run,
            self.weather,
            basis.machine,
            checker,
            self.source,
            under_test=basis.under_test,
            # The time of a target that runs commands is that of its commands.
            asking=nullcontext() if runs_commands else run.meter.busy[Work.TARGET],
            machines=self.machines,
        )
        self.picked = LiveSnapshots(self.ledger)
        self.storage_mark = storage_mark.StorageMark(server)
        self.inspections = inspections.Inspections(
            run, place, snapshotter, checker, self.operations, server, weather=self.weather
        )
        self.creations = creations.Creations(
            run,
            self.weather,
            writer,
            snapshotter,
            checker,
            self.quota,
            self.source,
            self.operations,
            self.inspections,
            promised=basis.under_test.capabilities.as_json,
            operation_seconds_max=place.operation_seconds_max,
        )
        self.restores = restores.Restores(
            run,
            self.weather,
            self.machines,
            self.operations,
            checker,
            writer,
            snapshotter,
            self.source,
            self.inspections,
        )
        self.deletions = deletions.Deletions(
            self.operations, checker, snapshotter, self.refusals, self.picked, self.creations, self.inspections
        )
        self.performers = Performers(self, self.refusals, self.ledger)
        self.choosing = Choosing(run, self.quota, server.refused_actions, self.performers)
        self.engine = Engine(
            run, self.steps, self.performers, self.refusals, self.choosing, self.disk_space, self.machines
        )
        self.own_operations = OwnOperations(
            self.ledger,
            server,
            self.steps,
            self.operations,
            self.creations,
            self.restores,
            self.deletions,
            self.inspections,
            self.machines,
        )
