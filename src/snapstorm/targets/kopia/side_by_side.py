"""Doing several things at once without wrapping what goes wrong in groups of exceptions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup


async def side_by_side(*tasks: Callable[[], Awaitable[None]]) -> None:
    """Run all at once. The first that fails ends the others, and its error comes out as it is."""
    errors: list[Exception] = []

    async def run(task: Callable[[], Awaitable[None]], group: TaskGroup) -> None:
        try:
            await task()
        except Exception as error:  # noqa: BLE001 - raised again below
            errors.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(run, task, group)
    if errors:
        raise errors[0]
