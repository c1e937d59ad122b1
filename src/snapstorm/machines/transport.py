"""What the hub and the hosts need of a transport. `scheduler_side` and `worker_side` provide it with `distributed`."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Protocol

import anyio

from snapstorm.errors import ConfigError, HarnessError

_ADDRESS = re.compile(r"tls://(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/]+):(?P<port>\d{1,5})")
_LISTENER_POLL_SECONDS = 0.1
_PORT_MAX = 65_535


def check_address(text: str) -> str:
    """An address as it was typed, `tls://HOST:PORT`. There is no other kind: without TLS any user of any machine that
    reaches the port could execute code. Raises ConfigError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _PORT_MAX:
        raise ConfigError(f"the address of the coordinator is tls://HOST:PORT, not {text!r}")
    return text


def host_and_port(address: str) -> tuple[str, int]:
    """What stands in an address. Raises ConfigError."""
    host, _, port = check_address(address).removeprefix("tls://").rpartition(":")
    return host.strip("[]"), int(port)


async def wait_for_listener(address: str, seconds_max: float, *, is_patient: bool = True) -> None:
    """Wait until somebody listens at an address. One that is not patient gives up as soon as its machine says that
    nobody does. Raises CoordinatorUnreachable."""
    host, port = host_and_port(address)
    failure: OSError = TimeoutError()
    with anyio.move_on_after(seconds_max):
        while True:
            try:
                async with await anyio.connect_tcp(host, port):
                    return
            except OSError as error:
                failure = error
            if isinstance(failure.__cause__ or failure, ConnectionRefusedError) and not is_patient:
                break
            await anyio.sleep(_LISTENER_POLL_SECONDS)
    cause = failure.__cause__ or failure
    if isinstance(cause, ConnectionRefusedError):
        raise CoordinatorUnreachable(f"no coordinator listens at {address}: has its run ended?", is_gone=True)
    if isinstance(cause, socket.gaierror):
        raise CoordinatorUnreachable(f"the host of {address} is not known", is_gone=False)
    reason = f"not within {seconds_max:g} s" if isinstance(cause, TimeoutError) else str(cause)
    raise CoordinatorUnreachable(f"the coordinator at {address} does not answer: {reason}", is_gone=False)


class CoordinatorUnreachable(HarnessError):
    """Nobody answers where the coordinator should be."""

    def __init__(self, words: str, *, is_gone: bool) -> None:
        super().__init__(words)
        self.is_gone = is_gone
        """Whether its machine says that nothing listens there."""


class Sender(Protocol):
    """One direction of a connection. Messages arrive whole and in order, at most once."""

    def send(self, message: bytes) -> None:
        """Queue a message; it is never sent again. Raises ConnectionError if the connection has ended."""
        ...

    async def sent(self) -> None:
        """Wait until no message is queued. Raises ConnectionError if the connection has ended."""
        ...


class Link(Sender, Protocol):
    """The hub's connection to one admitted host."""

    def close(self) -> None:
        """Close it once what is queued has been sent, or at once if that is not possible."""
        ...


class HostSender(Sender, Protocol):
    """An admitted host's connection to its hub."""

    async def ended(self) -> None:
        """Wait until the connection has ended."""
        ...


class Greeting(Protocol):
    """A peer that wants to be admitted, before it is."""

    @property
    def peer(self) -> str:
        """Its address, for people."""
        ...

    @property
    def hello(self) -> bytes:
        """What it says of itself."""
        ...

    async def read_clock(self) -> int:
        """What its clock says now, in nanoseconds since 1970."""
        ...


class HubEvents(Protocol):
    """What the transport tells the hub."""

    async def greet(self, greeting: Greeting) -> bytes:
        """Somebody wants to be admitted. Returns the answer to its hello."""
        ...

    def on_foreign(self, peer: str) -> None:
        """Somebody has tried to connect whose certificate the run's authority has not signed."""
        ...

    def on_registered(self, ticket: str, link: Link) -> bool:
        """Somebody has connected as the holder of a ticket, an incarnation. Returns whether it may stay."""
        ...

    def on_message(self, ticket: str, message: bytes) -> None:
        """A message has come. This may be of a host that was given up already."""
        ...

    def on_closed(self, ticket: str) -> None:
        """A connection has ended."""
        ...


ReadClock = Callable[[], int]
OnMessage = Callable[[bytes], None]
