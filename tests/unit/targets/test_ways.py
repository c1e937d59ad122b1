"""Each client has its own way to the server, or all go straight."""

from __future__ import annotations

import pytest

from snapstorm.targets.ways import Ways

pytestmark = pytest.mark.anyio


async def test_each_client_has_the_way_that_its_route_gives() -> None:
    """To the server's host and port, of which an address of IPv6 loses its brackets."""
    asked: list[tuple[str, str, int]] = []

    async def route(client: str, host: str, port: int) -> tuple[str, int]:
        asked.append((client, host, port))
        return "127.0.0.1", 1000 + len(asked)

    ways = Ways(route)
    await ways.find(["a", "b"], "[fd00::1]:99")
    assert asked == [("a", "fd00::1", 99), ("b", "fd00::1", 99)]
    assert [ways.of(client) for client in ("a", "b", "stranger")] == ["127.0.0.1:1001", "127.0.0.1:1002", None]


async def test_without_a_route_all_go_straight() -> None:
    """Nothing is asked for."""
    ways = Ways(None)
    await ways.find(["a"], "10.0.0.1:99")
    assert ways.of("a") is None
