"""When snapstorm is killed, its watchdog leaves none of its processes."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import psutil
import pytest
from tests.waiting import GIVE_UP_SECONDS, wait_until

import snapstorm
from snapstorm.runtime.watchdog import end_owned_processes, owned_processes

PROGRAM = """
import os, signal, sys, anyio
from pathlib import Path
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import ProcessRunner

ENV = Environment({"PATH": os.environ["PATH"]})
# Ignored where the tests themselves run under nohup or in the background of a script.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

SCRIPTS = {
    "child": "exec sleep 7200",
    "grandchild": "sleep 7200 & wait",
    "setsid": "setsid sleep 7200 & wait",
    "setsid-alone": "setsid sleep 7200 & exit 0",
    "no-environment": "env -i sleep 7200 & wait",
    "storm": "while :; do sleep 0.01; done",
}

async def start_and_end(runner):
    while True:
        await runner.run(["sleep", "7200"], env=ENV, seconds_max=0.002)

async def main():
    async with ProcessRunner(sys.argv[1]) as runner, anyio.create_task_group() as group:
        for name in sys.argv[2:]:
            if name == "restless":
                group.start_soon(start_and_end, runner)
            else:
                argv = ["sh", "-c", SCRIPTS[name]]
                group.start_soon(lambda argv=argv: runner.run(argv, env=ENV, seconds_max=7200))
        async with runner.start(["sleep", "7200"], env=ENV, log=Path("/dev/null")):
            print("ready", flush=True)
            await anyio.sleep_forever()

anyio.run(main)
"""

KINDS = ("child", "grandchild", "setsid", "no-environment", "storm")
PROCESSES_MIN = {"child": 2, "grandchild": 3, "setsid": 3, "no-environment": 2, "storm": 2}
"""So many show that they are the program's once it is at work, one of each kind's own beside them."""


STABLE_SECONDS = 0.2
"""A child between `fork` and `exec` shows no mark yet: none may be seen at one moment, and one at the next."""


def wait_until_stable(condition: Callable[[], bool]) -> None:
    """Return once the condition has held for a while. What the tests start would go on for longer than this waits."""
    holds_since: float | None = None

    def is_stable() -> bool:
        nonlocal holds_since
        if not condition():
            holds_since = None
            return False
        holds_since = holds_since or time.monotonic()
        return time.monotonic() - holds_since >= STABLE_SECONDS

    wait_until(is_stable)


def has_none(testbed: str) -> bool:
    return not owned_processes(testbed)


class Program:
    """A small program that uses the runner, in a process of its own."""

    def __init__(self, testbed: str, *kinds: str) -> None:
        self.testbed = testbed
        environment = {**os.environ, "PYTHONPATH": str(Path(snapstorm.__path__[0]).parent)}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, testbed, *kinds],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self.popen.stdout is not None
        with self.popen.stdout as stdout:
            assert stdout.readline() == b"ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A test that failed leaves nothing behind either."""
        self.end(signal.SIGKILL)
        end_owned_processes(self.testbed)

    def end(self, number: int) -> None:
        self.popen.send_signal(number)
        self.popen.wait(GIVE_UP_SECONDS)


def sessions_of(pids: Iterable[int]) -> set[int]:
    """The sessions of those that have not ended meanwhile, as the short-lived children of a storm do."""
    sessions: set[int] = set()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            sessions.add(os.getsid(pid))
    return sessions


def members_of_sessions(sessions: set[int]) -> list[int]:
    """Living processes in these sessions."""
    members: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members


@pytest.mark.parametrize("kind", KINDS)
def test_kill_leaves_nothing(kind: str) -> None:
    """kill -9 of the program: soon neither child nor grandchild is left, whatever they did to hide."""
    with Program(f"watchdog-test-{os.getpid()}-{kind}", kind) as program:
        wait_until(lambda: len(owned_processes(program.testbed)) >= PROCESSES_MIN[kind])
        sessions = sessions_of(owned_processes(program.testbed))
        program.end(signal.SIGKILL)
        wait_until_stable(lambda: not owned_processes(program.testbed) and not members_of_sessions(sessions))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_other_ends_leave_nothing(number: int) -> None:
    """Ctrl-C, TERM and a closed terminal end the program's children too, orderly or by the watchdog."""
    with Program(f"watchdog-test-{os.getpid()}-{number}", *KINDS[:3], "setsid-alone") as program:
        wait_until(lambda: len(owned_processes(program.testbed)) >= 5)
        program.end(number)
        wait_until_stable(lambda: not owned_processes(program.testbed))


def test_kill_in_the_middle_of_starting_leaves_nothing() -> None:
    """Killed again and again while it starts commands as fast as it can: no child slips through."""
    for attempt in range(10):
        with Program(f"watchdog-test-start-{os.getpid()}-{attempt}", "restless") as program:
            time.sleep(attempt * 0.0007)  # Another moment of the cycle each time.
            program.end(signal.SIGKILL)
            wait_until_stable(functools.partial(has_none, program.testbed))


def test_a_group_that_was_not_announced_is_ended_with_its_leader() -> None:
    """The runner may die before it tells the watchdog; a member without an environment shows no mark itself."""
    name = f"watchdog-test-{os.getpid()}-unannounced"
    command = ["sh", "-c", "env -i sleep 7200 & echo $!; wait"]
    environment = {**os.environ, "SNAPSTORM_OWNER": f"{name}/run"}
    with subprocess.Popen(command, env=environment, process_group=0, stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        member = psutil.Process(int(leader.stdout.readline()))
        wait_until(lambda: member.name() == "sleep")
        assert end_owned_processes(name) == 1
        wait_until(lambda: not member.is_running() or member.status() == psutil.STATUS_ZOMBIE)
    assert leader.returncode == -signal.SIGKILL


def test_processes_of_others_are_spared() -> None:
    """A name that only begins alike is another owner's."""
    name = f"watchdog-test-{os.getpid()}-1"
    with subprocess.Popen(["sleep", "7200"], env={**os.environ, "SNAPSTORM_OWNER": f"{name}0/run"}) as other:
        wait_until(lambda: owned_processes(f"{name}0") == [other.pid])
        assert end_owned_processes(name) == 0
        assert other.poll() is None
        assert end_owned_processes(f"{name}0/run") == 1
    assert other.returncode == -signal.SIGKILL
