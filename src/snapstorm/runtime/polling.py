"""Waits for conditions that cause no event."""

from __future__ import annotations

from collections.abc import Callable

import anyio

_POLL_SECONDS = 0.01


async def until(condition: Callable[[], bool]) -> None:
    """Polls until the condition holds."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(_POLL_SECONDS)
