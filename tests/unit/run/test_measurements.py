"""Measuring through a run: what is measured, that it is written, and that there is never much of it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snapstorm.guarantees.leaks import look_at_process
from snapstorm.ledger.samples import Quantity, Sample
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.measurements import STRETCH_SAMPLES, Measurements, Pace
from snapstorm.testbed.testbed import read_testbed

pytestmark = pytest.mark.anyio

DAY_SECONDS = 86_400


class Server:
    """This very process stands for the server."""

    unfinished_suffix = ".tmp."

    def __init__(self, directory: Path | None) -> None:
        self.server_pid: int | None = os.getpid()
        self.storage_directory = directory

    async def content_blobs(self) -> list[Any]:
        return []


class Place:
    def __init__(self, directory: Path) -> None:
        self.server = directory / "server"
        self._directory = directory

    def client(self, client: str) -> Path:
        return self._directory / client


class Ledger:
    def __init__(self) -> None:
        self.written: list[Sample] = []

    def add_samples(self, run_number: int, samples: list[Sample]) -> None:
        assert run_number == 7
        self.written += samples


def _measurements(directory: Path, server: Server) -> tuple[Measurements, Any]:
    ledger = Ledger()
    run: Any = SimpleNamespace(
        place=Place(directory), ledger=ledger, number=7, now_seconds=lambda: 12.3456, emit=lambda event: None
    )
    anything: Any = server
    return Measurements(run, anything, ["alice"]), ledger


def _file(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


async def test_directories_are_measured_by_what_they_are(tmp_path: Path) -> None:
    """The repository, and the caches and logs of the server and of each client."""
    measurements, ledger = _measurements(tmp_path, Server(tmp_path / "repository"))
    _file(tmp_path / "repository" / "p" / "q", 1)
    _file(tmp_path / "server" / "cache" / "a", 20)
    _file(tmp_path / "alice" / "cache" / "b", 30)
    _file(tmp_path / "server" / "logs" / "c", 400)
    _file(tmp_path / "bob" / "logs" / "d", 5000)
    await measurements.look_at_directories()
    measurements._write()
    assert ledger.written == [
        Sample(12.346, "repository-bytes", 1),
        Sample(12.346, "cache-bytes", 50),
        Sample(12.346, "log-bytes", 400),
    ]


async def test_a_repository_that_is_somewhere_else_is_left_alone(tmp_path: Path) -> None:
    """On S3 a look at it would be requests."""
    measurements, ledger = _measurements(tmp_path, Server(None))
    await measurements.look_at_directories()
    measurements._write()
    assert Quantity.REPOSITORY_BYTES not in {sample.name for sample in ledger.written}


async def test_processes_are_measured_while_they_are_there(tmp_path: Path) -> None:
    """Of a server that has ended there is nothing to measure; snapstorm itself goes on."""
    server = Server(None)
    measurements, ledger = _measurements(tmp_path, server)
    measurements.look_at_processes()
    measurements._write()
    values = {sample.name: sample.value for sample in ledger.written}
    assert values["server-open-files"] >= 3
    assert values["server-memory-bytes"] == pytest.approx(values["own-memory-bytes"], rel=0.1)
    ledger.written.clear()
    server.server_pid = None
    measurements.look_at_processes()
    measurements._write()
    assert [sample.name for sample in ledger.written] == ["own-memory-bytes"]


def test_a_server_is_measured_with_its_children(tmp_path: Path) -> None:
    """It may be a script that waits for the program that serves."""
    server = Server(None)
    measurements, ledger = _measurements(tmp_path, server)
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
            measurements.look_at_processes()
            open_files = [look_at_process(pid).open_files for pid in (process.pid, child)]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    measurements._write()
    values = {sample.name: sample.value for sample in ledger.written}
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
