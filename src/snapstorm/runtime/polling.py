"""Waiting for what no event tells of."""

from __future__ import annotations

from collections.abc import Callable

import anyio

_POLL_SECONDS = 0.01


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something outside this process has become true, of which no event tells."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(_POLL_SECONDS)
