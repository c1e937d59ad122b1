"""A machine's end of the transport: a worker of `distributed` that computes nothing.

It obeys no requests but the hub's messages. See `scheduler_side`.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from distributed.comm.core import CommClosedError, connect
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.worker import Worker

from snapstorm.errors import HarnessError
from snapstorm.machines.distributed_settings import own_directory, security_of, settings
from snapstorm.machines.join_file import Credentials
from snapstorm.machines.scheduler_side import CLOCK, HELLO, MESSAGE, OnlyThese, QueuedLink
from snapstorm.machines.transport import CoordinatorUnreachable, OnMessage, ReadClock

_HELLO_SECONDS_MAX = 10.0
_CLOSE_SECONDS_MAX = 3.0
_REGISTER_SECONDS_MAX = 20.0


async def say_hello(address: str, credentials: Credentials, hello: bytes, read_clock: ReadClock) -> bytes:
    """Ask to be admitted, where somebody listens. Returns the answer. Raises HarnessError, one line."""
    with settings():
        arguments = security_of(credentials).get_connection_args("client")  # type: ignore[no-untyped-call]
        try:
            comm = await connect(address, timeout=_HELLO_SECONDS_MAX, **arguments)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:  # Tornado raises ValueError if something comes before TLS has begun.
            raise _why_not(address, credentials, error) from error
        try:
            async with asyncio.timeout(_HELLO_SECONDS_MAX):
                await comm.write({"op": HELLO, "body": hello})
                while isinstance(answer := await comm.read(), dict):
                    if answer.get("op") != CLOCK:
                        raise HarnessError(f"{address} is no coordinator of snapstorm")
                    await comm.write(read_clock())
                return bytes(answer)
        except OSError as error:
            raise _why_not(address, credentials, error) from error
        finally:
            comm.abort()


def _own_loopback() -> str:
    """An address that no other worker has: workers are known by them, even on other machines. A worker must listen
    somewhere, but nobody connects to it."""
    return "tls://127.{}.{}.{}:0".format(*(1 + secrets.randbelow(254) for _ in range(3)))


def _why_not(address: str, credentials: Credentials, error: OSError | ValueError) -> HarnessError:
    """Says in one line why nobody at the address lets this machine in."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            if cause.reason == "WRONG_VERSION_NUMBER":
                return HarnessError(f"what listens at {address} is no coordinator of snapstorm: it does not speak TLS")
            return HarnessError(
                f"the coordinator at {address} does not accept {credentials.file}, which belongs to another run: "
                "copy machines/join.pem from the testbed of the run that is to be joined"
            )
    if isinstance(error, ValueError):
        return HarnessError(f"what listens at {address} is no coordinator of snapstorm")
    is_late = any(isinstance(cause, TimeoutError) for cause in causes)
    reason = f"not within {_HELLO_SECONDS_MAX:g} s" if is_late else causes[-1]
    return CoordinatorUnreachable(f"the coordinator at {address} does not answer: {reason}", is_gone=False)


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


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
        self.stream_handlers = OnlyThese({"close": self.stream_handlers["close"], MESSAGE: self._receive})

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
    address: str, credentials: Credentials, ticket: str, directory: Path, on_message: OnMessage
) -> AsyncIterator[HostLink]:
    """Be connected, as the holder of a ticket, while the block lasts; meanwhile there is that directory. Raises
    HarnessError."""
    end = _EndOfWorker()
    with settings(), own_directory(directory):
        worker = _HostWorker(
            address,
            on_message=on_message,
            name=ticket,
            nthreads=1,
            memory_limit=0,
            host=_own_loopback(),
            local_directory=str(directory),
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
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS_MAX):
                await worker.close(timeout=1, executor_wait=False)
