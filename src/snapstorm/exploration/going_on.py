"""Going on after a crash: time passes, full maintenance runs, and what was promised must still be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from snapstorm.errors import OperationTimedOut, TargetError
from snapstorm.exploration.losses import Loss, LossFinder, unopened
from snapstorm.exploration.plain_storage import PlainStorage
from snapstorm.exploration.states import ExploredTestbed, StorageState
from snapstorm.filesystem.removal import remove_tree
from snapstorm.gateway.views import OverlaidContents, ServedViews
from snapstorm.model.abilities import StoredRepository
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.location import FileStorage, S3Storage
from snapstorm.runtime.aws import KEY_VARIABLES
from snapstorm.runtime.clock import NS_PER_SECOND, Clock, VirtualClock
from snapstorm.runtime.threads import run_file_work

ROUNDS = 3
"""So often maintenance runs in virtual time, each time after a pause. A collection of garbage needs two rounds."""
PAUSE_SECONDS = 25 * 3600
"""Longer than every margin of safety that is known. Passes in virtual time only."""
CLOCK_SECONDS = 20.0
"""So long a command goes by the time that it was told."""


class GoingOn:
    """Goes on in one state after the other, each in a bucket of its own. Of one worker."""

    def __init__(
        self, scene: ExploredTestbed, views: ServedViews, finder: LossFinder, directory: Path, name: str
    ) -> None:
        self._scene = scene
        self._views = views
        self._finder = finder
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True)
        self._name = name
        storage = S3Storage(name, endpoint=views.endpoint, region="us-east-1")
        self._place = replace(
            scene.place,
            storage=storage,
            directory=directory / "connection",
            may_cache=True,
            storage_secrets=dict.fromkeys(KEY_VARIABLES[:2], name),
            clock=views.clock_url(name, CLOCK_SECONDS) if scene.is_virtual else None,
        )
        self._read: StoredRepository | None = None

    async def go_on(self, state: StorageState, at_ns: int, shown: Path) -> list[Loss]:
        """Let time pass in a state, run maintenance, and return what is lost after that. The maintained storage is
        copied to the directory `shown`, which is read faster than the bucket."""
        clock = VirtualClock(self._scene.clock, at_ns) if self._scene.is_virtual else self._scene.clock
        with self._contents() as contents, self._views.showing(self._name, state.bucket, contents, clock) as storage:
            loss = await self._maintain_all(state, clock)
            self._views.check()
            plain = PlainStorage(shown, contents, self._scene.target)
            await run_file_work(plain.show, storage.bucket)
            return [loss] if loss is not None else await self._look(state, shown)

    async def _maintain_all(self, state: StorageState, clock: Clock) -> Loss | None:
        try:
            remove_tree(self._place.directory)  # With all that was cached of another state.
            repository = await self._scene.target.open_stored(self._place)
        except TargetError as error:
            return unopened(error, state.promised)
        for _ in range(ROUNDS if self._scene.is_virtual else 1):
            if isinstance(clock, VirtualClock):
                clock.advance(PAUSE_SECONDS * NS_PER_SECOND)
            if (failure := await self._maintain(repository)) is not None:
                return failure
        return None

    async def _look(self, state: StorageState, shown: Path) -> list[Loss]:
        try:
            if self._read is None:
                directory = self._directory / "reading"
                place = replace(self._place, storage=FileStorage(shown), directory=directory, may_cache=False)
                self._read = await self._scene.target.open_stored(place)
        except TargetError as error:
            return [unopened(error, state.promised)]
        return list(await self._finder.look(self._read, state.promised, self._directory / "restores"))

    async def _maintain(self, repository: StoredRepository) -> Loss | None:
        try:
            try:
                await repository.maintain()
            except OperationTimedOut:
                await repository.maintain()
        except TargetError as error:
            words = f"after a crash, full maintenance fails: {error}"
            return Loss(Guarantee.AVAILABLE, words, output=error.evidence)
        return None

    @contextmanager
    def _contents(self) -> Iterator[OverlaidContents]:
        path = self._directory / "written"
        remove_tree(path)
        with OverlaidContents(path, self._scene.history.contents) as contents:
            yield contents
