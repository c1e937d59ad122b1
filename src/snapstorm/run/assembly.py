"""The assembly of a run: all its parts, each made once, of what was opened for it."""

from __future__ import annotations

from snapstorm.actions.multiclient import MultiClientFileWriter, MultiClientSnapshotter
from snapstorm.actions.parts import Parts, PartsBasis
from snapstorm.actions.storage_growth import StorageGrowth
from snapstorm.faults.fault import Scene
from snapstorm.faults.weather import Weather
from snapstorm.filesystem.cleaner import Cleaner
from snapstorm.filesystem.local_machine import LocalMachine
from snapstorm.guarantees.access_checks import AccessChecks
from snapstorm.guarantees.checker import Checker
from snapstorm.guarantees.evidence import Evidence
from snapstorm.guarantees.layout import LayoutCheck
from snapstorm.guarantees.leaks import LeakWatch, ServerProcesses
from snapstorm.guarantees.settings import SettingsWatch
from snapstorm.model.abilities import Routed
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import FileWriter
from snapstorm.run.admission import Admission
from snapstorm.run.aftermath import Aftermath
from snapstorm.run.fault_judge import FaultJudge
from snapstorm.run.finish import Finisher
from snapstorm.run.hangs import Hangs
from snapstorm.run.measurements import Measurements
from snapstorm.run.opened_run import OpenedRun
from snapstorm.run.permissions import Rights
from snapstorm.run.run_machines import RunMachines, StraysEverywhere, why_only_here
from snapstorm.run.storm import storm_for
from snapstorm.run.sweep import Sweeper
from snapstorm.runtime.meter import Work
from snapstorm.testbed.control import Steering
from snapstorm.testbed.machine_check import MachineCheck


class RunParts:
    """All parts of one run."""

    def __init__(self, opened: OpenedRun) -> None:
        """Raises HarnessError for a fault that was asked for and is not possible, and for an action that nothing
        performs."""
        run, server, under_test, options = opened.run, opened.server, opened.under_test, opened.options
        place, commands = under_test.place, opened.commands
        self._opened = opened
        self.cleaner = Cleaner(run.meter, opened.processes)
        local = LocalMachine(place.work, under_test.capabilities, options.data_bytes_max, self.cleaner)
        self.machines = RunMachines(local, opened.keeper, server, place.route, run.meter.busy[Work.TARGET])
        if opened.keeper is not None and (why := why_only_here(server)):
            run.note(f"only the files of clients are on other machines, and clients ask from this process: {why}")
        self.snapshotter = MultiClientSnapshotter(server, self.machines.open_client)
        self.writer = MultiClientFileWriter(self._open_writer)
        weather = Weather(run.now_seconds, options.fault_pace)
        machine = MachineCheck(place.directory, place.work, check_storage=opened.storage.check)
        self.settings = SettingsWatch(run, server)
        evidence = Evidence(run, under_test, commands, opened.testbed.run_directory(run.number) / "evidence", server)
        checker = Checker(run, under_test, evidence, self.settings)
        self.acting = acting = Parts(
            PartsBasis(
                run=run,
                under_test=under_test,
                weather=weather,
                machine=machine,
                commands=commands,
                checker=checker,
                writer=self.writer,
                snapshotter=self.snapshotter,
                server=server,
                machines=self.machines,
                repository_bytes_max=options.repository_bytes_max,
            )
        )
        own = acting.own_operations
        self.rights = Rights(run, own, acting.refusals, checker)
        self.admission = Admission(run, opened.phases, self.snapshotter, self.writer, self.settings, self.rights)
        self.connected = self.admission.connected
        access = AccessChecks(run, weather, machine, checker)
        self.hangs = Hangs(run, acting.operations, acting.engine)
        self.finisher = Finisher(machine, own, self.snapshotter, server, checker, access, self.hangs)
        self.sweeper = Sweeper(run, server, acting.steps, acting.restores, acting.disk_space, self.hangs)
        self.aftermath = Aftermath(run, weather, acting.engine, own, server, checker, self.hangs)
        server_processes = ServerProcesses(server, run.now_seconds)
        strays = StraysEverywhere(opened.processes, self.machines.others)
        self.leaks = LeakWatch(run, weather, commands, server, server_processes, checker, strays)
        self.measurements = Measurements(
            run, place, server, server_processes, self.connected, opened.storage.held_bytes
        )
        self.storage_growth = StorageGrowth(
            run,
            server,
            acting.steps,
            acting.operations,
            checker,
            held_bytes=opened.storage.unlocked_bytes,
            is_exclusive=place.is_exclusive,
        )
        self.layout = LayoutCheck(run.ledger, place, machine, server, checker)
        self.steering = Steering(run, opened.control, keep_going=options.keep_going)
        scene = Scene(
            server=server,
            clients=self.connected,
            processes=opened.processes,
            directory=opened.testbed.directory / "faults",
            in_flight=acting.operations.in_flight,
            judge=FaultJudge(run, weather, own, self.snapshotter, access, checker),
            clock=run.clock,
            machines=opened.keeper,
            network_path=opened.network_path if isinstance(server, Routed) and server.is_routed else None,
            is_calm_awaited=lambda: weather.is_calm_awaited,
            gateway=opened.storage.gateway,
        )
        self.storm = storm_for(options, run, weather, self.steering, opened.control, scene)

    async def _open_writer(self, client: str) -> FileWriter:
        machine = self.machines.of(client)
        source = path_as_text(machine.directory(client) / "data")
        # So that a run does not begin with reading gigabytes. What a snapshot must be is always read anew.
        return await machine.open_writer(client, self._opened.run.ledger.latest_manifest(client, source))
