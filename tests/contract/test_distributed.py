"""The library `distributed` behaves as the transport of machines needs it, where its documentation does not say so.

A new version is to be judged by this first; see src/snapstorm/machines/scheduler_side.py.
"""

from __future__ import annotations

import inspect
import logging
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed.batched import BatchedSend
from distributed.comm.core import connect
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from distributed.scheduler import Scheduler
from distributed.worker import Worker
from tests.waiting import until

from snapstorm.machines import scheduler_side
from snapstorm.machines.distributed_settings import SETTINGS, security_of, settings
from snapstorm.machines.join_file import Credentials, make_credentials, read_join_file

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with settings():
        yield


@asynccontextmanager
async def scheduler_and_worker(scratch: Path, *plugins: Any) -> AsyncIterator[tuple[Scheduler, Worker]]:
    """A plain pair, as the library makes it, over TLS."""
    credentials = make_credentials(scratch)
    ours, theirs = (security_of(one) for one in (credentials, read_join_file(scratch / "join.pem")))
    options: dict[str, Any] = {"dashboard_address": "127.0.0.1:0"}
    own: dict[str, Any] = options | {"local_directory": str(scratch / "scheduler")}
    membership = tuple(plugin for plugin in plugins if isinstance(plugin, SchedulerPlugin))
    endings = tuple(plugin for plugin in plugins if isinstance(plugin, WorkerPlugin))
    async with Scheduler(host="tls://127.0.0.1:0", security=ours, plugins=membership, **own) as scheduler:
        directory = str(scratch / "worker")
        fixed: dict[str, Any] = {"name": "b", "nthreads": 1, "memory_limit": 0, "local_directory": directory}
        async with Worker(scheduler.address, security=theirs, plugins=endings, **fixed, **options) as worker:
            yield scheduler, worker


def test_it_is_the_version_that_is_pinned() -> None:
    """In the extra, and therefore here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["machines"] == [f"distributed=={version('distributed')}"]


async def test_messages_travel_on_the_streams_that_are_there_anyway(scratch: Path) -> None:
    """In order, with the address of the worker, to handlers that were added later."""
    came: list[tuple[str, bytes]] = []
    async with scheduler_and_worker(scratch) as (scheduler, worker):
        scheduler.stream_handlers["test"] = lambda worker, body: came.append((worker, body))
        worker.stream_handlers["test"] = lambda body: worker.batched_stream.send({"op": "test", "body": body})
        queue = scheduler.stream_comms[worker.address]
        assert isinstance(queue, BatchedSend)
        for number in range(100):
            queue.send({"op": "test", "body": b"%d" % number})
        assert len(queue.buffer) == 100
        assert queue.interval is not None
        assert 0 < queue.interval < 0.1  # Seconds.
        await until(lambda: len(came) == 100)
        assert came == [(worker.address, b"%d" % number) for number in range(100)]
        assert not queue.buffer
        assert not queue.recent_message_log  # It would hold passwords.


async def test_plugins_are_told_of_who_comes_and_goes(scratch: Path) -> None:
    """With the name that the worker was given; and a worker that closes says so first."""
    told: list[str] = []

    class Membership(SchedulerPlugin):
        def add_worker(self, scheduler: Scheduler, worker: str) -> None:
            told.append(f"{scheduler.workers[worker].name} came")

        def remove_worker(self, scheduler: Scheduler, worker: str, *, stimulus_id: str, **_: Any) -> None:
            told.append("it went")

    class End(WorkerPlugin):
        def teardown(self, worker: Worker) -> None:
            told.append("it closes")

    async with scheduler_and_worker(scratch, Membership(), End()) as (scheduler, worker):
        assert told == ["b came"]
        await scheduler.remove_worker(worker.address, stimulus_id="test")
        await until(lambda: len(told) == 3)
        assert told == ["b came", "it went", "it closes"]


async def test_others_are_told_of_a_loss_by_a_message_that_is_ignored(scratch: Path) -> None:
    """One that no handler stands for would end their connections, so all such are ignored."""
    handlers = scheduler_side.OnlyThese({"a": lambda: 1})
    assert handlers["remove-worker"](worker="x", stimulus_id="y") is None
    async with scheduler_and_worker(scratch) as (_, worker):
        assert "remove-worker" in worker.stream_handlers


async def test_an_http_server_is_started_by_a_method_that_can_be_left_out(scratch: Path) -> None:
    """It listens even without pages."""
    async with scheduler_and_worker(scratch) as (scheduler, worker):
        assert scheduler.http_server.port
        assert worker.http_server.port
    for kind in (Scheduler, Worker):
        assert "start_http_server" in dir(kind)
    assert "def start_http_server" in inspect.getsource(scheduler_side)


async def test_requests_of_workers_are_known_by_their_names(scratch: Path) -> None:
    """All others are switched off."""
    async with scheduler_and_worker(scratch) as (scheduler, worker):
        assert {"register-worker", "heartbeat_worker"} <= set(scheduler.handlers)
        assert "close" in worker.stream_handlers


def test_each_setting_is_one_that_the_library_has() -> None:
    """It takes any name."""
    file = Path(inspect.getfile(Scheduler)).parent / "distributed.yaml"
    known = dask.config.merge(*dask.config.collect_yaml([str(file)]))
    for name in SETTINGS:
        assert dask.config.get(name, "nothing", config=known) != "nothing", name


async def test_a_failed_handshake_is_logged_with_its_peer_and_its_error(scratch: Path) -> None:
    """The only place that tells."""
    logged: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record)

    logger, keep = logging.getLogger("distributed.comm.tcp"), Keep()
    level = logger.level
    logger.addHandler(keep)
    logger.setLevel(logging.WARNING)
    try:
        async with scheduler_and_worker(scratch) as (scheduler, _):
            foreign = make_credentials(scratch / "foreign")
            arguments = security_of(Credentials(foreign.file, foreign.authority_pem)).get_connection_args("client")
            with pytest.raises(OSError, match="TLS certificate does not match"):
                await connect(scheduler.address, timeout=900, **arguments)
            await until(lambda: logged)
    finally:
        logger.removeHandler(keep)
        logger.setLevel(level)
    assert "TLS handshake failed" in logged[0].msg
    assert isinstance(logged[0].args, tuple)
    assert str(logged[0].args[1]).startswith("tls://127.0.0.1:")
    assert "ALERT" in str(logged[0].args[2])
