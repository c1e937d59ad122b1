"""The relay passes bytes on, and disturbs them as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.runtime.relay import CLEAR, Conditions, Relay

pytestmark = pytest.mark.anyio


class Echo:
    """A server that sends everything back, and knows how connections to it have ended."""

    def __init__(self) -> None:
        self.port = 0
        self.endings: list[str] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
            self.endings.append("farewell")
            writer.close()
        except ConnectionError:
            self.endings.append("reset")
        self.ended.set()

    async def sees(self, ending: str) -> None:
        """Wait until the first connection has ended like this."""
        with anyio.fail_after(GIVE_UP_SECONDS):
            await self.ended.wait()
        assert self.endings == [ending]


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Echo, Relay]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    relay = Relay("127.0.0.1", echo.port)
    async with anyio.create_task_group() as tasks:
        await tasks.start(relay.serve)
        yield echo, relay
        tasks.cancel_scope.cancel()
    server.close()


async def connect(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(relay.host, relay.port)
    writer.write(b"x")
    with anyio.fail_after(GIVE_UP_SECONDS):
        assert await reader.read(1) == b"x"
    return reader, writer


async def ends_with_reset(reader: asyncio.StreamReader) -> bool:
    with anyio.fail_after(GIVE_UP_SECONDS):
        try:
            await reader.read(1)
        except ConnectionResetError:
            return True
        return False


async def test_bytes_pass_both_ways_and_so_do_farewells() -> None:
    """A megabyte comes back whole, and an end that closes is passed on."""
    async with relayed() as (echo, relay):
        reader, writer = await connect(relay)
        sent = bytes(range(256)) * 4096
        writer.write(sent)
        writer.write_eof()
        with anyio.fail_after(GIVE_UP_SECONDS):
            assert await reader.read(-1) == sent
        assert echo.endings == ["farewell"]
        writer.close()


async def test_a_reset_is_told_to_both_ends() -> None:
    """Whoever is connected gets a reset, and so does the server; the next connection works."""
    async with relayed() as (echo, relay):
        reader, writer = await connect(relay)
        assert relay.reset() == 1
        assert await ends_with_reset(reader)
        await echo.sees("reset")
        writer.close()
        (await connect(relay))[1].close()


async def test_what_is_blocked_waits() -> None:
    """Nothing comes through while the way is blocked, new connections neither; everything does afterwards."""
    async with relayed() as (_, relay):
        reader, writer = await connect(relay)
        relay.set(Conditions(is_blocked=True))
        writer.write(b"later")
        late_reader, late_writer = await asyncio.open_connection(relay.host, relay.port)
        late_writer.write(b"late")
        with anyio.move_on_after(0.2) as silence:
            await reader.read(1)
        assert silence.cancelled_caught
        relay.set(CLEAR)
        with anyio.fail_after(GIVE_UP_SECONDS):
            assert await reader.readexactly(5) == b"later"
            assert await late_reader.readexactly(4) == b"late"
        writer.close()
        late_writer.close()


async def test_a_client_does_not_learn_that_the_server_lost_its_end() -> None:
    """The server sees its connection break; the client's stays open and silent until it is reset."""
    async with relayed() as (echo, relay):
        reader, writer = await connect(relay)
        assert relay.lose_server_ends() == 1
        await echo.sees("reset")
        writer.write(b"is anybody there?")
        with anyio.move_on_after(0.2) as silence:
            await reader.read(1)
        assert silence.cancelled_caught
        relay.reset()
        assert await ends_with_reset(reader)
        writer.close()


async def test_slow_ways_take_their_time() -> None:
    """A delay and a bandwidth hold bytes up by about as much as they say."""
    async with relayed() as (_, relay):
        reader, writer = await connect(relay)
        for conditions, size_bytes in (
            (Conditions(delay_seconds=0.1), 1),
            (Conditions(bytes_per_second=200_000), 20_000),
        ):
            relay.set(conditions)
            began = anyio.current_time()
            writer.write(b"y" * size_bytes)
            with anyio.fail_after(GIVE_UP_SECONDS):
                await reader.readexactly(size_bytes)
            assert anyio.current_time() - began >= 0.19
        writer.close()


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    """A client that connects is told at once."""
    relay = Relay("127.0.0.1", 1)
    async with anyio.create_task_group() as tasks:
        await tasks.start(relay.serve)
        reader, writer = await asyncio.open_connection(relay.host, relay.port)
        with anyio.fail_after(GIVE_UP_SECONDS):
            with suppress(ConnectionResetError):
                assert await reader.read(1) == b""
        writer.close()
        tasks.cancel_scope.cancel()
