"""What the hub and the hosts need of a transport. `scheduler_side` and `worker_side` provide it with `distributed`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


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
