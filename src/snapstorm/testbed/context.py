"""What all parts of one run share: its number and seed, where it writes, what it counts, who watches."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snapstorm.errors import HarnessError, TargetError
from snapstorm.faults.weather import Weather
from snapstorm.ledger.evidence_directories import EvidenceKeeper
from snapstorm.ledger.ledger import CommandRow, Ledger
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.events import Event, Listener, Noted, PhaseBegan
from snapstorm.model.expectations import Expectation
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import TargetPlace
from snapstorm.model.verdict import Tally
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.machine import out_of_memory_kills
from snapstorm.runtime.meter import Meter, Work
from snapstorm.runtime.process import CompletedCommand, on_behalf_of
from snapstorm.testbed.control import Control
from snapstorm.testbed.testbed import disk_is_full

COMMANDS_BUFFERED_MAX = 64
WATCHED_SECONDS = 1.0
"""While somebody watches, commands are written after this time even if they are few."""


@dataclass
class Run:
    """One run on one testbed."""

    number: int
    seed: int
    ledger: Ledger
    place: TargetPlace
    workdir: Path
    """Where clients' data directories and restores live."""
    directory: Path
    capabilities: Capabilities
    target_versions: str
    clock: Clock
    listener: Listener
    keep_going: bool = False
    """Go on with actions after a violation."""
    is_across_versions: bool = False
    """The target is of several versions, or the testbed has been used with others."""
    fault_pace: float = 1.0
    meters_operations: bool = False
    """The target runs no processes, so that its time is that of its operations."""
    control: Control = field(default_factory=Control)
    """What those who watch ask for."""
    tally: Tally = field(default_factory=Tally)
    seconds_by_part: dict[str, float] = field(default_factory=dict)
    commands: dict[str, list[CompletedCommand]] = field(default_factory=dict)
    """By operation: the commands that operations not yet judged have run, for evidence."""
    weather: Weather = field(init=False)
    """Which faults are active."""
    meter: Meter = field(init=False)
    """Where the time goes."""
    leaving: list[CompletedCommand] = field(default_factory=list)
    """Commands that have left temporary files, and are not judged yet."""
    _unrecorded: list[CommandRow] = field(default_factory=list)
    _flushed_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.evidence = EvidenceKeeper(self.directory / "evidence")
        self.began_seconds = self.clock.monotonic_seconds()
        self.weather = Weather(self.now_seconds, self.fault_pace)
        self.meter = Meter(self.clock.monotonic_seconds)
        self.ledger.around_transaction = functools.partial(self.meter.busy, Work.LEDGER)
        self._out_of_memory_kills = out_of_memory_kills()

    def check_machine(self, error: TargetError) -> None:
        """Raise HarnessError if this failure is the machine's and not the target's: a full disk, or no memory left."""
        full = disk_is_full(self.place.directory, self.workdir)
        if full is not None:
            raise HarnessError(f"the disk of {full} is full, so the target can't be judged; free some space") from error
        if out_of_memory_kills() > self._out_of_memory_kills:
            raise HarnessError(
                "the machine ran out of memory and killed processes, so the target can't be judged; use fewer clients, "
                "smaller files, or a testbed that is not in memory"
            ) from error

    def now_seconds(self) -> float:
        """Seconds since the run began."""
        return self.clock.monotonic_seconds() - self.began_seconds

    def emit(self, event: Event) -> None:
        """Tell those who watch."""
        self.listener(event)

    def note(self, words: str) -> None:
        """Tell those who watch, and those who read the summary."""
        self.tally.notes.append(words)
        self.emit(Noted(words))

    def note_refusal(self, error: TargetError) -> None:
        """Count that a version was refused by design, and note the first in words."""
        self.tally.refused_by_design += 1
        if self.tally.refused_by_design == 1:
            self.note(f"refused by design, which violates nothing: {error}")

    def note_tainted(self, expectation: Expectation) -> None:
        """Count a snapshot that was taken while storage was damaged and can't be restored, and note the first."""
        self.tally.tainted_lost += 1
        if self.tally.tainted_lost == 1:
            self.note(
                f"snapshot {expectation.snapshot}, taken while storage was damaged, can't be restored: it refers to "
                "what was lost before it was taken; that is counted apart"
            )

    @contextmanager
    def part(self, name: str, words: str) -> Iterator[None]:
        """A part of the run, named in progress and timed under `name` in the summary."""
        self.emit(PhaseBegan(words))
        began = self.clock.monotonic_seconds()
        try:
            yield
        finally:
            seconds = self.clock.monotonic_seconds() - began
            self.seconds_by_part[name] = self.seconds_by_part.get(name, 0.0) + seconds

    def on_command(self, command: CompletedCommand) -> None:
        """Remember a finished command: for evidence while its operation is judged, and in the ledger for replay."""
        operation = on_behalf_of.get()
        if operation is not None:
            self.commands.setdefault(operation, []).append(command)
        if command.left_files:
            self.leaving.append(command)
        self._unrecorded.append(
            CommandRow(
                run=self.number,
                operation=operation,
                argv=json.dumps(command.argv),
                began_seconds=command.began_seconds - self.began_seconds,
                seconds=command.seconds,
                exit_code=command.exit_code,
                timed_out=command.timed_out,
                directory=None if command.cwd is None else path_as_text(command.cwd),
            )
        )
        is_waited_for = self.control.is_watched and self.now_seconds() - self._flushed_seconds > WATCHED_SECONDS
        if is_waited_for or len(self._unrecorded) >= COMMANDS_BUFFERED_MAX:
            self.flush_commands()

    def flush_commands(self) -> None:
        """Write the remembered commands to the ledger. Together, because a commit for each would cost more than it
        is worth: they are for replay and benchmarks, no verdict rests on them."""
        commands, self._unrecorded = self._unrecorded, []
        self._flushed_seconds = self.now_seconds()
        if commands:
            self.ledger.add_commands(commands)
