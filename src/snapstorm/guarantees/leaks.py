"""Leaks: what the server's processes hold, sampled through the run, and when nobody works; and what commands leave
behind. `builtin.no_leak` judges it.

A server may be a script around the program that serves. So what it holds is the sum over all processes of its group,
and its life is that of the group's leader.
"""

from __future__ import annotations

# psutil takes 9 ms to import (measured), which the help of commands need not wait for.
# ruff: noqa: PLC0415
import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from snapstorm.faults.weather import Weather
from snapstorm.guarantees.checker import Checker
from snapstorm.model.abilities import InProcess, KeepsTemporaryFiles, KeepsToItsPlaces, ShowsLayout, StoredInFiles
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import Server
from snapstorm.model.seen import (
    Footprint,
    IdleSeen,
    IdleUsage,
    LeftBehind,
    LeftBehindSeen,
    SampleSeen,
    SamplesEndSeen,
)
from snapstorm.runtime.adoption import Adopted
from snapstorm.runtime.threads import run_file_work
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext

SAMPLE_SECONDS = 0.5
SEARCH_SECONDS = 5.0
"""How long the processes of a group are taken for known: to search for them takes two milliseconds for each thousand
processes of the machine (measured)."""


class ServerProcesses:
    """Looks at all processes of a server, if it is one of our own on Linux. They are searched for only now and then."""

    def __init__(self, server: Server, now_seconds: Callable[[], float]) -> None:
        self._server = server
        self._now_seconds = now_seconds
        self._leader: int | None = None
        self._others: list[int] = []
        """The other members of the leader's group, at the last search."""
        self._searched_seconds = 0.0

    def look(self, *, is_exact: bool = False) -> tuple[int, Footprint] | None:
        """The leader of the server's processes and what they hold together; None if there are none of ours, or no way
        to look. `is_exact`: with those that have begun only just now."""
        leader = self._server.server_pid if isinstance(self._server, InProcess) else None
        if leader is None:
            return None
        held = look_at_processes([leader, *self._others_of(leader, is_exact=is_exact)])
        return None if held is None else (leader, held)

    def _others_of(self, leader: int, *, is_exact: bool) -> list[int]:
        import psutil

        now_seconds = self._now_seconds()
        if is_exact or leader != self._leader or now_seconds - self._searched_seconds >= SEARCH_SECONDS:
            self._leader, self._searched_seconds = leader, now_seconds
            self._others = [pid for pid in psutil.pids() if pid != leader]
        # Asked for each time: the number of one that has ended may have gone to another.
        self._others = [pid for pid in self._others if _group_of(pid) == leader]
        return self._others


class FindsStrays(Protocol):
    """Knows the processes that have left their groups: see `ProcessRunner`."""

    def strays(self) -> Sequence[Adopted]: ...

    async def end_strays(self, spared: Collection[Adopted]) -> Sequence[object]:
        """Those that were ended. Each says in words what it was."""
        ...


