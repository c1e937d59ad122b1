"""What leaves its group and its environment behind is found, ended and reaped, in a process that is snapstorm's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import snapstorm

PROGRAM = r"""
import itertools, os, subprocess, sys, anyio
import psutil
from snapstorm.runtime import adoption
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import ProcessRunner

ENV = Environment({"PATH": os.environ["PATH"]})
numbers = itertools.count()

def hides(what):
    # A script that ends once this has escaped, which it says by a file.
    name = f"escaped-{next(numbers)}"
    marked = f"sh -c 'echo >{name}; exec sleep 100'" if what == "plain" else (
        f"sh -c \"setsid sh -c 'echo >{name}; exec sleep 100' & wait\""
    )
    return f"env -i setsid {marked} >/dev/null 2>&1 & while [ ! -e {name} ]; do sleep 0.01; done"

def children():
    return {(child.name(), child.status()) for child in psutil.Process().children()}

async def main(kind):
    async with ProcessRunner("adoption-test", grace_seconds=0.3) as runner:
        run = lambda script: runner.run(["sh", "-c", script], env=ENV, seconds_max=60)
        if kind == "hides":
            await run(hides("plain"))
            ended = await runner.end_strays([])
            assert len(ended) == 1 and ended[0].name in ("sh", "sleep"), ended
        elif kind == "hides-deeper":
            await run(hides("deeper"))
            ended = await runner.end_strays([])
            assert len(ended) == 2, ended
        elif kind.startswith("spared"):
            await run(hides("plain"))
            spared = runner.strays()
            assert len(spared) == 1, spared
            await run(hides("plain"))
            if kind == "spared-while-the-clock-is-set":
                later = psutil.boot_time() + 1
                psutil._psplatform.boot_time = lambda: later
            ended = await runner.end_strays(spared)
            assert len(ended) == 1 and not set(ended) & set(spared), (ended, spared)
        elif kind == "struck":
            done = await runner.run(["sh", "-c", hides("plain") + "; exec sleep 100"], env=ENV, seconds_max=1)
            assert done.timed_out
            assert await runner.end_strays([]) == []
            assert runner.strays() == []
        elif kind == "until-the-end":
            await run(hides("plain"))
        elif kind == "ends-by-itself":
            await run("env -i setsid sleep 0.05 >/dev/null 2>&1 &")
            assert await runner.end_strays([]) == []
        elif kind == "in-its-group":
            done = await run("sleep 100 & echo done")
            assert done.stdout == b"done\n" and done.seconds < 50
            done = await runner.run(["sh", "-c", "sleep 100 & wait"], env=ENV, seconds_max=0.2)
            assert done.timed_out and done.seconds < 50
            assert await runner.end_strays([]) == []
        elif kind == "others":
            # What was started otherwise, in our own group, is nobody's orphan.
            with subprocess.Popen(["sleep", "100"]) as own:
                await run("true")
                assert await runner.end_strays([]) == []
                assert own.poll() is None
                own.kill()
        elif kind == "not-adopting":
            await run("setsid sleep 100 >/dev/null 2>&1 &")
            with subprocess.Popen(["sleep", "100"], start_new_session=True) as foreign:
                assert await runner.end_strays([]) == []
                assert foreign.poll() is None
                foreign.kill()
    assert children() == set(), children()

if sys.argv[1] != "not-adopting":
    adoption.adopt_orphans()
anyio.run(main, sys.argv[1])
"""


@pytest.mark.parametrize(
    "kind",
    [
        "hides",
        "hides-deeper",
        "spared",
        "spared-while-the-clock-is-set",
        "struck",
        "until-the-end",
        "ends-by-itself",
        "in-its-group",
        "others",
        "not-adopting",
    ],
)
def test_what_escapes_is_found_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """Nothing is left at the end, not even a process that waits to be reaped; others' processes are not touched."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(snapstorm.__path__[0]).parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


BEFORE = r"""
import os, subprocess, sys
if sys.argv[1] == "in-another-group":
    other = subprocess.Popen(["sleep", "100"], start_new_session=True)
else:
    # Starts in our group, and leaves it when it is told to.
    other = subprocess.Popen(["sh", "-c", "read _; exec setsid sleep 100"], stdin=subprocess.PIPE)
    os.set_inheritable(other.stdin.fileno(), True)
writing = other.stdin.fileno() if other.stdin else -1
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], str(other.pid), str(writing)])
"""

BECOMES_OURS = r"""
import os, sys, anyio
from snapstorm.runtime import adoption
from snapstorm.runtime.process import ProcessRunner

other, writing = int(sys.argv[1]), int(sys.argv[2])

async def main():
    async with ProcessRunner("adoption-test", grace_seconds=0.3) as runner:
        if writing >= 0:
            os.write(writing, b"\n")
            while os.getpgid(other) == os.getpgrp():
                await anyio.sleep(0.01)
        assert await runner.end_strays([]) == []

adoption.adopt_orphans()
anyio.run(main)
assert os.waitpid(other, os.WNOHANG) == (0, 0), "somebody else's child was ended"
os.kill(other, 9)
os.waitpid(other, 0)
"""


@pytest.mark.parametrize("where", ["in-another-group", "in-ours-at-first"])
def test_the_children_of_what_became_us_are_let_alone(where: str, tmp_path: Path) -> None:
    """A shell may start something in the background, and then become snapstorm by `exec`."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE, where, BECOMES_OURS],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(snapstorm.__path__[0]).parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
