"""The parts that perform the actions of one run, each made once, from the lowest up to the engine."""

from __future__ import annotations

from snapstorm.actions import creations, deletions, files, inspections, restores, storage_mark, upkeep
from snapstorm.actions.choosing import Choosing
from snapstorm.actions.cleaner import Cleaner
from snapstorm.actions.disk_space import DiskSpace
from snapstorm.actions.engine import Engine
from snapstorm.actions.operations import Operations
from snapstorm.actions.own_operations import OwnOperations
from snapstorm.actions.performer import Performers
from snapstorm.actions.picking import LiveSnapshots
from snapstorm.actions.plugins import load_actions
from snapstorm.actions.possible import Refusals
from snapstorm.actions.quota import Room
from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Steps
from snapstorm.actions.sweep import SweepRestores
from snapstorm.guarantees.checker import Checker
from snapstorm.model.protocols import FileWriter, Server, Snapshotter
from snapstorm.runtime.process import ProcessRunner
from snapstorm.testbed.context import Run

SHIPPED = (creations, deletions, files, inspections, restores, storage_mark, upkeep)
"""The modules of the performers that come with snapstorm: they are registered once these are imported."""


class Parts:
    """All of them. What a performer names in its constructor is what is called so here."""

    def __init__(
        self,
        *,
        run: Run,
        writer: FileWriter,
        snapshotter: Snapshotter,
        server: Server,
        checker: Checker,
        processes: ProcessRunner,
        repository_bytes_max: int | None = None,
    ) -> None:
        """Raises HarnessError for an action that nothing performs."""
        load_actions()  # For a run of the library or of pytest: the command line has done so before it reads scenarios.
        self.run = run
        self.ledger = run.ledger
        self.writer = writer
        self.snapshotter = snapshotter
        self.server = server
        self.checker = checker
        self.room = Room(server, repository_bytes_max, run.note)
        self.refusals = Refusals(server.refused_actions)
        self.cleaner = Cleaner(run, processes)
        self.disk_space = DiskSpace(run, writer)
        self.source = SourceWatch(writer, checker)
        self.steps = Steps(run)
        self.operations = Operations(run, checker, self.source)
        self.picked = LiveSnapshots(run.ledger)
        self.storage_mark = storage_mark.StorageMark(server)
        self.inspections = inspections.Inspections(run, snapshotter, checker, self.operations, server)
        self.creations = creations.Creations(
            run, writer, snapshotter, checker, self.room, self.source, self.operations, self.inspections
        )
        self.restores = restores.Restores(run, self.operations, checker, writer, snapshotter, self.source, self.cleaner)
        self.deletions = deletions.Deletions(
            self.operations, checker, snapshotter, self.refusals, self.picked, self.creations
        )
        self.performers = Performers(self, self.refusals, run.ledger)
        self.choosing = Choosing(run, self.room, server.refused_actions, self.performers)
        self.engine = Engine(run, self.steps, self.performers, self.refusals, self.choosing, self.disk_space)
        self.own_operations = OwnOperations(
            run.ledger,
            server,
            self.steps,
            self.operations,
            self.creations,
            self.restores,
            self.deletions,
            self.inspections,
        )
        self.sweep_restores = SweepRestores(run.ledger, run.number, server, self.steps, self.restores, self.disk_space)
