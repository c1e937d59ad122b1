"""Concurrent tasks, whose first failure is raised as itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup


async def together(tasks: Iterable[Callable[[], Coroutine[Any, Any, object]]]) -> None:
    """Run all tasks concurrently. The first failure cancels the rest, and is raised itself, not in an exception
    group."""
    async with plain_task_group() as group:
        for task in tasks:
            group.start_soon(task)


@asynccontextmanager
async def beside(task: Callable[[], Coroutine[Any, Any, object]]) -> AsyncIterator[None]:
    """Run a task concurrently with the block, and end it with the block. The first failure of either is raised
    itself."""
    async with plain_task_group() as group:
        group.start_soon(task)
        yield
        group.cancel_scope.cancel()


@asynccontextmanager
async def plain_task_group() -> AsyncIterator[TaskGroup]:
    """A task group whose first failure is raised itself, not in an exception group."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from failures


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception in a group, or in the groups inside it."""
    first = group.exceptions[0]
    return first_failure(first) if isinstance(first, BaseExceptionGroup) else first
