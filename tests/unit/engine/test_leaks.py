"""Leaks are judged between two idle moments of one and the same server."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snapstorm.engine.leaks import OPEN_FILES_GROWTH_MAX, LeakWatch

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
    run: Any = SimpleNamespace(weather=weather)
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
