"""Leaks are judged between two idle moments of one and the same server, and by the floor of each process's life."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest
from tests.unit.one_run import new_context

from snapstorm.faults.mounts import ReadOnlyStorage
from snapstorm.faults.processes import KillMaintenance
from snapstorm.faults.weather import Weather
from snapstorm.guarantees import leaks
from snapstorm.guarantees.builtin.no_leak import (
    MEMORY_BYTES_GROWTH_MAX,
    OPEN_FILES_FLOOR_GROWTH_MAX,
    OPEN_FILES_GROWTH_MAX,
    STRETCH_SAMPLES,
)
from snapstorm.guarantees.leaks import (
    SEARCH_SECONDS,
    LeakWatch,
    ServerProcesses,
    look_at_process,
    look_at_processes,
)
from snapstorm.guarantees.panel import Panel
from snapstorm.model.seen import Footprint, Seen
from snapstorm.runtime.adoption import Adopted
from snapstorm.runtime.process import CompletedCommand
from snapstorm.testbed.command_log import CommandLog

pytestmark = pytest.mark.anyio

Watched: TypeAlias = "tuple[LeakWatch, Server, list[str], Weather]"


class Server:
    """This very process stands for the server: what it opens is what leaks."""

    unfinished_suffix = ".tmp."

    def __init__(self, directory: Path) -> None:
        self.server_pid: int | None = os.getpid()
        self.storage_directory = directory
        self.temporary_directory: Path | None = None
        self.sessions = 0
        self.holds: Footprint | None = None
        """What it shows to hold; None for what this process does."""

    def stray_files(self) -> list[Path]:
        return [path for path in self.storage_directory.iterdir() if path.name.startswith("stray")]

    async def content_blobs(self) -> list[Any]:
        return []

    async def irregularities(self) -> list[str]:
        return []

    async def stored_snapshots(self) -> None:
        return None

    async def open_sessions(self) -> int:
        return self.sessions


class Strays:
    """Stands for the runner: nothing has escaped, unless a test says so."""

    def __init__(self) -> None:
        self.found: list[Adopted] = []

    def strays(self) -> list[Adopted]:
        return list(self.found)

    async def end_strays(self, spared: Collection[Adopted]) -> list[Adopted]:
        return [one for one in self.found if one not in spared]


class Reports:
    """Stands for the checker: keeps the words of what it finds."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._panel = Panel()

    def observe(self, seen: Seen) -> None:
        self._words.extend(found.finding.detail for found in self._panel.judge(seen))


class SampledProcesses(ServerProcesses):
    """Shows what the server's process holds, or what a test has it hold."""

    def __init__(self, server: Server, now_seconds: Callable[[], float]) -> None:
        anything: Any = server
        super().__init__(anything, now_seconds)
        self._sampled = server

    def look(self, *, is_exact: bool = False) -> tuple[int, Footprint] | None:
        pid, held = self._sampled.server_pid, self._sampled.holds
        return (pid, held) if pid and held else super().look(is_exact=is_exact)


def take(watch: LeakWatch, server: Server, *footprints: Footprint) -> None:
    """Sample each of these."""
    for server.holds in footprints:
        watch.sample()


def disturb(weather: Weather) -> None:
    """Have a fault strike the server's process."""
    scene: Any = None
    weather.begin(1, ReadOnlyStorage(scene, random.Random(1)))


@pytest.fixture
def strays() -> Strays:
    return Strays()


@pytest.fixture
def watched(tmp_path: Path, strays: Strays) -> Watched:
    reports: list[str] = []
    run = new_context()
    weather = Weather(run.now_seconds)
    server = Server(tmp_path)
    anything: Any = server
    checker: Any = Reports(reports)
    processes = SampledProcesses(server, run.now_seconds)
    return LeakWatch(run, weather, CommandLog(), anything, processes, checker, strays), server, reports, weather


