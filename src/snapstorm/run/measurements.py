"""Measuring through a run, for reports: what processes hold, and how large repository, caches and logs are.

It must cost the run nothing that can be seen: looking at processes takes a fraction of a millisecond, directories are
walked when nobody waits for work on files and for a hundredth of the time at most, and what was measured is written
together every few seconds.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snapstorm.filesystem.scanner import bytes_below
from snapstorm.guarantees.leaks import ServerProcesses, look_at_process
from snapstorm.ledger.samples import Quantity, Sample
from snapstorm.model.abilities import StoredInFiles
from snapstorm.model.events import Measured
from snapstorm.model.protocols import Server, TargetPlace
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import Urgency, run_file_work
from snapstorm.testbed.context import RunContext

PROCESS_SECONDS = 1.0
DIRECTORY_SECONDS = 10.0
FIRST_WALK_SECONDS = 1.0
"""Not at once, when every client begins."""
WALK_SHARE_MAX = 0.01
"""Of the time in which directories are walked."""
WRITE_SECONDS = 5.0
STRETCH_SAMPLES = 60
"""After so many the distance between measurements doubles: a day has some hundred of each quantity."""


@dataclass
class Pace:
    """How far apart measurements are: twice as far after each stretch, so that a long run has hardly more of them."""

    seconds: float
    _taken: int = 0

    def next_seconds(self) -> float:
        """How long to wait for the next one."""
        self._taken += 1
        if self._taken % STRETCH_SAMPLES == 0:
            self.seconds *= 2
        return self.seconds


class Measurements:
    """Measures one run while its clients work. A repository that is on S3 or somebody else's is left alone."""

    def __init__(
        self,
        run: RunContext,
        place: TargetPlace,
        server: Server,
        processes: ServerProcesses,
        clients: Sequence[str],
        storage_bytes: Callable[[], int] | None = None,
    ) -> None:
        """`storage_bytes`: how much the gateway holds, if the repository is behind it."""
        self._run = run
        self._place = place
        self._server = server
        self._processes = processes
        self._clients = clients
        """Whose caches and logs are measured. Grows while clients connect."""
        self._storage_bytes = storage_bytes
        self._unwritten: list[Sample] = []
        self._written_seconds = 0.0

    async def record(self) -> None:
        """Measure, until cancelled."""
        self._written_seconds = self._run.now_seconds()
        try:
            await together([self._watch_processes, self._watch_directories])
        finally:
            self.look_at_processes()
            self._write()

    async def _watch_processes(self) -> None:
        pace = Pace(PROCESS_SECONDS)
        while True:
            self.look_at_processes()
            if self._run.now_seconds() - self._written_seconds >= WRITE_SECONDS:
                self._write()
            await self._run.clock.sleep(pace.next_seconds())

    async def _watch_directories(self) -> None:
        pace = Pace(DIRECTORY_SECONDS)
        await self._run.clock.sleep(FIRST_WALK_SECONDS)
        while True:
            began = self._run.now_seconds()
            await self.look_at_directories()
            took_seconds = self._run.now_seconds() - began
            await self._run.clock.sleep(max(pace.next_seconds(), took_seconds / WALK_SHARE_MAX))

    def look_at_processes(self) -> None:
        """Look once at the processes of the server, if it is one of our own, and at this one."""
        self._add(Quantity.OWN_MEMORY_BYTES, look_at_process(os.getpid()).memory_bytes)
        seen = self._processes.look()
        if seen is not None:
            _, held = seen
            self._add(Quantity.SERVER_OPEN_FILES, held.open_files)
            self._add(Quantity.SERVER_MEMORY_BYTES, held.memory_bytes)

    async def look_at_directories(self) -> None:
        """Walk once through repository, caches and logs, as far as they are on this machine."""
        for quantity, directories in self._directories().items():
            measure = functools.partial(_bytes_of_all, directories)
            size_bytes = await run_file_work(measure, urgency=Urgency.NOBODY_WAITS)
            if size_bytes is not None:
                self._add(quantity, size_bytes)

    async def look_at_storage(self) -> None:
        """Look once at how much the gateway keeps, if the repository is behind it."""
        if self._storage_bytes is not None:
            self._add(Quantity.REPOSITORY_BYTES, await run_file_work(self._storage_bytes))

    def _directories(self) -> dict[Quantity, list[Path]]:
        place = self._place
        actors = [place.server, *(place.client(client) for client in self._clients)]
        repository = self._server.storage_directory if isinstance(self._server, StoredInFiles) else None
        return {
            **({} if repository is None else {Quantity.REPOSITORY_BYTES: [repository]}),
            Quantity.CACHE_BYTES: [actor / "cache" for actor in actors],
            Quantity.LOG_BYTES: [actor / "logs" for actor in actors],
        }

    def _add(self, quantity: Quantity, value: float) -> None:
        self._unwritten.append(Sample(round(self._run.now_seconds(), 3), quantity.value, value))
        self._run.emit(Measured(quantity.value, value))

    def _write(self) -> None:
        samples, self._unwritten = self._unwritten, []
        self._written_seconds = self._run.now_seconds()
        if samples:
            self._run.ledger.add_samples(self._run.number, samples)


def _bytes_of_all(directories: Sequence[Path]) -> int | None:
    """The sizes of all files below them, summed; None if one of them can't be read, as while a fault lasts."""
    try:
        return sum(map(bytes_below, directories))
    except OSError:
        return None
