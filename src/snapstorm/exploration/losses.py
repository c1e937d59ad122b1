"""FoundLoss out what a view of the past has lost of what was promised there."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from snapstorm.errors import OperationTimedOut, TargetError
from snapstorm.filesystem.explain import explain_contents
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import scan_if_there
from snapstorm.guarantees.differences import explain, files_to_explain
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.abilities import StoredRepository
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.expectations import Expectation
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.judging import judge_restored, promise_of
from snapstorm.model.manifest import show_path
from snapstorm.runtime.threads import run_file_work

Value = TypeVar("Value")

_ALONE_MAX = 8
"""So many snapshots that were lost at an earlier point are looked at one by one; more of them at once."""


@dataclass(frozen=True)
class Loss:
    """Something that was promised and is not there."""

    guarantee: Guarantee
    detail: str
    expectation: Expectation | None = None
    """None if it is about the repository as a whole."""
    path: str | None = None
    """The first entry that differs, for people."""
    output: str = ""
    """What the target said."""
    words: Sequence[str] = ()
    """What differs in a restored tree."""

    @property
    def key(self) -> tuple[str, str | None]:
        """Tells it from others that may have another cause."""
        return self.guarantee, self.expectation.operation if self.expectation else None


@dataclass
class LookCounts:
    """How much was looked at."""

    snapshots_read: int = 0
    """Snapshots that were read back wholly, added up over all views."""
    restores: int = 0
    """Restores that were compared and are equal."""
    bytes_compared: int = 0
    accepted_losses: int = 0
    """Snapshots that are known to be lost, and that were not looked for."""


@dataclass
class LossFinder:
    """Looks for losses in opened repositories. Knows what was lost before, so that it is not searched for again."""

    ledger: Ledger
    capabilities: Capabilities
    """Under which trees are compared here and now."""
    counts: LookCounts = field(default_factory=LookCounts)
    _lost: dict[str, Guarantee] = field(default_factory=dict[str, Guarantee])
    """By operation, the snapshots that were lost at a point, and which guarantee that broke."""
    _tables: dict[str, Capabilities] = field(default_factory=dict[str, Capabilities])

    async def look(self, repository: StoredRepository, promised: Sequence[Expectation], scratch: Path) -> list[Loss]:
        """Read back everything that was promised."""
        known = [one for one in promised if one.operation in self._lost]
        groups = [[one for one in promised if one.operation not in self._lost]]
        groups += [known] if len(known) > _ALONE_MAX else [[one] for one in known]
        losses: list[Loss] = []
        for group in filter(None, groups):
            losses += await self._look_at(repository, group, scratch)
        lost = {loss.expectation.operation: loss.guarantee for loss in losses if loss.expectation is not None}
        self._lost |= lost
        is_all = any(loss.expectation is None for loss in losses)
        self.counts.snapshots_read += 0 if is_all else sum(one.operation not in lost for one in promised)
        return losses

    async def compare(
        self, repository: StoredRepository, promised: Sequence[Expectation], draws: random.Random, scratch: Path
    ) -> list[Loss]:
        """List everything, and restore and compare one of the promised snapshots that were not lost, which is drawn."""
        try:
            listed = await _twice(repository.list_snapshots)
        except TargetError as error:
            return [unopened(error, promised)]
        losses = list(_not_listed(listed, promised))
        missing = {loss.key[1] for loss in losses}
        whole = [one for one in promised if one.operation not in missing and self._can_compare(one)]
        if whole:
            losses += await self._compare_one(repository, draws.choice(whole), scratch)
        return losses

    def _can_compare(self, one: Expectation) -> bool:
        return one.operation not in self._lost and self.ledger.record.has_manifest(one.manifest)

    async def _look_at(self, repository: StoredRepository, wanted: Sequence[Expectation], scratch: Path) -> list[Loss]:
        error = await _reading_failure(repository, wanted)
        if error is None:
            return []
        try:
            listed = await _twice(repository.list_snapshots)
        except TargetError as unlisted:
            return [unopened(unlisted, wanted)]
        losses = list(_not_listed(listed, wanted))
        missing = {loss.key[1] for loss in losses}
        for one in wanted:
            if one.operation not in missing:
                losses += await self._look_alone(repository, one, scratch)
        return losses or [
            Loss(
                Guarantee.AVAILABLE,
                f"{len(wanted)} snapshots can't be read together, though each of them can alone: {error}",
                output=error.evidence,
            )
        ]

    async def _look_alone(self, repository: StoredRepository, one: Expectation, scratch: Path) -> list[Loss]:
        error = await _reading_failure(repository, [one])
        if error is None:
            return []
        words = f"snapshot {one.snapshot} of {one.client} was acknowledged, and can't be read back: {error}"
        guarantee = self._lost.get(one.operation)
        if guarantee is None:
            is_exact = self._can_compare(one) and not await self._compare_one(repository, one, scratch)
            guarantee = Guarantee.VERIFY_AGREES if is_exact else Guarantee.RESTORED_EXACTLY
            words += "; it restores exactly all the same" if is_exact else ""
        return [Loss(guarantee, words, one, output=error.evidence)]

    async def _compare_one(self, repository: StoredRepository, one: Expectation, scratch: Path) -> list[Loss]:
        snapshot = one.snapshot or ""
        with _cleared(scratch) as destination:
            try:
                await repository.restore_snapshot(snapshot, destination)
            except TargetError as error:
                words = f"snapshot {snapshot} of {one.client} was acknowledged, and can't be restored: {error}"
                return [Loss(Guarantee.RESTORED_EXACTLY, words, one, output=error.evidence)]
            return await run_file_work(self._compare_tree, one, destination)

    def _compare_tree(self, one: Expectation, tree: Path) -> list[Loss]:
        promise = promise_of(self.ledger.manifest(one.manifest), self._table_for(one))
        restored = scan_if_there(tree)
        found = judge_restored(promise, restored, is_partial=one.failed_entries > 0)
        if not found:
            self.counts.restores += 1
            self.counts.bytes_compared += restored.counts.size_bytes
            return []
        contents = explain_contents(files_to_explain(found, promise.wanted), tree)
        words = [str(difference) for difference in explain(found, promise.wanted, restored, contents)]
        detail = f"snapshot {one.snapshot} of {one.client} comes back with {len(found)} difference(s): {words[0]}"
        return [Loss(Guarantee.RESTORED_EXACTLY, detail, one, show_path(found[0].path), words=words)]

    def _table_for(self, one: Expectation) -> Capabilities:
        known = self._tables.get(one.capabilities)
        if known is None:
            promised = Capabilities.model_validate_json(one.capabilities)
            known = self._tables[one.capabilities] = promised.narrowed_to(self.capabilities)
        return known


async def _reading_failure(repository: StoredRepository, wanted: Sequence[Expectation]) -> TargetError | None:
    snapshots = [one.snapshot or "" for one in wanted]
    try:
        await _twice(lambda: repository.verify(snapshots))
    except TargetError as error:
        return error
    return None


async def _twice(ask: Callable[[], Awaitable[Value]]) -> Value:
    """What is asked for; once more if it times out, because a slow machine can be the reason."""
    try:
        return await ask()
    except OperationTimedOut:
        return await ask()


def _not_listed(listed: Sequence[ListedSnapshot], promised: Sequence[Expectation]) -> Iterator[Loss]:
    shown = {(entry.id, entry.client) for entry in listed}
    for one in promised:
        if (one.snapshot, one.client) not in shown:
            words = f"snapshot {one.snapshot} of {one.client} was acknowledged, and is not listed"
            yield Loss(Guarantee.ACKNOWLEDGED_STAYS_LISTED, words, one)


def unopened(error: TargetError, promised: Sequence[Expectation]) -> Loss:
    """The loss of all that was promised, because the repository can't be opened."""
    words = f"nothing can be listed, and {len(promised)} snapshot(s) were promised: {error}"
    return Loss(Guarantee.ACKNOWLEDGED_STAYS_LISTED, words, output=error.evidence)


@contextmanager
def _cleared(scratch: Path) -> Iterator[Path]:
    """Somewhere to restore to."""
    remove_tree(scratch)
    scratch.mkdir(mode=0o700, parents=True)
    try:
        yield scratch / "restored"
    finally:
        remove_tree(scratch)
