"""Replay: does recorded steps again, with their draws and choices, overlapping as they did.

A step begins when the steps of other clients that had ended before it began have ended. How long each takes is the
target's affair, so what overlapped overlaps again, but not by the same seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import anyio
from anyio.lowlevel import checkpoint

from snapstorm.actions.client import Client
from snapstorm.actions.engine import Engine
from snapstorm.runtime.tasks import together
from snapstorm.scenario.recording import RecordedStep, Recording
from snapstorm.testbed.control import Steering
from snapstorm.testbed.identity import acting_as


class ReplayProgress:
    """Which steps have ended, and as which operations of this run."""

    def __init__(self, recording: Recording) -> None:
        self._ended = {step.name: anyio.Event() for step in recording.steps}
        self._operations: dict[str, str] = {}

    async def wait(self, steps: Iterable[str]) -> None:
        """Return once all of these have ended, or will never come."""
        for step in steps:
            await self._ended[step].wait()

    def end(self, step: str, operation: str) -> None:
        """A step has ended."""
        self._operations[step] = operation
        self._ended[step].set()

    def leave(self, steps: Iterable[RecordedStep]) -> None:
        """These will not come, or have: nobody is to wait for them."""
        for step in steps:
            self._ended[step.name].set()

    def operation_of(self, step: str | None) -> str | None:
        """The operation that a step was in this run; None if it has not come."""
        return None if step is None else self._operations.get(step)


async def drive_recorded(
    clients: Sequence[Client], recording: Recording, engine: Engine, steering: Steering, progress: ReplayProgress
) -> None:
    """Have the clients do a recording, each its own steps."""

    async def drive(number: int, client: Client) -> None:
        steps = [step for step in recording.steps if step.client == number]
        try:
            with acting_as(client.name):
                for step in steps:
                    await progress.wait(step.after)
                    if not await _do(step):
                        return
        finally:
            # However it ended: the others must not wait for it for ever.
            progress.leave(steps)

    async def _do(step: RecordedStep) -> bool:
        """Whether it was done as often as it is to be."""
        operation = ""
        for _ in range(step.repeat):
            if not await steering.may_go_on():
                return False
            operation = await engine.execute_recorded(step, recording, progress.operation_of(step.of))
            await checkpoint()
        progress.end(step.name, operation)
        return True

    await together([functools.partial(drive, number, client) for number, client in enumerate(clients, start=1)])
