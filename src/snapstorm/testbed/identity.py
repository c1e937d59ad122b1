"""Which client acts: it travels in a context variable, so that no call carries a client's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from snapstorm.errors import HarnessError

OUR_HOST = "@snapstorm"
"""What ends the identities of clients that we make."""

_current_client: ContextVar[str] = ContextVar("snapstorm_current_client")


def client_name(number: int) -> str:
    """The identity of a testbed's client with this number, from 1: the same in every run, so that its history is."""
    return f"client-{number}{OUR_HOST}"


@contextmanager
def acting_as(client: str) -> Iterator[None]:
    """Within this block, and the tasks started in it, `client` is the one that acts."""
    token = _current_client.set(client)
    try:
        yield
    finally:
        _current_client.reset(token)


def current_client() -> str:
    """The client in whose block this runs. Raises HarnessError outside of every client's block."""
    try:
        return _current_client.get()
    except LookupError:
        raise HarnessError(
            "no client is acting here: run this inside harness.run_clients, or inside `with acting_as(client)`"
        ) from None