async def test_files_that_stay_open_are_a_leak(watched: Watched) -> None:
    """As many as are allowed are none."""
    watch, _, reports, _ = watched
    await watch.begin()
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(OPEN_FILES_GROWTH_MAX)]
    try:
        await watch.end()
        assert reports == []
        opened.append(os.open("/dev/null", os.O_RDONLY))
        await watch.end()
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert len(reports) == 1
    assert "open files" in reports[0]


async def test_what_a_killed_collection_leaves_unfinished_is_no_leak(watched: Watched, tmp_path: Path) -> None:
    """Everything else still is one."""
    watch, server, reports, weather = watched
    await watch.begin()
    scene: Any = None
    weather.begin(1, KillMaintenance(scene, random.Random(1)))
    (tmp_path / "p.tmp.1").touch()
    server.sessions = 9
    await watch.end()
    assert len(reports) == 1
    assert "sessions of writers" in reports[0]


async def test_unfinished_files_and_sessions_are_leaks(watched: Watched, tmp_path: Path) -> None:
    """Those that were there before are not this run's."""
    watch, server, reports, _ = watched
    (tmp_path / "p1.tmp.old").touch()
    await watch.begin()
    await watch.end()
    assert reports == []
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "p2.tmp.new").touch()
    server.sessions = 9
    await watch.end()
    assert [words.split(",")[0] for words in reports] == [
        "2 unfinished files in the repository when nobody works",
        "9 sessions of writers when nobody works",
    ]


def command_that_left(*names: str) -> CompletedCommand:
    return CompletedCommand(("program", "do"), {}, 0, b"", b"", 0.0, 1.0, left_files=names)


async def test_temporary_files_of_a_command_are_a_leak(watched: Watched) -> None:
    """With their names, while clients work as well as at the end. Of many such commands one is reported."""
    watch, _, reports, _ = watched
    leaving = watch._commands.leaving
    leaving.append(command_that_left("kt-1", "kt-2"))
    watch.sample()
    leaving.append(command_that_left("kt-3"))
    await watch.end()
    assert len(reports) == 1
    assert reports[0].endswith("left in its temporary directory: kt-1, kt-2")
    assert leaving == []


async def test_temporary_files_of_an_idle_server_are_a_leak(watched: Watched, tmp_path: Path) -> None:
    """Those that were there before clients worked are not this run's."""
    watch, server, reports, _ = watched
    server.temporary_directory = tmp_path / "tmp"
    server.temporary_directory.mkdir()
    (server.temporary_directory / "before").touch()
    await watch.begin()
    await watch.end()
    assert reports == []
    (server.temporary_directory / "upload-1").touch()
    await watch.end()
    assert [words.split(" when")[0] for words in reports] == ["2 temporary files of the server"]


async def test_files_that_nobody_asked_for_are_a_leak(watched: Watched, tmp_path: Path) -> None:
    """Where commands run; not those that were there before."""
    watch, _, reports, _ = watched
    (tmp_path / "stray-before").touch()
    await watch.begin()
    await watch.end()
    assert reports == []
    (tmp_path / "stray-new").touch()
    await watch.end()
    assert len(reports) == 1
    assert reports[0].endswith(f"not told to write: {tmp_path}/stray-new")


@pytest.mark.parametrize("is_disturbed", [False, True])
async def test_a_process_that_has_escaped_is_a_leak(is_disturbed: bool, watched: Watched, strays: Strays) -> None:
    """Not a helper of the server's, which was there before; nor after a fault, when the server may have a new one."""
    watch, _, reports, weather = watched
    strays.found.append(Adopted(1, 1, "helper"))
    await watch.begin()
    if is_disturbed:
        disturb(weather)
    await watch.end()
    assert reports == []
    strays.found.append(Adopted(2, 2, "daemon"))
    await watch.end()
    assert len(reports) == (0 if is_disturbed else 1)
    assert all("'daemon' (process 2)" in words and "helper" not in words for words in reports)


