"""Leaks are judged between two idle moments of one and the same server, and by the floor of each process's life."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snapstorm.engine import leaks
from snapstorm.engine.leaks import (
    MEMORY_BYTES_GROWTH_MAX,
    OPEN_FILES_FLOOR_GROWTH_MAX,
    OPEN_FILES_GROWTH_MAX,
    STRETCH_SAMPLES,
    Footprint,
    LeakWatch,
)
from snapstorm.model.verdict import Tally

pytestmark = pytest.mark.anyio


class Server:
    """This very process stands for the server: what it opens is what leaks."""

    unfinished_suffix = ".tmp."

    def __init__(self, directory: Path) -> None:
        self.server_pid: int | None = os.getpid()
        self.storage_directory = directory
        self.sessions = 0

    async def content_blobs(self) -> list[Any]:
        return []

    async def irregularities(self) -> list[str]:
        return []

    async def stored_snapshots(self) -> None:
        return None

    async def open_sessions(self) -> int:
        return self.sessions


@pytest.fixture
def watched(tmp_path: Path) -> tuple[LeakWatch, Server, list[str], Any]:
    reports: list[str] = []
    weather = SimpleNamespace(has_disturbed_process=False)
    run: Any = SimpleNamespace(weather=weather, tally=Tally())
    checker: Any = SimpleNamespace(report=lambda guarantee, words, **_: reports.append(words))
    server = Server(tmp_path)
    anything: Any = server
    return LeakWatch(run, anything, checker), server, reports, weather


async def test_files_that_stay_open_are_a_leak(watched: tuple[LeakWatch, Server, list[str], Any]) -> None:
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


async def test_unfinished_files_and_sessions_are_leaks(
    watched: tuple[LeakWatch, Server, list[str], Any], tmp_path: Path
) -> None:
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


@pytest.mark.parametrize("why", ["restarted", "disturbed", "gone"])
async def test_what_a_fault_or_a_restart_has_changed_is_not_judged(
    why: str, watched: tuple[LeakWatch, Server, list[str], Any]
) -> None:
    """It says nothing about leaks."""
    watch, server, reports, weather = watched
    await watch.begin()
    server.sessions = 100
    if why == "restarted":
        server.server_pid = os.getppid()
    elif why == "gone":
        server.server_pid = None
    else:
        weather.has_disturbed_process = True
    await watch.end()
    assert reports == []


class Samples:
    """What looking at the server's process shows, one value after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, watch: LeakWatch) -> None:
        self._now = Footprint(0, 0)
        self._watch = watch
        monkeypatch.setattr(leaks, "look_at_process", lambda pid: self._now)

    def take(self, *footprints: Footprint) -> None:
        for self._now in footprints:
            self._watch.sample()


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
    watched: tuple[LeakWatch, Server, list[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faults strike and nobody is ever idle: the floor of the process's life says it; peaks do not matter."""
    watch, server, reports, weather = watched
    weather.has_disturbed_process = True
    samples = Samples(monkeypatch, watch)
    idle, peak = Footprint(10, 1 << 20), Footprint(5_000, 9 << 30)
    grown = Footprint(10 + growth.open_files, (1 << 20) + growth.memory_bytes)
    samples.take(idle, *(STRETCH_SAMPLES - 1) * [peak])
    samples.take(*(STRETCH_SAMPLES - 1) * [peak], grown)
    server.server_pid = None
    await watch.end()
    assert bool(reports) == bool(complaint)
    assert all(complaint in words for words in reports if complaint)


async def test_each_process_of_the_server_is_judged_by_its_own_life(
    watched: tuple[LeakWatch, Server, list[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that leaks is found when the next one has taken its place; what one held is no measure for the next."""
    watch, server, reports, _ = watched
    samples = Samples(monkeypatch, watch)
    idle, much = Footprint(10, 1 << 20), Footprint(10_000, 1 << 20)
    samples.take(*STRETCH_SAMPLES * [idle], *STRETCH_SAMPLES * [much])
    assert reports == []
    server.server_pid = 2
    samples.take(*2 * STRETCH_SAMPLES * [much])
    assert len(reports) == 1
    assert "never fewer than 10,000 open files" in reports[0]
    server.server_pid = None
    samples.take(much)
    await watch.end()
    assert len(reports) == 1
