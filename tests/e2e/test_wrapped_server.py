"""A server that a script stands around: what its child holds is the server's, and the script's number names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.commandline import Ran, scenario, snapstorm

pytestmark = pytest.mark.usefixtures("nothing_left")

LEAKS_PER_SNAPSHOT = 40
LEAKS_MAX = 800
"""A process may commonly have 1,024 files open."""

LEAKING_CHILD = f"""
import os, subprocess, sys, time
server, held = subprocess.Popen(sys.argv[2:]), []
while server.poll() is None:
    snapshots = os.stat(sys.argv[1]).st_size
    while len(held) < min(snapshots * {LEAKS_PER_SNAPSHOT}, {LEAKS_MAX}):
        held.append(os.open("/dev/null", os.O_RDONLY))
    time.sleep(0.05)
"""
"""Stands for a server that leaves files open for each snapshot. It is the child of the wrapper, which holds nothing."""

LEAKS = f"""
counter.touch()
if argv[:2] == ["server", "start"]:
    child = [sys.executable, "-c", {LEAKING_CHILD!r}, str(counter), real, *argv]
    sys.exit(subprocess.call(child))
if argv[:2] == ["snapshot", "create"]:
    with counter.open("ab") as file:
        file.write(b".")
"""


def test_what_a_wrapped_server_leaks_is_found(wrapper: Callable[[str], Path], scratch: Path) -> None:
    """Neither the script that leads the group nor the Kopia at its end holds more than at first."""
    ran = _run(wrapper(LEAKS), 12, scratch, "--sweep-seconds", "0.001")
    assert ran.status == 1, ran.stderr
    assert [found["guarantee"] for found in ran.json["violations"]] == ["no-leak"]
    assert "open files of the server" in ran.json["violations"][0]["detail"]
    assert ran.json["server"]["open_files_max"] > LEAKS_PER_SNAPSHOT


def test_a_plain_wrapper_is_measured_through(real_kopia: Path, scratch: Path) -> None:
    """It passes, and what is measured is Kopia's: no shell holds that much memory."""
    plain = scratch / "plain"
    plain.write_text(f'#!/bin/sh\n"{real_kopia}" "$@" &\ntrap \'kill $!\' TERM\nwait $!\n')
    plain.chmod(0o700)
    ran = _run(plain, 1, scratch)
    assert ran.status == 0, ran.stderr
    assert ran.json["server"]["memory_bytes_max"] > 20 << 20


def _run(kopia: Path, snapshots: int, scratch: Path, *more: str) -> Ran:
    config = scratch / "steps.toml"
    config.write_text(scenario("write-random-files count = 2", f"snapshot-root repeat = {snapshots}", clients=1))
    return snapstorm("run", "--kopia", kopia, "--testbed", scratch / "bed", "--config", config, "--json", *more)