@pytest.mark.parametrize("why", ["restarted", "disturbed", "gone"])
async def test_what_a_fault_or_a_restart_has_changed_is_not_judged(why: str, watched: Watched) -> None:
    """It says nothing about leaks."""
    watch, server, reports, weather = watched
    await watch.begin()
    server.sessions = 100
    if why == "restarted":
        server.server_pid = os.getppid()
    elif why == "gone":
        server.server_pid = None
    else:
        disturb(weather)
    await watch.end()
    assert reports == []


@pytest.mark.parametrize(
    ("growth", "complaint"),
    [
        (Footprint(OPEN_FILES_FLOOR_GROWTH_MAX, MEMORY_BYTES_GROWTH_MAX), None),
        (Footprint(OPEN_FILES_FLOOR_GROWTH_MAX + 1, 0), "never fewer than 267 open files"),
        (Footprint(0, MEMORY_BYTES_GROWTH_MAX + 1), "bytes of memory of the server"),
    ],
)
async def test_what_is_never_let_go_of_is_a_leak_in_a_storm_too(
    growth: Footprint,
    complaint: str | None,
    watched: Watched,
) -> None:
    """Faults strike and nobody is ever idle: the floor of the process's life says it; peaks do not matter."""
    watch, server, reports, weather = watched
    disturb(weather)
    idle, peak = Footprint(10, 1 << 20), Footprint(5_000, 9 << 30)
    grown = Footprint(10 + growth.open_files, (1 << 20) + growth.memory_bytes)
    take(watch, server, idle, *(STRETCH_SAMPLES - 1) * [peak])
    take(watch, server, *(STRETCH_SAMPLES - 1) * [peak], grown)
    server.server_pid = None
    await watch.end()
    assert bool(reports) == bool(complaint)
    assert all(complaint in words for words in reports if complaint)


async def test_each_process_of_the_server_is_judged_by_its_own_life(watched: Watched) -> None:
    """One that leaks is found when the next one has taken its place; what one held is no measure for the next."""
    watch, server, reports, _ = watched
    idle, much = Footprint(10, 1 << 20), Footprint(10_000, 1 << 20)
    take(watch, server, *STRETCH_SAMPLES * [idle], *STRETCH_SAMPLES * [much])
    assert reports == []
    server.server_pid = 2
    take(watch, server, *2 * STRETCH_SAMPLES * [much])
    assert len(reports) == 1
    assert "never fewer than 10,000 open files" in reports[0]
    server.server_pid = None
    take(watch, server, much)
    await watch.end()
    assert len(reports) == 1


GROUP_SECONDS_MAX = 60
"""No process of a test outlives this."""
OPENS_AS_TOLD = f"""
import os, signal, sys
signal.alarm({GROUP_SECONDS_MAX})
with open("/proc/self/comm", "w") as file:
    file.write(sys.argv[1])
print(os.getpid(), flush=True)
held = []
for line in sys.stdin:
    held += [os.open("/dev/null", os.O_RDONLY) for _ in range(int(line))]
    print(len(held), flush=True)
"""
"""Goes by the name that it is given, opens as many files as each line says that it reads, and answers each line."""
PLAIN_WRAPPER = 'exec 3<&0; "$@" <&3 & wait'


