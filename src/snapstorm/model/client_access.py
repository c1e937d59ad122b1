"""What makes a client of a target on any machine: a value that travels, and the place there.

The value holds passwords and keys. It stays in memory and travels over connections that are encrypted; what it holds is
written to a file only where the target's own program needs one, of mode 0600. Its `repr` shows no secret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from snapstorm.errors import HarnessError


class HidesFields(msgspec.Struct, frozen=True):
    """A value whose `repr` shows none of its fields."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


Details = TypeVar("Details", bound=HidesFields)


def encode_details(details: HidesFields) -> bytes:
    """The target's own fields, as they travel."""
    return msgspec.msgpack.encode(details)


class ClientAccess(HidesFields, frozen=True):
    """All that a target needs to know to make one client of a server, whichever machine it is on."""

    target: str
    """The name of the target."""
    client: str
    """The client's identity, `user@host`."""
    server: str
    """Where the server listens, `HOST:PORT`."""
    details: bytes
    """The target's own fields. Holds secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(target={self.target!r}, client={self.client!r}, server={self.server!r})"


def decode_details(access: ClientAccess, target: str, kind: type[Details]) -> Details:
    """The target's own fields. Raises HarnessError for a value of another target, or of another version."""
    if access.target != target:
        raise HarnessError(f"the access of {access.client} is one of the target {access.target}, not of {target}")
    try:
        return msgspec.msgpack.decode(access.details, type=kind)
    except msgspec.MsgspecError as error:
        raise HarnessError(f"the access of {access.client} can't be read: {error}") from error


@dataclass(frozen=True)
class ClientPlace:
    """Where a client is, and what its own machine adds."""

    directory: Path
    """For its configuration, cache and logs; nobody else uses it. Its last two names tell the client from all others of
    the testbed: which program runs next is drawn by them, so they are the same on every machine (`NAME/connection`)."""
    address: str | None = None
    """Where it finds the server from here, `HOST:PORT`; None if where the server listens."""
    obituary: Callable[[], str] = str
    """What to add to the evidence of a failure when the server has ended; empty while it lives, or where that is not
    known."""
