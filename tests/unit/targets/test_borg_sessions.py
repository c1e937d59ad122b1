"""What serves connections stands still, goes on and ends with its server, although it has left its process group."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from tests.waiting import wait_until

from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.borg.sessions import Sessions, end_left_over

pytestmark = pytest.mark.anyio

SERVER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '600'], start_new_session=True)"],
                 start_new_session=True)
time.sleep(600)
"""


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a session below it, and another one below that."""
    started = subprocess.Popen([sys.executable, "-c", SERVER], process_group=0)
    try:
        wait_until(lambda: len(below(started)) == 2)
        yield started
    finally:
        for one in below(started):
            one.kill()
        started.kill()
        started.wait()


def below(server: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []


def states(processes: list[psutil.Process]) -> set[str]:
    return {one.status() for one in processes}


@pytest.fixture
async def sessions(server: subprocess.Popen[bytes]) -> AsyncIterator[Sessions]:
    async with ProcessRunner("bed") as runner:
        yield Sessions(runner, lambda: server.pid if server.poll() is None else None)


async def test_all_stand_still_and_go_on(server: subprocess.Popen[bytes], sessions: Sessions) -> None:
    """As often as one likes."""
    found = [psutil.Process(server.pid), *below(server)]
    assert sessions.count() == 1
    for _ in range(2):
        sessions.stop()
        wait_until(lambda: states(found) == {psutil.STATUS_STOPPED})
        sessions.go_on()
        wait_until(lambda: psutil.STATUS_STOPPED not in states(found))


@pytest.mark.parametrize("is_asked", [True, False])
async def test_all_end_together(server: subprocess.Popen[bytes], sessions: Sessions, is_asked: bool) -> None:
    """Those that stand still, too. How it ends shows whether it was asked to."""
    found = below(server)
    sessions.stop()
    await sessions.end_all(is_asked=is_asked)
    assert server.wait() == -(signal.SIGTERM if is_asked else signal.SIGKILL)
    wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found))
    await sessions.end_all(is_asked=is_asked)
    assert sessions.count() == 0
    with pytest.raises(ProcessLookupError):
        sessions.stop()


async def test_what_a_killed_run_has_left_is_ended(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """If it is what it was; its number may have gone to another process."""
    found, pid_file = below(server), tmp_path / "pid"
    end_left_over(pid_file, tmp_path)
    pid_file.write_text(f"{server.pid}\n")
    end_left_over(pid_file, Path("/somebody/elses"))
    assert server.poll() is None
    end_left_over(pid_file, Path("import subprocess"))
    assert server.wait() == -signal.SIGKILL
    wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found))
