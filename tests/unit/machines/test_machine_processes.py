"""Machines as processes: killed, stopped, orphaned. Whatever ends, nothing is left running and nothing is believed
that is late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from tests.unit.machines.one_hub import CHILD, ECHO, STOP, Scene, a_hub
from tests.waiting import until

from snapstorm.errors import HarnessError, MachineLost
from snapstorm.machines.health import HEALTH, HealthQuery
from snapstorm.machines.hub import HubSettings, open_hub
from snapstorm.machines.join_file import make_credentials
from snapstorm.machines.local_machines import local_machines
from snapstorm.machines.services import Method
from snapstorm.runtime.process import ProcessRunner

pytestmark = pytest.mark.anyio
SECONDS = 900.0
ROOT = Path(__file__).parent.parent.parent.parent


@contextmanager
def a_program(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of this folder, which ends with the block."""
    words = [sys.executable, "-m", f"tests.unit.machines.{name}", *arguments]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def a_machine(address: str, join_file: Path, name: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return a_program("host_program", address, str(join_file), name, str(join_file.parent / f"host-{name}"))


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def lost(scene: Scene, method: Method[str, Any], path: Path, words: list[str]) -> None:
    """Call a method while the machine is lost, and note what this raises."""
    with pytest.raises(MachineLost) as raised:
        await scene.hub.ask("b", method, str(path), SECONDS)
    words.append(str(raised.value))


async def test_a_killed_machine_is_lost_at_once_and_its_children_end(scratch: Path) -> None:
    """By the watchdog of the machine's own runner; the machine can come back."""
    words: list[str] = []
    child = scratch / "child"
    async with a_hub(scratch) as scene:
        with a_machine(scene.hub.address, scene.join_file, "b") as process:
            await scene.hub.wait_for(1, SECONDS)
            async with anyio.create_task_group() as group:
                group.start_soon(lost, scene, CHILD, child, words)
                await until(child.exists)
                process.kill()
            assert words == ["the machine b was lost: its connection has ended"]
            await until(lambda: is_gone(int(child.read_text())))
        with a_machine(scene.hub.address, scene.join_file, "b"):
            await scene.hub.wait_for(1, SECONDS)
            assert await scene.hub.ask("b", ECHO, b"back", SECONDS) == b"back"


async def test_a_stopped_machine_is_lost_and_what_it_answers_later_settles_nothing(scratch: Path) -> None:
    """It finds that it was given up, and ends with its children."""
    words: list[str] = []
    child, stopped = scratch / "child", scratch / "stopped"
    async with a_hub(scratch, lost_after_seconds=1.0) as scene:
        with a_machine(scene.hub.address, scene.join_file, "b") as process:
            await scene.hub.wait_for(1, SECONDS)
            async with anyio.create_task_group() as group:
                group.start_soon(lost, scene, CHILD, child, words)
                await until(child.exists)
                group.start_soon(lost, scene, STOP, stopped, words)
            assert words == ["the machine b was lost: nothing was heard of it for 1 s"] * 2
            assert not is_gone(int(child.read_text()))
            process.send_signal(signal.SIGCONT)
            await until(lambda: process.poll() is not None)
            assert process.stdout is not None
            given_up = "the coordinator has given this machine up: nothing was heard of it for 1 s\n"
            assert process.stdout.read() == given_up
            assert is_gone(int(child.read_text()))
            await until(lambda: scene.hub.late_answers)
            assert (scene.hub.late_answers, scene.hub.machines) == (1, {})


async def test_a_machine_ends_with_its_children_when_the_coordinator_is_killed(scratch: Path) -> None:
    """It has a call in hand that nobody will ever hear of."""
    with a_program("hub_program", str(scratch)) as coordinator:
        assert coordinator.stdout is not None
        address = coordinator.stdout.readline().strip()
        with a_machine(address, scratch / "join.pem", "b") as process:
            await until((scratch / "child").exists)
            coordinator.kill()
            await until(lambda: process.poll() is not None)
            assert process.stdout is not None
            assert process.stdout.read() == "the coordinator is gone: its connection has ended\n"
            assert is_gone(int((scratch / "child").read_text()))


async def test_nothing_of_a_machine_or_a_hub_listens_beyond_loopback(scratch: Path) -> None:
    """Nor by HTTP at all; and a machine that is told to end leaves nothing."""
    async with a_hub(scratch) as scene:
        with a_machine(scene.hub.address, scene.join_file, "b") as process:
            await scene.hub.wait_for(1, SECONDS)
            for pid in (process.pid, os.getpid()):
                listening = [one.laddr for one in psutil.Process(pid).net_connections() if one.status == "LISTEN"]
                assert [place.ip.split(".")[0] for place in listening] == ["127"]
            process.terminate()
            await until(lambda: scene.lost() == [("b", "its connection has ended")])


async def test_local_machines_join_work_come_back_and_leave_with_the_run(scratch: Path) -> None:
    """As processes of the command itself."""
    credentials = make_credentials(scratch / "machines")
    async with ProcessRunner("machine-test") as runner, open_hub(credentials, HubSettings()) as hub:
        async with local_machines(hub, runner, scratch / "machines" / "join.pem", scratch / "local", 2) as machines:
            pids = {name: machines.pid(name) for name in ("local-1", "local-2")}
            for name, pid in pids.items():
                assert (await hub.ask(name, HEALTH, HealthQuery(), SECONDS)).pid == pid
            os.kill(pids["local-2"], signal.SIGKILL)
            await until(lambda: list(hub.machines) == ["local-1"])
            await machines.start("local-2")
            await hub.wait_for(2, SECONDS)
            assert (await hub.ask("local-2", HEALTH, HealthQuery(), SECONDS)).pid == machines.pid("local-2")
            pids["local-2"] = machines.pid("local-2")
        assert all(is_gone(pid) for pid in pids.values())
        assert (scratch / "local" / "local-1.log").read_text() == "local-1: the run is over\n"


async def test_a_local_machine_that_ends_at_once_is_told(scratch: Path) -> None:
    """By its last words, without waiting for it."""
    credentials = make_credentials(scratch / "machines")
    (scratch / "local" / "local-1").mkdir(parents=True)
    (scratch / "local" / "local-1" / "photos").touch()
    async with ProcessRunner("machine-test") as runner, open_hub(credentials, HubSettings()) as hub:
        with pytest.raises(HarnessError, match="local-1 has ended: snapstorm: the work directory .* is not empty"):
            async with local_machines(hub, runner, scratch / "machines" / "join.pem", scratch / "local", 1):
                pass


def test_a_machine_whose_run_does_not_answer_says_so_and_ends(scratch: Path) -> None:
    """With the exit status of the environment; and every bad input is one line."""
    make_credentials(scratch)
    join = str(scratch / "join.pem")
    (scratch / "expired").mkdir()
    make_credentials(scratch / "expired", days=-0.1)
    typed = [
        (["tls://127.0.0.1:1", "--join", str(scratch / "expired" / "join.pem")], 3, "was valid until"),
        (["tcp://127.0.0.1:1", "--join", join], 2, "is tls://HOST:PORT, not"),
        (["tls://127.0.0.1:1", "--join", str(scratch / "nowhere")], 2, "can't be read: No such file"),
    ]
    for words, status, line in typed:
        argv = [sys.executable, "-m", "snapstorm", "machine", *words, "--workdir", str(scratch / "work")]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (status, "", 1), ended
        assert line in ended.stderr
    assert not (scratch / "work").exists()


async def test_a_machine_that_is_refused_ends_with_the_status_of_the_environment(scratch: Path) -> None:
    """One line; nothing is left running."""
    async with a_hub(scratch, program="a") as scene:
        words = [sys.executable, "-m", "snapstorm", "machine", scene.hub.address, "--join", str(scene.join_file)]
        ended = await anyio.run_process([*words, "--workdir", str(scratch / "work"), "--name", "b"], check=False)
        line = b"snapstorm: not admitted to the run: program is nothing there and a at the coordinator\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"", line)
        await until(scene.refused)


def test_a_machine_is_checked_without_a_run(scratch: Path) -> None:
    """What is there and what is missing, one line each."""
    argv = [sys.executable, "-m", "snapstorm", "machine", "--check", "--workdir", str(scratch / "work")]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0
    assert {line.split()[1] for line in lines} >= {"snapstorm", "Python", "distributed", "rights", "work"}
    assert all(line.startswith("ok ") for line in lines)
    (scratch / "work" / "photos").mkdir()
    (scratch / "work" / ".snapstorm-machine").unlink()
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert "missing  work directory" in ended.stdout


def test_without_the_extra_it_is_said_how_to_install_it(scratch: Path) -> None:
    """In one line, before anything is done."""
    make_credentials(scratch)
    hidden = (
        "import importlib.metadata as m, sys\n"
        "def version(name, known=m.version):\n"
        "    if name == 'distributed': raise m.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "m.version = version\n"
        f"sys.argv = ['snapstorm', 'machine', 'tls://127.0.0.1:1', '--join', {str(scratch / 'join.pem')!r},"
        f" '--workdir', {str(scratch / 'work')!r}]\n"
        "from snapstorm.__main__ import main\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    line = "snapstorm: the extra for machines is not installed: run pip install 'snapstorm[machines]'\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", line)
    assert not (scratch / "work").exists()