class Group:
    """A plain wrapper, which leads a group of its own, and its child, which stands for the server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.leader = process.pid
        self.added: list[subprocess.Popen[bytes]] = []
        self._process = process
        self.child = self._answer()

    def open_files(self, count: int) -> None:
        """Have the child open that many more; returns once it has."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        self._answer()

    def add_process(self) -> None:
        """Have one more process in the group, which ends with it. Returns once it has answered: while a program starts,
        it has files open that it closes again."""
        added = subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, process_group=self.leader
        )
        self.added.append(added)
        assert added.stdin is not None
        assert added.stdout is not None
        added.stdin.write(b"ready\n")
        assert added.stdout.readline() == b"ready\n"

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def wrapped(name: str = "server") -> Iterator[Group]:
    """A group whose child goes by this name, killed behind the block."""
    argv = ["/bin/sh", "-c", PLAIN_WRAPPER, "sh", sys.executable, "-c", OPENS_AS_TOLD, name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        group = None
        try:
            group = Group(process)
            yield group
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            for added in group.added if group else ():
                added.communicate()


@pytest.mark.parametrize("name", ["server", "x) (S 1 1 1"])
async def test_what_the_child_of_a_wrapper_leaves_open_is_a_leak(name: str, watched: Watched) -> None:
    """The script around it holds nothing, and its number is the server's. Programs may be called anything."""
    watch, server, reports, _ = watched
    with wrapped(name) as group:
        assert f"({name})" in Path(f"/proc/{group.child}/stat").read_text()
        server.server_pid = group.leader
        await watch.begin()
        group.open_files(OPEN_FILES_GROWTH_MAX)
        await watch.end()
        assert reports == []
        group.open_files(1)
        await watch.end()
    assert len(reports) == 1
    assert "open files" in reports[0]


async def test_a_group_holds_what_its_processes_hold(tmp_path: Path) -> None:
    """Files and memory of all of them are summed, and nobody else's. What identifies a life is the leader."""
    server = Server(tmp_path)
    with wrapped() as other, wrapped() as group:
        other.open_files(100)
        seen = _look(server, group.leader)
        leader, child = look_at_process(group.leader), look_at_process(group.child)
    assert seen[0] == group.leader
    assert seen[1].open_files == leader.open_files + child.open_files
    assert seen[1].memory_bytes == pytest.approx(leader.memory_bytes + child.memory_bytes, rel=0.2)
    assert child.memory_bytes > leader.memory_bytes > 0


def _look(server: Server, leader: int) -> tuple[int, Footprint]:
    server.server_pid = leader
    anything: Any = server
    seen = ServerProcesses(anything, lambda: 0.0).look()
    assert seen is not None
    return seen


async def test_processes_are_searched_for_now_and_then(tmp_path: Path) -> None:
    """While clients work, every few seconds; for the exact looks, each time; and at once for a server that is new."""
    server: Any = Server(tmp_path)
    now_seconds = 0.0
    processes = ServerProcesses(server, lambda: now_seconds)

    def open_files(*, is_exact: bool = False) -> int:
        seen = processes.look(is_exact=is_exact)
        assert seen is not None
        assert seen[0] == server.server_pid
        return seen[1].open_files

    with wrapped() as other, wrapped() as group:
        server.server_pid = group.leader
        there_were = open_files()
        group.add_process()
        now_seconds = SEARCH_SECONDS - 0.1
        assert open_files() == there_were
        now_seconds = SEARCH_SECONDS
        there_are = open_files()
        assert there_are > there_were
        group.add_process()
        assert open_files() == there_are
        assert open_files(is_exact=True) > there_are
        server.server_pid = other.leader
        assert open_files() == look_at_process(other.leader).open_files + look_at_process(other.child).open_files


@pytest.mark.parametrize("error", [psutil.NoSuchProcess(2), psutil.ZombieProcess(2), psutil.AccessDenied(2)])
async def test_who_can_not_be_looked_at_is_left_out(error: psutil.Error, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has ended since it was listed, or is somebody else's. If nobody is left, there is nothing to tell."""

    def look(pid: int) -> Footprint:
        if pid == 2:
            raise error
        return Footprint(pid, 10 * pid)

    monkeypatch.setattr(leaks, "look_at_process", look)
    assert look_at_processes([1, 2, 3]) == Footprint(4, 40)
    assert look_at_processes([2]) is None


def test_a_process_that_waits_to_be_reaped_holds_nothing() -> None:
    """Only its number is left of it."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(psutil.ZombieProcess):
            look_at_process(process.pid)
