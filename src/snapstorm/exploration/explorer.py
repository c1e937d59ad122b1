"""The crash explorer: opens the storage as it was at many moments of a run, and looks for what was promised then.

Several workers take the points of a plan, one after the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from snapstorm.exploration.losses import LossFinder
from snapstorm.exploration.plan import Plan, Point
from snapstorm.exploration.states import Depth, ExploredTestbed, StorageState, Tried, Witness
from snapstorm.exploration.worker import Worker
from snapstorm.gateway.write_log import Write
from snapstorm.runtime.tasks import together
from snapstorm.scenario.seeds import stream


@dataclass
class Explorer:
    """Explores one plan."""

    scene: ExploredTestbed
    plan: Plan
    depth: Depth
    finder: LossFinder
    witness: Witness
    on_state: Callable[[Tried], None]
    tried: Tried = field(default_factory=Tried)

    async def explore(self, workers: int) -> None:
        """Try all points, or as many as there is time for. Raises HarnessError where the machine fails, TestbedError
        where the history does."""
        deadline = (
            None if self.depth.seconds_max is None else self.scene.clock.monotonic_seconds() + self.depth.seconds_max
        )
        waiting = self._states(deadline)
        await together([functools.partial(self._work, number, waiting) for number in range(1, workers + 1)])

    def _states(self, deadline: float | None) -> Iterator[Sequence[StorageState]]:
        """The states of one point after the other. Made when they are taken, so that the past is gone through in
        order."""
        for point in self.plan.points:
            if deadline is not None and self.scene.clock.monotonic_seconds() >= deadline:
                return
            yield list(self._states_at(point))

    def _states_at(self, point: Point) -> Iterator[StorageState]:
        past = self.scene.history.past
        yield StorageState(point, past.bucket_after(point.count), point.promised)
        seen: set[tuple[tuple[Write, ...], tuple[Write, ...]]] = set()
        for number in range(self.depth.in_flight):
            crash = past.crash_state(point.count, stream(self.depth.seed, "in flight", point.count, number))
            if crash is None or (crash.early, crash.lost) in seen or not point.promised_last:
                continue
            seen.add((crash.early, crash.lost))
            if all(not found.content.is_dropped for found in crash.bucket.objects.values()):
                yield StorageState(point, crash.bucket, point.promised_last, crash.early, crash.lost)

    async def _work(self, number: int, waiting: Iterator[Sequence[StorageState]]) -> None:
        worker = Worker(self.scene, self.depth, self.finder, self.witness, number)
        for states in waiting:
            for state in states:
                has_gone_on = await worker.try_state(state)
                self.tried.went_on += has_gone_on
                self.tried.states += 1
                self.tried.in_flight_states += not state.is_prefix
                self.on_state(self.tried)
            self.tried.points += 1
