"""Addresses are of one kind, and nobody waits for a coordinator that is known to be gone."""

from __future__ import annotations

import socket

import pytest

from snapstorm.errors import ConfigError
from snapstorm.machines.transport import CoordinatorUnreachable, check_address, wait_for_listener

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("text", ["tls://a:1", "tls://127.0.0.1:8786", "tls://[::1]:65535", "tls://h.example:80"])
def test_an_address_is_a_host_and_a_port(text: str) -> None:
    """With the scheme that says that it is encrypted."""
    assert check_address(text) == text


@pytest.mark.parametrize(
    "text", ["", "a:1", "tcp://a:1", "tls://a", "tls://a:", "tls://:1", "tls://a:65536", "tls://a:1/"]
)
def test_anything_else_is_bad_usage(text: str) -> None:
    """Above all what is not encrypted."""
    with pytest.raises(ConfigError, match="is tls://HOST:PORT, not"):
        check_address(text)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_a_listener_is_found() -> None:
    """Nothing is said to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        await wait_for_listener(f"tls://127.0.0.1:{server.getsockname()[1]}", 30)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b""


@pytest.mark.parametrize("is_patient", [True, False])
async def test_a_port_that_nobody_listens_on_is_told_as_gone(is_patient: bool) -> None:
    """After the time for one that is patient, else at once."""
    with pytest.raises(CoordinatorUnreachable, match="no coordinator listens at") as caught:
        await wait_for_listener(f"tls://127.0.0.1:{free_port()}", 0.2 if is_patient else 900, is_patient=is_patient)
    assert caught.value.is_gone


async def test_an_unknown_host_may_be_known_later() -> None:
    """It says nothing about the coordinator."""
    with pytest.raises(CoordinatorUnreachable, match="the host of tls://nowhere.invalid:1 is not known") as caught:
        await wait_for_listener("tls://nowhere.invalid:1", 0.5, is_patient=False)
    assert not caught.value.is_gone
