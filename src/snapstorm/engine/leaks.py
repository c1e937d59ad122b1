"""Leaks: what the server's process holds, sampled through the run, and when nobody works.

Two things are judged. What is held when nobody works, at the end against the beginning: exact, but only for a server
that no fault has touched. And the *floor*: the least that each process of the server has held in the first and in the
last stretch of its life. A busy server holds more at one moment than at another; what it never lets go of raises the
floor, and that also shows where faults end servers and nobody is ever idle.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import anyio

from snapstorm.engine.checker import Checker
from snapstorm.engine.run import Run
from snapstorm.model.abilities import InProcess, ShowsLayout, StoredInFiles
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import Server
from snapstorm.runtime.threads import run_file_work

OPEN_FILES_GROWTH_MAX = 64
"""A healthy server holds 10 when idle, with one client or many (Kopia 0.22.3 and 0.23.1, measured); one that leaks
(#4866) holds one more for each snapshot."""
MEMORY_BYTES_GROWTH_MAX = 2 << 30
"""Caches are meant to grow. More than this is no cache."""
SESSIONS_GROWTH_MAX = 8
"""The server itself may hold one; a killed one leaves it behind, and is not judged."""
OPEN_FILES_FLOOR_GROWTH_MAX = 256
"""Under load, and with faults that leave connections behind which a server gives up only after minutes."""
SAMPLE_SECONDS = 0.5
STRETCH_SAMPLES = 20
_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """What is held at one moment at which nobody works."""

    pid: int
    open_files: int
    memory_bytes: int
    unfinished_files: int
    """Files of the repository that are not finished, though nobody writes."""
    sessions: int
    """Writers that seem to be at work, though nobody is."""


class Footprint(NamedTuple):
    """What a process holds at one moment."""

    open_files: int
    memory_bytes: int


@dataclass
class Life:
    """The samples of one process, of which only the least of the first and of the last stretch are kept."""

    pid: int
    first: Footprint | None = None
    """The floor of its first stretch, once that is over."""
    last: Footprint | None = None
    """The floor of the last stretch that is over."""
    _stretch: list[Footprint] = field(default_factory=list)

    def add(self, sample: Footprint) -> None:
        """Take one more sample."""
        self._stretch.append(sample)
        if len(self._stretch) == STRETCH_SAMPLES:
            self.last = _each_of(min, self._stretch)
            self.first = self.first or self.last
            self._stretch.clear()

    def growth(self) -> Iterator[tuple[str, int, int, int]]:
        """What is held, the floor of the first and of the last stretch, and how much it may have grown."""
        if self.first is not None and self.last is not None:
            first, last = self.first, self.last
            yield "open files of the server", first.open_files, last.open_files, OPEN_FILES_FLOOR_GROWTH_MAX
            yield "bytes of memory of the server", first.memory_bytes, last.memory_bytes, MEMORY_BYTES_GROWTH_MAX


class LeakWatch:
    """Looks at one run's server, if it is a process of our own on Linux."""

    def __init__(self, run: Run, server: Server, checker: Checker) -> None:
        self._run = run
        self._server = server
        self._checker = checker
        self._first: Held | None = None
        self._life: Life | None = None

    async def watch(self) -> None:
        """Sample, until cancelled. A process that has ended is judged when the next one is seen, the last by `end`."""
        while True:
            self.sample()
            await anyio.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Look once, while clients work."""
        seen = self._look_at_server()
        if seen is None:
            return
        pid, footprint = seen
        if self._life is None or self._life.pid != pid:
            self._judge_life()
            self._life = Life(pid)
        self._life.add(footprint)
        self._run.tally.server_max = _each_of(max, [Footprint(*self._run.tally.server_max), footprint])

    def _look_at_server(self) -> tuple[int, Footprint] | None:
        """The server's process and what it holds; None if there is none of ours, or no way to look."""
        pid = self._server.server_pid if isinstance(self._server, InProcess) else None
        if pid is None:
            return None
        try:
            return pid, look_at_process(pid)
        except OSError:
            return None  # Ended, or no /proc here.

    def _judge_life(self) -> None:
        for what, before, now, growth_max in self._life.growth() if self._life else ():
            if now - before > growth_max:
                self._checker.report(
                    Guarantee.NO_LEAK,
                    f"never fewer than {now:,} {what} while clients worked, {before:,} when its process was new; at "
                    f"most {growth_max:,} more are allowed",
                    fingerprint=what,
                )

    async def begin(self) -> None:
        """Look for the first time, before clients work."""
        self._first = await self._look()

    async def end(self) -> None:
        """Look again, after they have worked, and judge. What a restart or a fault has changed is judged by the floor
        alone."""
        self._judge_life()
        last, first = await self._look(), self._first
        if last is None or first is None or last.pid != first.pid or self._run.weather.has_disturbed_process:
            return
        for what, before, now, growth_max in (
            ("open files of the server", first.open_files, last.open_files, OPEN_FILES_GROWTH_MAX),
            ("bytes of memory of the server", first.memory_bytes, last.memory_bytes, MEMORY_BYTES_GROWTH_MAX),
            ("unfinished files in the repository", first.unfinished_files, last.unfinished_files, 0),
            ("sessions of writers", first.sessions, last.sessions, SESSIONS_GROWTH_MAX),
        ):
            if now - before > growth_max:
                self._checker.report(
                    Guarantee.NO_LEAK,
                    f"{now:,} {what} when nobody works, {before:,} at the beginning of the run; at most "
                    f"{growth_max:,} more are allowed",
                    fingerprint=what,
                )

    async def _look(self) -> Held | None:
        seen = self._look_at_server()
        if seen is None:
            return None
        pid, footprint = seen
        unfinished = 0
        if isinstance(self._server, StoredInFiles) and self._server.storage_directory is not None:
            unfinished = await run_file_work(
                count_unfinished, self._server.storage_directory, self._server.unfinished_suffix
            )
        sessions = await self._server.open_sessions() if isinstance(self._server, ShowsLayout) else None
        return Held(pid, *footprint, unfinished, sessions or 0)


def look_at_process(pid: int) -> Footprint:
    """How many files a process has open, and how many bytes of memory it holds. Raises OSError if it has gone."""
    resident = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace"))
    return Footprint(len(os.listdir(f"/proc/{pid}/fd")), int(resident[1]) * 1024 if resident else 0)


def _each_of(choose: Callable[[Iterable[int]], int], samples: Sequence[Footprint]) -> Footprint:
    """The least, or the greatest, of each kind."""
    return Footprint(choose(sample.open_files for sample in samples), choose(sample.memory_bytes for sample in samples))


def count_unfinished(directory: Path, suffix: str) -> int:
    """How many files below a directory have this in their names, which marks those that are not finished."""
    count = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                count += count_unfinished(directory / entry.name, suffix)
            else:
                count += suffix in entry.name
    return count
