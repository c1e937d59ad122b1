"""A relay between one client and a server, whose connections can be slowed down, cut and blocked.

It listens on a port of the loopback interface and forwards bytes. So it needs no privileges, and encrypted data stays
encrypted. To a TCP application, a network that loses packets looks like one that is slow or stalls.

Written on asyncio's streams, because only they can abort a connection with a reset.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

_CHUNK_BYTES = 65_536
_LOOPBACK = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of zero: closing sends a reset instead of an orderly end."""
_CONNECT_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class Conditions:
    """How a relay forwards bytes. The default is an undisturbed network."""

    delay_seconds: float = 0.0
    """Each piece of at most 64 KiB is delayed by this."""
    bytes_per_second: float | None = None
    is_blocked: bool = False
    """Nothing is forwarded, and neither end is told: what was sent waits."""


CLEAR = Conditions()


class _End:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self) -> None:
        """Close at once, with a reset."""
        if not self.writer.transport.is_closing():
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()


@dataclass(eq=False)
class _Connection:
    near: _End
    """The client's end."""
    far: _End | None = None
    is_half_open: bool = False
    """The server's end is gone, and the client must not learn of it."""

    def reset(self) -> None:
        """Reset both ends."""
        self.near.reset()
        if self.far is not None:
            self.far.reset()


class Relay:
    """One client's connections to a server. Run `serve` in a task; the client connects to `host` and `port`."""

    def __init__(self, server_host: str, server_port: int) -> None:
        self._server = (server_host, server_port)
        self._conditions = CLEAR
        self._changed = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.host = _LOOPBACK
        self.port = 0

    @property
    def connections_count(self) -> int:
        """The number of connections now."""
        return len(self._connections)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Forward bytes until cancelled. The task counts as started once the port is known."""
        listener = await asyncio.start_server(self._accept, _LOOPBACK, 0)
        try:
            self.port = listener.sockets[0].getsockname()[1]
            task_status.started()
            await anyio.sleep_forever()
        finally:
            listener.close()
            self.reset()
            for task in self._tasks:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, conditions: Conditions) -> None:
        """Forward bytes under these conditions from now on."""
        self._conditions = conditions
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def reset(self) -> int:
        """Reset all connections at both ends. Returns how many there were."""
        broken = list(self._connections)
        for connection in broken:
            connection.reset()
        return len(broken)

    def lose_server_ends(self) -> int:
        """Reset the server's ends of all connections. The clients' ends stay open, and nothing more comes from them.
        Returns how many there were."""
        ends = [(connection, connection.far) for connection in self._connections if connection.far is not None]
        for connection, far in ends:
            connection.is_half_open = True
            far.reset()
        return len(ends)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(_End(reader, writer))
        self._connections.add(connection)
        try:
            await self._relay(connection)
        except* OSError:
            pass  # An end was reset, or the server can't be reached: the resets below tell the remaining end.
        finally:
            self._connections.discard(connection)
            self._tasks.discard(task)
            connection.reset()

    async def _relay(self, connection: _Connection) -> None:
        await self._passage(0)
        async with asyncio.timeout(_CONNECT_SECONDS_MAX):  # TimeoutError is an OSError.
            connection.far = far = _End(*await asyncio.open_connection(*self._server))
        async with asyncio.TaskGroup() as ways:
            ways.create_task(self._forward(connection, connection.near, far))
            ways.create_task(self._forward(connection, far, connection.near))

    async def _forward(self, connection: _Connection, source: _End, sink: _End) -> None:
        """Forward bytes in one direction until the source ends. Once the server's end is lost, nothing is forwarded,
        and what fails is not told."""
        try:
            while chunk := await source.reader.read(_CHUNK_BYTES):
                await self._passage(len(chunk))
                try:
                    if not connection.is_half_open:
                        sink.writer.write(chunk)
                        await sink.writer.drain()
                except OSError:
                    if not connection.is_half_open:
                        raise
            if not connection.is_half_open and not sink.writer.transport.is_closing():
                sink.writer.write_eof()
                await sink.writer.drain()
        except OSError:
            if not connection.is_half_open:
                raise

    async def _passage(self, bytes_count: int) -> None:
        """Wait as long as a piece of this size has to."""
        conditions = self._conditions
        if conditions.delay_seconds:
            await asyncio.sleep(conditions.delay_seconds)
        if conditions.bytes_per_second:
            await asyncio.sleep(bytes_count / conditions.bytes_per_second)
        while self._conditions.is_blocked:
            await self._changed.wait()
