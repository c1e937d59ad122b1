"""One run without a harness: its context, and the parts that perform actions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstorm.actions.parts import Parts, PartsBasis
from snapstorm.faults.weather import Weather
from snapstorm.filesystem.cleaner import Cleaner
from snapstorm.filesystem.local_machine import LocalMachine
from snapstorm.filesystem.writer import TOTAL_BYTES_MAX
from snapstorm.guarantees.checker import Checker
from snapstorm.guarantees.evidence import Evidence
from snapstorm.guarantees.settings import SettingsWatch
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.events import Listener, ignore
from snapstorm.model.predicted_bugs import PredictedBug
from snapstorm.model.protocols import FileWriter, Mode, Server, Snapshotter, TargetPlace
from snapstorm.run.run_machines import RunMachines
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.meter import Meter
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.memory import MemoryTarget
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.machine_check import MachineCheck
from snapstorm.testbed.under_test import UnderTest

CLIENT = "client-1@snapstorm"
IN_MEMORY = Path(":memory:")


def new_context(
    ledger: Path = IN_MEMORY, *, seed: int = 1, clock: Clock | None = None, emit: Listener = ignore
) -> RunContext:
    """The context of the first run on a new ledger."""
    opened, clock = Ledger.open(ledger), clock or Clock()
    number = opened.begin_run(seed=seed, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
    return RunContext(number, seed, clock, clock.monotonic_seconds(), opened, Meter(clock.monotonic_seconds), emit)


class OneRun:
    """The first run on a new ledger, of the simulated target."""

    def __init__(self, scratch: Path, mode: Mode = Mode.DIRECT, known_bugs: Sequence[PredictedBug] = ()) -> None:
        self.run = new_context(scratch / "ledger.sqlite3")
        self.ledger = self.run.ledger
        self.tally = self.run.tally
        self.capabilities = MemoryTarget().capabilities
        self.place = TargetPlace("bed", scratch, FileSecretStore(scratch / "secrets.toml"), mode)
        self.place.work.mkdir()
        self.evidence = scratch / "evidence"
        cleaner = Cleaner(self.run.meter, ProcessRunner("bed"))
        self.machine = LocalMachine(self.place.work, self.capabilities, TOTAL_BYTES_MAX, cleaner)
        self._under_test = UnderTest(self.place, self.capabilities, "memory", known_bugs=known_bugs)
        self._commands = CommandLog()

    def checker(self, server: Server | None = None) -> Checker:
        """A new one, with evidence and settings of its own."""
        evidence = Evidence(self.run, self._under_test, self._commands, self.evidence, server)
        return Checker(self.run, self._under_test, evidence, SettingsWatch(self.run, server))

    def parts(self, writer: FileWriter, snapshotter: Snapshotter, server: Server) -> Parts:
        """What performs the run's actions."""
        return Parts(
            PartsBasis(
                run=self.run,
                under_test=self._under_test,
                weather=Weather(self.run.now_seconds),
                machine=MachineCheck(self.place.directory, self.place.work),
                commands=self._commands,
                checker=self.checker(server),
                writer=writer,
                snapshotter=snapshotter,
                server=server,
                machines=RunMachines(self.machine, None, server),
            )
        )
