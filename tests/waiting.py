"""Waiting for an event, however long it takes on a busy machine.

No test waits for a time: what it waits for either happens or never does. The bound is there so that a test that waits
for something that never happens fails and does not hang.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

GIVE_UP_SECONDS = 900.0
"""Only what never ends takes so long."""


def wait_until(holds: Callable[[], object], why: Callable[[], object] = lambda: "it never happened") -> None:
    """Return once this holds. What `why` says is the reason for the failure otherwise."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not holds():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


async def until(holds: Callable[[], object]) -> None:
    """The same for what happens beside other tasks."""
    with anyio.fail_after(GIVE_UP_SECONDS):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await anyio.sleep(0.01)
