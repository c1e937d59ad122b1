"""When snapstorm is killed, its watchdog leaves none of its processes."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import snapstorm
from snapstorm.runtime.watchdog import end_owned_processes, owned_processes

PROGRAM = """
import os, signal, sys, anyio
from pathlib import Path
from snapstorm.runtime.process import ProcessRunner

ENV = {"PATH": os.environ["PATH"]}
# Ignored where the tests themselves run under nohup or in the background of a script.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

SCRIPTS = {
    "child": "exec sleep 60",
    "grandchild": "sleep 60 & wait",
    "setsid": "setsid sleep 60 & wait",
    "setsid-alone": "setsid sleep 60 & exit 0",
    "no-environment": "env -i sleep 60 & wait",
    "storm": "while :; do sleep 0.01; done",
}

async def start_and_end(runner):
    while True:
        await runner.run(["sleep", "60"], env=ENV, seconds_max=0.002)

async def main():
    async with ProcessRunner(sys.argv[1]) as runner, anyio.create_task_group() as group:
        for name in sys.argv[2:]:
            if name == "restless":
                group.start_soon(start_and_end, runner)
            else:
                argv = ["sh", "-c", SCRIPTS[name]]
                group.start_soon(lambda argv=argv: runner.run(argv, env=ENV, seconds_max=600))
        async with runner.start(["sleep", "60"], env=ENV, log=Path("/dev/null")):
            await anyio.sleep(0.3)
            print("ready", flush=True)
            await anyio.sleep(60)

anyio.run(main)
"""

KINDS = ("child", "grandchild", "setsid", "no-environment", "storm")


STABLE_SECONDS = 0.2
"""A child between `fork` and `exec` shows no mark yet: none may be seen at one moment, and one at the next."""


def in_time(condition: Callable[[], bool], seconds_max: float) -> bool:
    """Whether the condition came to hold, and held for a while, before the time was up."""
    now = time.monotonic()
    deadline = now + seconds_max
    holds_since: float | None = None
    while now < deadline:
        if not condition():
            holds_since = None
        elif holds_since is None:
            holds_since = now
        elif now - holds_since >= STABLE_SECONDS:
            return True
        time.sleep(0.01)
        now = time.monotonic()
    return False


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

    def end(self, number: int) -> None:
        os.kill(self.popen.pid, number)
        self.popen.wait(30)


def members_of_sessions(sessions: set[int]) -> list[int]:
    """Living processes in these sessions."""
    members: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, _group, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) in sessions and state not in "ZX":
            members.append(int(path.parent.name))
    return members


@pytest.mark.parametrize("kind", KINDS)
def test_kill_leaves_nothing(kind: str) -> None:
    """kill -9 of the program: within 2 s neither child nor grandchild is left, whatever they did to hide."""
    program = Program(f"watchdog-test-{os.getpid()}-{kind}", kind)
    before = owned_processes(program.testbed)
    sessions = {os.getsid(pid) for pid in before}
    assert len(before) >= 2
    program.end(signal.SIGKILL)
    assert in_time(lambda: not owned_processes(program.testbed) and not members_of_sessions(sessions), 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_other_ends_leave_nothing(number: int) -> None:
    """Ctrl-C, TERM and a closed terminal end the program's children too, orderly or by the watchdog."""
    program = Program(f"watchdog-test-{os.getpid()}-{number}", *KINDS[:3], "setsid-alone")
    assert len(owned_processes(program.testbed)) >= 5
    program.end(number)
    assert in_time(lambda: not owned_processes(program.testbed), 10)


def test_kill_in_the_middle_of_starting_leaves_nothing() -> None:
    """Killed again and again while it starts commands as fast as it can: no child slips through."""
    for attempt in range(10):
        program = Program(f"watchdog-test-start-{os.getpid()}-{attempt}", "restless")
        time.sleep(attempt * 0.0007)  # Another moment of the cycle each time.
        program.end(signal.SIGKILL)
        assert in_time(functools.partial(has_none, program.testbed), 10)


def test_processes_of_others_are_spared() -> None:
    """A name that only begins alike is another owner's."""
    name = f"watchdog-test-{os.getpid()}-1"
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "SNAPSTORM_OWNER": f"{name}0/run"}) as other:
        assert in_time(lambda: owned_processes(f"{name}0") == [other.pid], 5)
        assert end_owned_processes(name) == 0
        assert other.poll() is None
        assert end_owned_processes(f"{name}0/run") == 1
    assert other.returncode == -signal.SIGKILL
