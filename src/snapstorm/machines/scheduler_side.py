"""The coordinator's end of the transport: a scheduler of `distributed`, embedded in the running event loop.

Only its membership, its streams and its TLS are used. Its HTTP server is not started, and of the requests that it would
obey, only those that a worker needs are left. Note that the library unpickles some of what peers send, so a peer that
is let in by TLS can execute code.

Parts of `distributed` that are not documented are used here and in `worker_side`: `handlers`, `stream_handlers`,
`stream_comms`, `start_http_server`, and `buffer` and `interval` of `BatchedSend`. So its version is pinned, and
tests/contract/test_distributed.py checks them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from distributed.batched import BatchedSend
from distributed.comm.core import Comm
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler

from snapstorm.errors import HarnessError
from snapstorm.machines.distributed_settings import own_directory, security_of, settings
from snapstorm.machines.join_file import Credentials
from snapstorm.machines.transport import HubEvents, host_and_port

HELLO = "snapstorm-hello"
MESSAGE = "snapstorm-message"
CLOCK = "snapstorm-clock"

_HANDLERS = ("register-worker", "heartbeat_worker", "unregister")
"""The requests that workers make by themselves."""
_CLOSE_SECONDS_MAX = 5.0
_BATCH_SECONDS = 0.0005
"""The next batch is sent so long after one. With the library's 5 ms and 2 ms a call alone takes 6 ms in place of
1.2; with 256 calls in flight both cost the same (measured)."""
_SENT_POLL_SECONDS = 0.001


class OnlyThese(dict[str, Callable[..., Any]]):
    """Handlers of a stream. Messages without one are ignored; the library would end the connection."""

    def __missing__(self, _: str) -> Callable[..., None]:
        return lambda **_: None


class QueuedLink:
    """Sends messages on the stream that scheduler and worker have anyway, each in a batch with its neighbours."""

    def __init__(self, queue: BatchedSend) -> None:
        self._queue = queue
        queue.interval = _BATCH_SECONDS  # pyright: ignore[reportAttributeAccessIssue] - it is a number

    def send(self, message: bytes) -> None:
        try:
            self._queue.send({"op": MESSAGE, "body": message})
        except OSError as error:
            raise ConnectionError(str(error)) from error

    async def sent(self) -> None:
        while self._queue.buffer:
            if self._queue.comm is not None and self._queue.comm.closed():
                raise ConnectionError("the connection has ended")
            await asyncio.sleep(_SENT_POLL_SECONDS)


class _WorkerLink(QueuedLink):
    def __init__(self, side: _HubScheduler, address: str) -> None:
        super().__init__(side.stream_comms[address])
        self._side = side
        self._address = address

    def close(self) -> None:
        self._side.remove_soon(self._address)


class _Greeting:
    def __init__(self, comm: Comm, hello: bytes) -> None:
        self._comm = comm
        self.hello = hello

    @property
    def peer(self) -> str:
        return self._comm.peer_address.partition("://")[2]

    async def read_clock(self) -> int:
        await self._comm.write({"op": CLOCK})  # type: ignore[no-untyped-call]
        return int(await self._comm.read())  # type: ignore[no-untyped-call]


class _Membership(SchedulerPlugin):
    """Tells the hub who comes and goes. A worker's name is its ticket."""

    name = "snapstorm"

    def __init__(self, events: HubEvents) -> None:
        self.events = events
        self.ticket_by_address: dict[str, str] = {}

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        assert isinstance(scheduler, _HubScheduler)
        ticket = str(scheduler.workers[worker].name)
        self.ticket_by_address[worker] = ticket
        if not self.events.on_registered(ticket, _WorkerLink(scheduler, worker)):
            scheduler.remove_soon(worker)

    def remove_worker(self, scheduler: Scheduler, worker: str, *, stimulus_id: str, **_: Any) -> None:
        self.events.on_closed(self.ticket_by_address[worker])


class _HubScheduler(Scheduler):
    def __init__(self, events: HubEvents, membership: _Membership, **options: Any) -> None:
        super().__init__(**options)
        self._events = events
        self._membership = membership
        self._removals: set[asyncio.Task[object]] = set()
        self.handlers = {name: self.handlers[name] for name in _HANDLERS if name in self.handlers}
        self.handlers[HELLO] = self._on_hello
        self.stream_handlers = OnlyThese({MESSAGE: self._on_message})

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none: it would listen even without any page."""

    def remove_soon(self, address: str) -> None:
        """Remove a worker, which is told, in a task of its own: a hanging one must not hold up who asks for it."""
        task = asyncio.create_task(self.remove_worker(address, stimulus_id="snapstorm"))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _on_hello(self, comm: Comm, body: bytes) -> bytes:
        return await self._events.greet(_Greeting(comm, body))

    def _on_message(self, worker: str, body: bytes) -> None:
        self._events.on_message(self._membership.ticket_by_address[worker], body)


_REFUSALS = ("CERTIFICATE", "ALERT")
"""What OpenSSL calls errors of peers that speak TLS and were not accepted, or did not accept us."""


class _Foreigners(logging.Handler):
    """Tells the hub of failed TLS handshakes, which the library only logs: with the peer and the error as second and
    third argument. A connection that ends before is no attempt to join."""

    def __init__(self, events: HubEvents) -> None:
        super().__init__(logging.WARNING)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        if "TLS handshake failed" in record.msg and isinstance(record.args, tuple):
            if not any(word in str(record.args[2]) for word in _REFUSALS):
                return
            self._events.on_foreign(str(record.args[1]).partition("://")[2])


def _try_to_listen(address: str) -> None:
    """Say why it is not possible. The library would say less, and leave a socket open."""
    host, port = host_and_port(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise HarnessError(f"can't listen on {address}: {error.strerror or error}") from error


@contextmanager
def _told_of_foreigners(events: HubEvents) -> Iterator[None]:
    logger = logging.getLogger("distributed.comm.tcp")
    handler = _Foreigners(events)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


@asynccontextmanager
async def listening(address: str, credentials: Credentials, events: HubEvents) -> AsyncIterator[str]:
    """Let hosts connect to `tls://HOST:PORT` while the block lasts. Yields the address with the port that was taken.

    Raises HarnessError if it can't be listened on.
    """
    _try_to_listen(address)
    directory = credentials.file.parent / "transport"
    with settings(), own_directory(directory), _told_of_foreigners(events):
        membership = _Membership(events)
        scheduler = _HubScheduler(
            events,
            membership,
            host=address,
            security=security_of(credentials),
            dashboard=False,
            local_directory=str(directory),
            plugins=(membership,),
        )
        try:
            await scheduler
        except RuntimeError as error:
            raise HarnessError(f"can't listen on {address}: {error.__cause__ or error}") from error
        try:
            yield scheduler.address
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS_MAX):
                await scheduler.close()
