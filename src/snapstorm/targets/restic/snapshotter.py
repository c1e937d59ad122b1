"""One client of a repository: takes, restores, lists and deletes snapshots."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from snapstorm.errors import (
    HarnessError,
    OperationFailed,
    OperationPartial,
    OperationUnknown,
    RepositoryLocked,
    TargetError,
)
from snapstorm.filesystem.bulk_removal import remove_many_trees, set_aside
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.restic import answers, repository_answers, snapshot_answers
from snapstorm.targets.restic.command import OPERATION_TAG, TESTBED_TAG, Actor, Restic, TakenPath

ID_DIGITS = 64
_ASIDE = ".restoring"
"""What the name of a directory ends with into which restic restores, beside where the tree is to be."""


@dataclass(frozen=True)
class ResticClient:
    """Implements `ClientSnapshotter`, and `Auditor` where its actor takes no locks."""

    restic: Restic
    actor: Actor
    host: str
    """What restic is told that the client is."""
    testbed: str
    tells_counts: bool
    """Each version tells in listings what a creation has told."""
    check_repository: Callable[[str], None] = lambda _: None
    """Raises TestbedError for the id of a repository that is another one than before."""
    obituary: Callable[[], str] = str
    """What to add to the evidence of a failure when the server has ended; empty while it lives."""
    sources: MutableMapping[str, str] = field(default_factory=dict)
    """What each snapshot was taken of, by its id, as far as that has been said."""
    listed_seconds_max: float = 40.0
    """For how long it is looked whether a snapshot is listed that was acknowledged by a part of its id."""
    listed_again_seconds: float = 2.0
    """After this time it is looked again."""

    async def connect(self) -> None:
        """See that the repository lets this client in, with nothing cached: a cache would hide what it has lost."""
        drop_cache = functools.partial(remove_many_trees, self.restic.runner, set_aside(self.actor.cache))
        await together([self._look, drop_cache])

    async def _look(self) -> None:
        completed = await self.restic.read_config(self.actor)
        with self._judging():
            config = repository_answers.read_config(completed)
        self.check_repository(config.id)

    async def disconnect(self) -> None:
        """No connection is kept; forget what was cached."""
        if self.actor.cache.exists():
            await run_file_work(remove_tree, self.actor.cache)

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        """Snapshot the tree at `source`. Raises OperationUnknown unless a complete snapshot was acknowledged."""
        tags = {TESTBED_TAG: self.testbed, OPERATION_TAG: operation}
        completed = await self.restic.create_snapshot(self.actor, source, self.host, tags)
        with self._judging():
            receipt = snapshot_answers.read_receipt(completed, str(source), tells_counts=self.tells_counts)
        if len(receipt.id) < ID_DIGITS:
            receipt = replace(receipt, id=await self._whole_id(receipt.id, operation))
        self.sources[receipt.id] = str(source)
        return receipt

    async def _whole_id(self, beginning: str, operation: str) -> str:
        """The id of the snapshot that an operation has taken, of which 0.14.0 tells the first eight digits. Raises
        OperationUnknown where it can't be asked for; one that is not listed for longer than any fault of storage lasts
        stays as it is, to be judged."""
        began = anyio.current_time()
        deadline = began + self.listed_seconds_max
        while True:
            try:
                listed = await self.list_snapshots()
            except RepositoryLocked as error:
                # The snapshot is taken, so the operation can't be asked for again as others are that meet a lock.
                if anyio.current_time() >= began + self.restic.seconds_max:
                    raise OperationUnknown(_unasked(beginning, error), evidence=error.evidence) from error
                listed = ()
                deadline = max(deadline, anyio.current_time() + self.listed_again_seconds)
            except TargetError as error:
                raise OperationUnknown(
                    _unasked(beginning, error), evidence=error.evidence, blobs=error.blobs
                ) from error
            whole = [one.id for one in listed if one.operation == operation and one.id.startswith(beginning)]
            if len(whole) == 1:
                return whole[0]
            if anyio.current_time() >= deadline:
                return beginning
            await anyio.sleep(self.listed_again_seconds)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Restore a snapshot, or what is at `sub_path` in it, to `destination`, which must not exist.

        restic restores into a directory beside it, out of which the tree is moved. Where it has brought nothing back,
        there is nothing at `destination` either; what it has brought back besides stays, to be seen.
        """
        aside = _aside_of(destination)
        source = await self._source_of(snapshot)
        try:
            completed, names = await self.restic.restore(self.actor, snapshot, TakenPath(source), sub_path, aside)
            with self._judging():
                answers.check(completed, "restore", OperationFailed)
        except BaseException:
            with suppress(HarnessError):
                remove_tree(aside)
            raise
        if not await run_file_work(_move_out, names, destination, aside) and sub_path:
            raise OperationFailed(
                f"restore exited with 0 and brought nothing back: is there a {sub_path!r} in {snapshot}?"
            )

    async def _source_of(self, snapshot: str) -> str:
        if snapshot not in self.sources:
            completed = await self.restic.show_snapshot(self.actor, snapshot)
            with self._judging():
                self.sources[snapshot] = snapshot_answers.read_source(completed)
        return self.sources[snapshot]

    async def delete_snapshot(self, snapshot: str) -> None:
        """Delete a snapshot. Raises OperationUnknown when restic does not acknowledge it."""
        completed = await self.restic.delete_snapshot(self.actor, snapshot)
        with self._judging():
            snapshot_answers.check_deleted(completed)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        """Delete all but the latest snapshots of `source` by retention, which restic applies only when it is told."""
        completed = await self.restic.expire(self.actor, self.host, source, keep_latest)
        with self._judging():
            snapshot_answers.check_deleted(completed, "forget --keep-last")

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        """Everything in the repository, whoever made it."""
        completed = await self.restic.list_snapshots(self.actor)
        with self._judging():
            listed = snapshot_answers.read_listing(completed, tells_counts=self.tells_counts)
        self.sources.update((one.id, one.source) for one in listed)
        return listed

    async def verify_snapshots(self) -> None:
        """Have restic read everything in the repository back. Raises OperationPartial when it reports damage."""
        completed = await self.restic.check(self.actor)
        with self._judging():
            snapshot_answers.check_verified(completed)

    async def verify_snapshot(self, snapshot: str) -> None:
        """The same, after a look whether it is there: restic checks whole repositories only, and does not miss a
        snapshot that storage has lost (0.14.0 to 0.18.1, measured)."""
        if snapshot not in {one.id for one in await self.list_snapshots()}:
            raise OperationPartial(f"restic lists no snapshot {snapshot}")
        await self.verify_snapshots()

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Add how the server ended, if it did, to the evidence of a failure."""
        try:
            yield
        except TargetError as error:
            if last_words := self.obituary():
                answers.add_evidence(error, last_words)
            raise


def _unasked(beginning: str, error: TargetError) -> str:
    return f"backup acknowledged snapshot {beginning}, whose whole id could not be asked for: {error}"


def _aside_of(destination: Path) -> Path:
    """The directory to restore into, with nothing there. Raises HarnessError where the tree can't be moved then."""
    if os.path.lexists(destination):
        raise HarnessError(f"{destination} is in the way: a restore into what is there already proves nothing")
    return destination.with_name(destination.name + _ASIDE)


def _move_out(names: Sequence[str | None], destination: Path, aside: Path) -> bool:
    """Move what was restored out of the directory into which restic has restored it, and remove that. Whether there
    was anything."""
    restored = _find(names, aside)
    if restored is None:
        return False
    restored.rename(destination)
    for directory in restored.parents:
        with suppress(OSError):  # Something else is in it.
            directory.rmdir()
        if directory == aside:
            break
    return True


def _find(names: Sequence[str | None], directory: Path) -> Path | None:
    """What is below the directory by these names, None standing for the only entry; None if there is nothing."""
    for name in names:
        found = os.listdir(directory) if directory.is_dir() and not directory.is_symlink() else []
        if name is None and len(found) == 1:
            directory /= found[0]
        elif name in found:
            directory /= name
        else:
            return None
    return directory
