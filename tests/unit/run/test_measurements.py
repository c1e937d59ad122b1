"""Measuring through a run: what is measured, that it is written, and that there is never much of it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.idle_server import IdleServer
from tests.unit.one_run import new_context

from snapstorm.guarantees.leaks import ServerProcesses, look_at_process
from snapstorm.ledger.samples import Quantity
from snapstorm.model.abilities import Blob
from snapstorm.model.protocols import Server, TargetPlace
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.measurements import STRETCH_SAMPLES, Measurements, Pace
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.testbed.testbed import read_testbed

pytestmark = pytest.mark.anyio

DAY_SECONDS = 86_400


class OwnProcess(IdleServer):
    """This very process stands for the server."""

    unfinished_suffix = ".tmp."

    def __init__(self, directory: Path | None) -> None:
        self.server_pid: int | None = os.getpid()
        self.storage_directory = directory

    async def content_blobs(self) -> list[Blob]:
        return []


class Measured:
    """Measurements of one run, and what they have written."""

    def __init__(self, directory: Path, server: Server) -> None:
        self._run = new_context()
        place = TargetPlace("bed", directory, FileSecretStore(directory / "secrets.toml"))
        self.measurements = Measurements(
            self._run, place, server, ServerProcesses(server, self._run.now_seconds), ["alice"]
        )

    def written(self) -> dict[str, float]:
        """Everything that was measured until now: the last value of each quantity."""
        self.measurements._write()
        return {sample.name: sample.value for sample in self._run.ledger.samples(self._run.number)}


def _file(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


async def test_directories_are_measured_by_what_they_are(tmp_path: Path) -> None:
    """The repository, and the caches and logs of the server and of each client."""
    measured = Measured(tmp_path, OwnProcess(tmp_path / "repository"))
    _file(tmp_path / "repository" / "p" / "q", 1)
    _file(tmp_path / "server" / "cache" / "a", 20)
    _file(tmp_path / "clients" / "alice" / "connection" / "cache" / "b", 30)
    _file(tmp_path / "server" / "logs" / "c", 400)
    _file(tmp_path / "clients" / "bob" / "connection" / "logs" / "d", 5000)
    await measured.measurements.look_at_directories()
    assert measured.written() == {"repository-bytes": 1, "cache-bytes": 50, "log-bytes": 400}


async def test_a_repository_that_is_somewhere_else_is_left_alone(tmp_path: Path) -> None:
    """On S3 a look at it would be requests."""
    measured = Measured(tmp_path, OwnProcess(None))
    await measured.measurements.look_at_directories()
    assert measured.written().keys() == {Quantity.CACHE_BYTES, Quantity.LOG_BYTES}


async def test_processes_are_measured_while_they_are_there(tmp_path: Path) -> None:
    """Of a server that has ended there is nothing to measure; snapstorm itself goes on."""
    server = OwnProcess(None)
    measured = Measured(tmp_path, server)
    measured.measurements.look_at_processes()
    values = measured.written()
    assert values["server-open-files"] >= 3
    assert values["server-memory-bytes"] == pytest.approx(values["own-memory-bytes"], rel=0.1)
    server.server_pid = None
    without = Measured(tmp_path, server)
    without.measurements.look_at_processes()
    assert without.written().keys() == {"own-memory-bytes"}


def test_a_server_is_measured_with_its_children(tmp_path: Path) -> None:
    """It may be a script that waits for the program that serves."""
    server = OwnProcess(None)
    measured = Measured(tmp_path, server)
    argv = ["/bin/sh", "-c", "exec 3<&0; cat <&3 & echo $!; wait"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, process_group=0
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            child = int(process.stdout.readline())
            process.stdin.write("is there\n")
            assert process.stdout.readline() == "is there\n"
            server.server_pid = process.pid
            measured.measurements.look_at_processes()
            open_files = [look_at_process(pid).open_files for pid in (process.pid, child)]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    values = measured.written()
    assert values["server-open-files"] == sum(open_files)
    assert min(open_files) >= 3


@pytest.mark.parametrize(("seconds", "count_max"), [(1.0, 700), (10.0, 500)])
def test_a_day_has_some_hundred_measurements(seconds: float, count_max: int) -> None:
    """The distance grows with the run, and is never smaller than at its beginning."""
    pace, now, count = Pace(seconds), 0.0, 0
    while now < DAY_SECONDS:
        waited = pace.next_seconds()
        assert waited >= seconds
        now, count = now + waited, count + 1
    assert STRETCH_SAMPLES < count < count_max


async def test_a_run_records_what_it_measures(scratch: Path) -> None:
    """A run leaves measurements in the ledger, from when its clients begin until they have ended."""
    options = HarnessOptions(testbed=scratch / "bed", target="memory", seed=1)

    async def flow(client: Any) -> None:
        assert client.name

    async with open_harness(options) as harness:
        await harness.run_clients(1, flow)
    with read_testbed(scratch / "bed") as ledger:
        samples = ledger.samples(1)
    assert len([sample for sample in samples if sample.name == Quantity.OWN_MEMORY_BYTES]) >= 2
