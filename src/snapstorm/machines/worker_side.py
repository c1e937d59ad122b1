"""A machine's end of the transport: a worker of `distributed` that computes nothing.

It obeys no requests but the hub's messages. See `scheduler_side`.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from distributed.comm.core import CommClosedError, connect
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.worker import Worker

from snapstorm.errors import HarnessError
from snapstorm.machines.distributed_settings import security_of, settings
from snapstorm.machines.join_file import Credentials
from snapstorm.machines.scheduler_side import CLOCK, HELLO, MESSAGE, QueuedLink
from snapstorm.machines.transport import OnMessage, ReadClock

_REGISTER_SECONDS_MAX = 20.0


async def say_hello(
    address: str, credentials: Credentials, hello: bytes, read_clock: ReadClock, seconds_max: float
) -> bytes:
    """Ask to be admitted. Returns the answer. Raises HarnessError, one line, if nobody answers."""
    with settings():
        arguments = security_of(credentials).get_connection_args("client")  # type: ignore[no-untyped-call]
        try:
            comm = await connect(address, timeout=seconds_max, **arguments)  # type: ignore[no-untyped-call]
        except OSError as error:
            raise HarnessError(_why_not(address, error)) from error
        try:
            async with asyncio.timeout(seconds_max):
                await comm.write({"op": HELLO, "body": hello})
                while isinstance(answer := await comm.read(), dict):
                    if answer.get("op") != CLOCK:
                        raise HarnessError(f"{address} is no coordinator of snapstorm")
                    await comm.write(read_clock())
                return bytes(answer)
        except OSError as error:
            raise HarnessError(_why_not(address, error)) from error
        finally:
            comm.abort()


def _own_loopback() -> str:
    """An address that no other worker has: workers are known by them, even on other machines. A worker must listen
    somewhere, but nobody connects to it."""
    return "tls://127.{}.{}.{}:0".format(*(1 + secrets.randbelow(254) for _ in range(3)))


def _why_not(address: str, error: OSError) -> str:
    return f"can't reach the coordinator at {address}: {error!r} {error.__cause__!r}"


class _EndOfWorker(WorkerPlugin):
    """Says when the worker begins to close, for whatever reason."""

    name = "snapstorm"

    def __init__(self) -> None:
        self.has_come = asyncio.Event()

    def teardown(self, worker: Worker) -> None:
        self.has_come.set()


class _HostWorker(Worker):
    def __init__(self, *arguments: Any, on_message: OnMessage, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._on_message = on_message
        self.handlers = {}
        self.stream_handlers = {"close": self.stream_handlers["close"], MESSAGE: self._receive}

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none: it would listen even without any page."""

    def _receive(self, body: bytes) -> None:
        self._on_message(body)


class HostLink(QueuedLink):
    """The connection of an admitted host."""

    def __init__(self, worker: Worker, end: _EndOfWorker) -> None:
        super().__init__(worker.batched_stream)
        self._end = end

    async def ended(self) -> None:
        """Wait until the connection has ended."""
        await self._end.has_come.wait()


@asynccontextmanager
async def connected(
    address: str, credentials: Credentials, ticket: str, on_message: OnMessage
) -> AsyncIterator[HostLink]:
    """Be connected, as the holder of a ticket, while the block lasts. Raises HarnessError."""
    end = _EndOfWorker()
    with settings(), tempfile.TemporaryDirectory(prefix="snapstorm-machine-") as directory:
        worker = _HostWorker(
            address,
            on_message=on_message,
            name=ticket,
            nthreads=1,
            memory_limit=0,
            host=_own_loopback(),
            local_directory=directory,
            security=security_of(credentials),
            dashboard=False,
            plugins=(end,),
            death_timeout=_REGISTER_SECONDS_MAX,
        )
        try:
            await worker
        except (RuntimeError, TimeoutError, CommClosedError) as error:
            raise HarnessError(f"can't join the run at {address}: {error.__cause__ or error}") from error
        try:
            yield HostLink(worker, end)
        finally:
            await worker.close(timeout=2, executor_wait=False)
