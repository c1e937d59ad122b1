"""The crash explorer: opens the storage as it was at many moments of a run, and looks for what was promised then.

Several workers take the points of a plan. Each shows the storage as it was in a directory of its own, and has the
target read it back there. Of the first losses it is searched, between the moment of the promise and the point that
shows the loss, after which write it shows first.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from snapstorm.errors import TargetError
from snapstorm.exploration.losses import Loss, LossFinder, unopened
from snapstorm.exploration.plain_storage import PlainStorage
from snapstorm.exploration.plan import Plan, Point, point_at
from snapstorm.gateway.bucket import Bucket
from snapstorm.gateway.history import StorageHistory
from snapstorm.gateway.write_log import Write
from snapstorm.model.abilities import OpensStored, StoredPlace, StoredRepository
from snapstorm.model.expectations import Expectation
from snapstorm.model.location import FileStorage
from snapstorm.model.promises import PromiseSpan
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.scenario.seeds import stream

BISECTIONS_MAX = 3
"""Of so many losses each worker searches for the write that made them. Most losses have one cause."""


@dataclass(frozen=True)
class State:
    """One state of the storage that is tried."""

    point: Point
    bucket: Bucket
    promised: Sequence[Expectation]
    early: Sequence[Write] = ()
    """Writes that a crash found under way, and that had been applied, though the log has them later."""
    lost: Sequence[Write] = ()
    """The same, not applied, though the log has them."""

    @property
    def is_prefix(self) -> bool:
        """Whether it is just what the log has until then."""
        return not self.early and not self.lost


@dataclass(frozen=True)
class Sighting:
    """A loss, and the state that shows it."""

    loss: Loss
    state: State
    repository: Path
    """The directory that shows the state now."""
    is_first: bool
    """Whether the state before its last write is known not to have it."""


class Witness(Protocol):
    """Is told of losses."""

    def is_new(self, loss: Loss) -> bool:
        """Count a loss. Whether it is the first of its kind, which is to be kept."""
        ...

    def keep(self, sighting: Sighting) -> None:
        """Keep what shows it. Synchronous, for a worker thread."""
        ...


@dataclass(frozen=True)
class Depth:
    """How much is tried at each point."""

    in_flight: int
    """States in which only some of the writes under way were applied."""
    restore_every: int
    """At each so many-th point, everything is listed, and one snapshot restored and compared."""
    seed: int
    seconds_max: float | None = None
    """No point is begun after this time."""


@dataclass
class Tried:
    """How far an exploration has come."""

    points: int = 0
    states: int = 0
    in_flight_states: int = 0
    last_event: int = 0
    is_out_of_time: bool = False


@dataclass(frozen=True)
class Scene:
    """What an exploration needs to know of its testbed."""

    history: StorageHistory
    spans: Sequence[PromiseSpan]
    target: OpensStored
    place: StoredPlace
    """Of which each worker takes a directory of its own."""


@dataclass
class Explorer:
    """Explores one plan."""

    scene: Scene
    plan: Plan
    depth: Depth
    finder: LossFinder
    clock: Clock
    witness: Witness
    on_state: Callable[[Tried], None]
    tried: Tried = field(default_factory=Tried)

    async def explore(self, workers: int) -> None:
        """Try all points, or as many as there is time for. Raises HarnessError where the machine fails, TestbedError
        where the history does."""
        deadline = None if self.depth.seconds_max is None else self.clock.monotonic_seconds() + self.depth.seconds_max
        waiting = self._states(deadline)
        await together([functools.partial(self._work, number, waiting) for number in range(1, workers + 1)])

    def _states(self, deadline: float | None) -> Iterator[Sequence[State]]:
        """The states of one point after the other. Made when they are taken, so that the past is gone through in
        order."""
        for point in self.plan.points:
            if deadline is not None and self.clock.monotonic_seconds() >= deadline:
                self.tried.is_out_of_time = True
                return
            yield list(self._states_at(point))

    def _states_at(self, point: Point) -> Iterator[State]:
        timeline = self.scene.history.timeline
        yield State(point, timeline.bucket_after(point.count), point.promised)
        seen: set[tuple[tuple[Write, ...], tuple[Write, ...]]] = set()
        for number in range(self.depth.in_flight):
            crash = timeline.crash_state(point.count, stream(self.depth.seed, "in flight", point.count, number))
            if crash is None or (crash.early, crash.lost) in seen or not point.promised_last:
                continue
            seen.add((crash.early, crash.lost))
            if all(not found.content.is_dropped for found in crash.bucket.objects.values()):
                yield State(point, crash.bucket, point.promised_last, crash.early, crash.lost)

    async def _work(self, number: int, waiting: Iterator[Sequence[State]]) -> None:
        worker = _Worker(self, number)
        for states in waiting:
            for state in states:
                await worker.try_state(state)
                self.tried.states += 1
                self.tried.in_flight_states += not state.is_prefix
                self.on_state(self.tried)
            self.tried.points += 1


class _Worker:
    """Opens one state after the other."""

    def __init__(self, explorer: Explorer, number: int) -> None:
        self._explorer = explorer
        self._finder = explorer.finder
        scene = explorer.scene
        directory = scene.place.directory / f"worker-{number}"
        self._scratch = directory / "restores"
        self._storage = PlainStorage(directory / "repository", scene.history.contents, scene.target)
        self._place = StoredPlace(
            storage=FileStorage(self._storage.directory),
            directory=directory / "connection",
            secret=scene.place.secret,
            storage_secrets={},
            operation_seconds_max=scene.place.operation_seconds_max,
            clock=scene.place.clock,
        )
        self._repository: StoredRepository | None = None
        self._bisections_left = BISECTIONS_MAX
        self._tried = 0

    async def try_state(self, state: State) -> None:
        """Look for losses in this state, and report each."""
        losses = await self._look(state)
        if not losses and self._tried % self._explorer.depth.restore_every == 0:
            draws = stream(self._explorer.depth.seed, "restore", state.point.count, len(state.early), len(state.lost))
            losses = await self._finder.compare(await self._open(), state.promised, draws, self._scratch)
        self._tried += 1
        for loss in losses:
            if self._explorer.witness.is_new(loss):
                await self._keep(loss, state)

    async def _keep(self, loss: Loss, state: State) -> None:
        """Find the first state that has this loss, and have it kept."""
        is_first = state.is_prefix and self._bisections_left > 0
        if is_first:
            self._bisections_left -= 1
            state = await self._first_state_with(loss, state)
        again = next((one for one in await self._look(state) if one.key == loss.key), loss)
        sighting = Sighting(again, state, self._storage.directory, is_first)
        await run_file_work(self._explorer.witness.keep, sighting)

    async def _first_state_with(self, loss: Loss, state: State) -> State:
        """The state after the first write, of those since the snapshot was promised, that shows its loss."""
        low, found = self._count_before_promise(loss), state
        while found.point.count - low > 1:
            middle = self._state_after((low + found.point.count) // 2)
            if any(one.key == loss.key for one in await self._look(middle)):
                found = middle
            else:
                low = middle.point.count
        return found

    def _count_before_promise(self, loss: Loss) -> int:
        """How many writes there were before there was anything to lose."""
        wanted = None if loss.expectation is None else loss.expectation.operation
        events = [
            span.first_event for span in self._explorer.scene.spans if wanted in (None, span.expectation.operation)
        ]
        history = self._explorer.scene.history
        applied = history.timeline.applied
        first = max(
            bisect.bisect_right(applied, min(events, default=0)), bisect.bisect_left(applied, history.size.whole_from)
        )
        return max(0, first - 1)

    def _state_after(self, count: int) -> State:
        scene = self._explorer.scene
        point = point_at(scene.history, scene.spans, count)
        return State(point, scene.history.timeline.bucket_after(count), point.promised)

    async def _look(self, state: State) -> list[Loss]:
        await run_file_work(self._storage.show, state.bucket)
        try:
            repository = await self._open()
        except TargetError as error:
            return [unopened(error, state.promised)]
        return await self._finder.look(repository, state.promised, self._scratch)

    async def _open(self) -> StoredRepository:
        if self._repository is None:
            self._repository = await self._explorer.scene.target.open_stored(self._place)
        return self._repository