class LeakWatch:
    """Looks at one run's server, if it is a process of our own on Linux."""

    def __init__(
        self,
        run: RunContext,
        weather: Weather,
        commands: CommandLog,
        server: Server,
        processes: ServerProcesses,
        checker: Checker,
        runner: FindsStrays,
    ) -> None:
        self._run = run
        self._weather = weather
        self._commands = commands
        self._server = server
        self._processes = processes
        self._checker = checker
        self._runner = runner
        self._first: IdleUsage | None = None
        self._servers_own: Sequence[Adopted] = ()
        """Strays that were there before clients worked: a server may keep helpers."""
        self._first_stray_files: frozenset[Path] = frozenset()
        self._searched_seconds = 0.0

    async def watch(self) -> None:
        """Sample, until cancelled. A process that has ended is judged when the next one is seen, the last by `end`."""
        while True:
            self.sample()
            await self._run.clock.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Look once, while clients work."""
        self.judge_commands()
        if self._run.now_seconds() - self._searched_seconds >= SEARCH_SECONDS:
            self._searched_seconds = self._run.now_seconds()
            self._runner.strays()  # Reaps those that have ended. What still runs is judged when nobody works.
        seen = self._processes.look()
        if seen is None:
            return
        pid, footprint = seen
        self._checker.observe(SampleSeen(pid=pid, footprint=footprint))
        self._run.tally.server_max = _each_of(max, [Footprint(*self._run.tally.server_max), footprint])

    async def begin(self) -> None:
        """Look for the first time, before clients work."""
        self._servers_own = self._runner.strays()
        self._first_stray_files = self._stray_files()
        self._first = await self._look()

    async def end(self) -> None:
        """Look again, after they have worked, and judge. What a restart or a fault has changed is judged by the floor
        alone."""
        self._checker.observe(SamplesEndSeen())
        self.judge_commands()
        self._judge_stray_files()
        await self._judge_strays()
        last, first = await self._look(), self._first
        if last is None or first is None or last.pid != first.pid or self._weather.has_disturbed_process:
            return
        if self._weather.has_left_unfinished_files:
            last = replace(last, unfinished_files=first.unfinished_files)
        self._checker.observe(IdleSeen(first=first, last=last))

    async def _look(self) -> IdleUsage | None:
        seen = self._processes.look(is_exact=True)
        if seen is None:
            return None
        pid, footprint = seen
        unfinished = 0
        if isinstance(self._server, StoredInFiles) and self._server.storage_directory is not None:
            unfinished = await run_file_work(
                count_unfinished, self._server.storage_directory, self._server.unfinished_suffix
            )
        sessions = await self._server.open_sessions() if isinstance(self._server, ShowsLayout) else None
        return IdleUsage(pid, *footprint, unfinished, self._count_temporary_files(), sessions or 0)

    def _count_temporary_files(self) -> int:
        place = self._server.temporary_directory if isinstance(self._server, KeepsTemporaryFiles) else None
        with contextlib.suppress(OSError):
            return 0 if place is None else len(os.listdir(place))
        return 0

    def judge_commands(self) -> None:
        """Judge what commands have left in their temporary directories: nothing, unless a signal ended them."""
        while self._commands.leaving:
            command = self._commands.leaving.pop()
            shown = " ".join(command.argv)
            self._leave_behind(LeftBehind.BY_COMMAND, command.left_files, command=shown)

    def _leave_behind(self, kind: LeftBehind, names: Sequence[str], command: str | None = None) -> None:
        self._checker.observe(LeftBehindSeen(kind=kind, names=names, command=command))

    def _stray_files(self) -> frozenset[Path]:
        with contextlib.suppress(OSError):
            return frozenset(self._server.stray_files() if isinstance(self._server, KeepsToItsPlaces) else ())
        return frozenset()

    def _judge_stray_files(self) -> None:
        """Judge files in the directories where commands run that were not there before clients worked, and that no
        command was told to write."""
        found = sorted(self._stray_files() - self._first_stray_files)
        self._leave_behind(LeftBehind.BESIDE_COMMANDS, [path_as_text(path) for path in found])

    async def _judge_strays(self) -> None:
        """End what has escaped from commands that have ended, and judge it: nothing may have, unless it ends by itself
        soon. A server that was started anew may have helpers that are new, too; these end with the run."""
        if self._weather.has_disturbed_process:
            return
        escaped = await self._runner.end_strays(self._servers_own)
        self._leave_behind(LeftBehind.PROCESSES, [str(one) for one in escaped])


def look_at_process(pid: int) -> Footprint:
    """How many files a process has open, and how many bytes of memory it holds. Raises psutil.Error if it has ended, or
    is somebody else's."""
    import psutil

    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.ZombieProcess(pid)
    return Footprint(process.num_fds(), process.memory_info().rss)


def look_at_processes(pids: Iterable[int]) -> Footprint | None:
    """What these processes hold together, without those that can't be looked at: they have ended since they were
    listed, or are somebody else's. None if none is left."""
    import psutil

    seen: list[Footprint] = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            seen.append(look_at_process(pid))
    return _each_of(sum, seen) if seen else None


def _group_of(pid: int) -> int | None:
    """The group of a process; None if it has ended.

    The kernel is asked: it takes an eighth of the time of reading /proc/PID/stat (measured), where the program's name,
    which may hold spaces and brackets, stands before the group.
    """
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _each_of(choose: Callable[[Iterable[int]], int], samples: Sequence[Footprint]) -> Footprint:
    """The least, the greatest, or the sum of each kind."""
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
