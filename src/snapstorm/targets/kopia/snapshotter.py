"""One client of the repository: takes, restores, lists and deletes the snapshots of one identity."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import anyio

from snapstorm.errors import HarnessError, NotSaved, OperationFailed, OperationUnknown, TargetError
from snapstorm.filesystem.bulk_removal import remove_many_trees, set_aside
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.model.retention import KeepPolicy
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.command import KEEP_ALL, OPERATION_TAG, TESTBED_TAG, Actor, Kopia

_RETENTION_RESET_SECONDS_MAX = 30.0
"""How long a cancelled task may be held up to set a policy back."""

Connect: TypeAlias = Callable[[Actor, str], Awaitable[CompletedCommand]]


@dataclass(frozen=True)
class KopiaClient:
    """Implements `ClientSnapshotter`."""

    kopia: Kopia
    actor: Actor
    identity: str
    """`user@host`."""
    testbed: str
    verify_files_percent: int
    connect_command: Connect
    """How this client gets to the repository: through a server, or directly."""
    obituary: Callable[[], str] = str
    """What to add to the evidence of a failure when the server has ended; empty while it lives."""
    retention: KeepPolicy | None = None
    """What this client's sources keep by a policy of the testbed; None for everything."""
    leaves_out_identical: Callable[[str], bool] = lambda source: False
    """Whether a policy says that a tree is not saved which equals the latest snapshot of the same source."""

    async def connect(self) -> None:
        """Connect, with nothing cached: what a cache holds can be restored though the repository has lost it.

        A refused connect also makes Kopia forget the connection that there was (measured).
        """
        drop_cache = functools.partial(remove_many_trees, self.kopia.runner, set_aside(self.actor.cache))
        await together([self._connect, drop_cache])

    async def _connect(self) -> None:
        completed = await self.connect_command(self.actor, self.identity)
        with self._judging():
            answers.check(completed, "repository connect", OperationFailed)

    async def disconnect(self) -> None:
        """Forget the connection and what was cached. Logs stay, as evidence."""
        if self.actor.config.exists():
            answers.check(await self.kopia.disconnect(self.actor), "repository disconnect", OperationFailed)
        if self.actor.cache.exists():  # Where there is none, there is no reason to wait for other work on files.
            await run_file_work(remove_tree, self.actor.cache)

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        """Snapshot the tree at `source`. Raises OperationUnknown unless a complete snapshot was acknowledged."""
        await self._restore_retention()
        tags = {TESTBED_TAG: self.testbed, OPERATION_TAG: operation}
        completed = await self.kopia.create_snapshot(self.actor, source, tags)
        with self._judging():
            if self.leaves_out_identical(str(source)) and snapshot_answers.is_nothing_saved(completed):
                raise NotSaved("identical to the latest snapshot of this source, not saved")
            return snapshot_answers.read_receipt(completed)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Restore a snapshot, or what is at `sub_path` in it, to `destination`, which must not exist."""
        _check_free(destination)
        completed = await self.kopia.restore(self.actor, snapshot, sub_path, destination)
        with self._judging():
            answers.check(completed, "restore", OperationFailed)

    async def delete_snapshot(self, snapshot: str) -> None:
        """Delete a snapshot. Raises OperationUnknown when Kopia does not acknowledge it."""
        completed = await self.kopia.delete_snapshot(self.actor, snapshot)
        with self._judging():
            answers.check(completed, "snapshot delete", OperationUnknown)

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        """Everything that this identity is shown, incomplete entries included, whoever made it."""
        completed = await self.kopia.list_snapshots(self.actor)
        with self._judging():
            return snapshot_answers.read_listing(completed)

    async def verify_snapshots(self) -> None:
        """Have Kopia read this client's snapshots back. Raises OperationPartial when it reports damage."""
        completed = await self.kopia.verify_snapshots(self.actor, self.verify_files_percent)
        with self._judging():
            snapshot_answers.check_verified(completed)

    async def verify_snapshot(self, snapshot: str) -> None:
        """Have Kopia read all of one snapshot back. Raises OperationPartial when it reports damage."""
        completed = await self.kopia.verify_snapshots(self.actor, 100, snapshot)
        with self._judging():
            snapshot_answers.check_verified(completed)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        """Delete all but the latest snapshots of `source` by retention.

        Kopia applies the policy at every `snapshot create`, too, so it is set back at once, also after a failure or a
        cancellation; where that fails, or where snapstorm is killed, before the next snapshot of this client.
        """
        await self._restore_retention()
        # With its owner: Kopia takes a bare path that holds an `@` for the name of a user (measured).
        target = f"{self.identity}:{source}"
        new = self._retention_note.with_suffix(".new")
        new.write_bytes(os.fsencode(target))
        new.replace(self._retention_note)
        try:
            narrowed = await self.kopia.set_retention(self.actor, target, keep_latest)
            with self._judging():
                answers.check(narrowed, "policy set", OperationFailed)
            expired = await self.kopia.expire(self.actor, target)
            with self._judging():
                answers.check(expired, "snapshot expire", OperationUnknown)
        finally:
            with anyio.CancelScope(shield=True):
                # The expiry that was asked for has its own outcome; the next snapshot is not begun before this.
                with suppress(TargetError):
                    await self._restore_retention()

    @functools.cached_property
    def _retention_note(self) -> Path:
        """Holds the source whose policy may be narrowed now. A file, because it must outlive a kill."""
        return self.actor.directory / "narrowed-retention"

    async def _restore_retention(self) -> None:
        """Set a policy back that an earlier expiry left narrowed: the next snapshot would delete what is to stay."""
        if not self._retention_note.exists():
            return
        target = os.fsdecode(self._retention_note.read_bytes())
        completed = await self.kopia.set_retention(
            self.actor, target, self.retention or KEEP_ALL, seconds_max=_RETENTION_RESET_SECONDS_MAX
        )
        with self._judging():
            answers.check(completed, "setting retention back", OperationFailed)
        self._retention_note.unlink()

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Add how the server ended, if it did, to the evidence of a failure."""
        try:
            yield
        except TargetError as error:
            if last_words := self.obituary():
                answers.add_evidence(error, last_words)
            raise


def _check_free(destination: Path) -> None:
    if os.path.lexists(destination):
        raise HarnessError(f"{destination} is in the way: a restore into what is there already proves nothing")
