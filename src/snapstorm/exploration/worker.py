"""A worker of the crash explorer: shows one state of the storage after the other, and has the target read it back.

States that are only read are shown in a directory. Of the first losses it is searched, between the moment of the
promise and the point that shows the loss, after which write it shows first.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import replace

from snapstorm.errors import TargetError
from snapstorm.exploration.going_on import CLOCK_SECONDS, GoingOn
from snapstorm.exploration.losses import Loss, LossFinder, unopened
from snapstorm.exploration.plain_storage import PlainStorage
from snapstorm.exploration.plan import point_at
from snapstorm.exploration.states import Depth, ExploredTestbed, LossSighting, Since, StorageState, Witness
from snapstorm.model.abilities import StoredRepository
from snapstorm.model.location import FileStorage
from snapstorm.runtime.clock import VirtualClock
from snapstorm.runtime.threads import run_file_work
from snapstorm.scenario.seeds import stream

BISECTIONS_MAX = 3
"""Of so many losses each worker searches for the write that made them. Most losses have one cause."""


class Worker:
    """Opens one state after the other."""

    def __init__(self, scene: ExploredTestbed, depth: Depth, finder: LossFinder, witness: Witness, number: int) -> None:
        self._scene = scene
        self._depth = depth
        self._finder = finder
        self._witness = witness
        self._name = f"worker-{number}"
        directory = scene.place.directory / self._name
        self._scratch = directory / "restores"
        self._went_on = directory / "went-on"
        self._storage = PlainStorage(directory / "repository", scene.history.contents, scene.target)
        self._place = replace(
            scene.place,
            storage=FileStorage(self._storage.directory),
            directory=directory / "connection",
            clock=scene.views.clock_url(self._name, CLOCK_SECONDS) if scene.is_virtual and scene.views else None,
        )
        self._going_on: GoingOn | None = None
        if depth.goes_on and scene.views is not None:
            name = f"{self._name}-on"
            self._going_on = GoingOn(scene, scene.views, finder, directory / "going-on", name)
        self._repository: StoredRepository | None = None
        self._bisections_left = BISECTIONS_MAX
        self._tried = 0

    async def try_state(self, state: StorageState) -> bool:
        """Look for losses in this state, and report each. Returns whether it has gone on with it."""
        losses = await self._look(state)
        if self._tried % self._depth.restore_every == 0:
            losses += await self._compare(state, losses)
        self._tried += 1
        for loss in losses:
            if self._witness.is_new(loss):
                await self._keep(loss, state)
        if losses or self._going_on is None:
            return False
        for loss in await self._going_on.go_on(state, self._at_ns(state), self._went_on):
            if self._witness.is_new(loss):
                sighting = LossSighting(loss, state, self._went_on, Since.UNKNOWN, has_gone_on=True)
                await run_file_work(self._witness.keep, sighting)
        return True

    async def _compare(self, state: StorageState, lost: Sequence[Loss]) -> list[Loss]:
        """List everything that is not lost, and restore and compare one of it."""
        gone = {loss.key[1] for loss in lost}
        left = [one for one in state.promised if one.operation not in gone]
        if None in gone or not left:
            return []
        draws = stream(self._depth.seed, "restore", state.point.count, len(state.early), len(state.lost))
        return await self._finder.compare(await self._open(), left, draws, self._scratch)

    async def _keep(self, loss: Loss, state: StorageState) -> None:
        """Find the first state that has this loss, and have it kept."""
        since = Since.UNKNOWN
        if state.is_prefix and self._bisections_left > 0:
            self._bisections_left -= 1
            low = self._count_before_promise(loss)
            state = await self._first_state_with(loss, state, low)
            since = Since.PROMISE if state.point.count == low + 1 else Since.WRITE
        again = next((one for one in await self._look(state) if one.key == loss.key), loss)
        await run_file_work(self._witness.keep, LossSighting(again, state, self._storage.directory, since))

    def _at_ns(self, state: StorageState) -> int:
        """The time of the storage at a cut."""
        return self._scene.history.past.writes[state.point.count - 1].at_ns

    async def _first_state_with(self, loss: Loss, state: StorageState, low: int) -> StorageState:
        """The state after the first write, of those after the first `low` ones, that shows a loss."""
        found = state
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
        events = [span.first_event for span in self._scene.spans if wanted in (None, span.expectation.operation)]
        history = self._scene.history
        applied = history.past.applied
        first = max(
            bisect.bisect_right(applied, min(events, default=0)), bisect.bisect_left(applied, history.size.whole_from)
        )
        return max(0, first - 1)

    def _state_after(self, count: int) -> StorageState:
        scene = self._scene
        point = point_at(scene.history, scene.spans, count)
        return StorageState(point, scene.history.past.bucket_after(count), point.promised)

    async def _look(self, state: StorageState) -> list[Loss]:
        await run_file_work(self._storage.show, state.bucket)
        if self._scene.is_virtual and self._scene.views is not None:
            self._scene.views.set_clock(self._name, VirtualClock(self._scene.clock, self._at_ns(state)))
        try:
            repository = await self._open()
        except TargetError as error:
            return [unopened(error, state.promised)]
        return await self._finder.look(repository, state.promised, self._scratch)

    async def _open(self) -> StoredRepository:
        if self._repository is None:
            self._repository = await self._scene.target.open_stored(self._place)
        return self._repository
