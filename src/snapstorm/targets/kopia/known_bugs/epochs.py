"""The known bug of index epochs (#5371): one is compacted a second time, from what is left of its indexes.

Kopia's indexes come in epochs. Maintenance replaces the indexes of an epoch (`xnN_...`) by a compacted set (`xsN_...`),
later those of many epochs by a range (`xrN_M_...`), and deletes what was replaced. Where a range has swallowed an epoch
that had no compacted set of its own, the search for the next epoch to compact gets stuck behind this gap: it comes
upon the same epoch each time. If some of that epoch's indexes were deleted meanwhile, the new set lacks their contents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.gateway.app import Served
from snapstorm.gateway.rules import Operation, Rule, RuleEffect
from snapstorm.model.guarantees import Guarantee
from snapstorm.runtime.clock import NS_PER_SECOND, Clock, VirtualClock
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.known_bug import KnownBug
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.command import SERVER_CLOCK_SECONDS, Actor
from snapstorm.targets.kopia.discovery import find_testing_build
from snapstorm.targets.kopia.known_bugs.bench import MEASURED, Bench, behind_gateway
from snapstorm.targets.workbench import SampleTree, Signal, until

_BEGINNING = datetime(2022, 1, 1, tzinfo=UTC)
_WRITES_PER_EPOCH = 10
"""The fewest that Kopia lets an epoch end after."""
_PARAMETERS = (
    "--epoch-refresh-frequency=3m",
    "--epoch-min-duration=10m",
    "--epoch-cleanup-safety-margin=10m",
    f"--epoch-advance-on-count={_WRITES_PER_EPOCH}",
    "--epoch-checkpoint-frequency=1",
    "--epoch-delete-parallelism=1",
)
_JUMP_NS = 700 * NS_PER_SECOND
"""Longer than each of these times. All jumps together are shorter than two hours, after which maintenance rewrites
contents, and with them their indexes."""
_PAUSE_SECONDS = 0.5
"""For so long the answer waits during which the clock jumps."""
_DELETION_SECONDS = 0.5
"""How long the storage takes for a deletion: longer than another compaction takes (0.1 to 0.2 s, measured)."""
_EPOCHS_MAX = 6
_EPOCH = re.compile(r"xs(\d+)_[0-9a-f]+-(s[0-9a-f]+)-")
_RANGE = re.compile(r"xr\d+_(\d+)_")


async def _compact_an_epoch_twice(bench: Bench) -> str | None:
    """The clock of the build for virtual time can be set."""
    testing = replace(bench, program=find_testing_build(bench.program))
    clock = VirtualClock(Clock(), round(_BEGINNING.timestamp()) * NS_PER_SECOND)
    with behind_gateway(testing, clock) as (remote, gateway):
        virtual = replace(remote, clock_url=gateway.clock_url("kopia", SERVER_CLOCK_SECONDS))
        await virtual.create_repository()
        # Without a cache: nothing that is known of the epochs may be old.
        writer, other = [await virtual.connect(name, has_cache=False) for name in ("writer", "other")]
        await virtual.ask(writer, "repository", "set-parameters", *_PARAMETERS)
        run = _Run(virtual, gateway, clock, writer)
        stuck = await run.reach_stuck_epoch()
        lost = await run.compact_what_is_left(stuck, other)
        count = len(compacted_sets(run.blob_ids())[stuck])
    if count == 1 and lost is None:
        return None
    lost = lost or "which of these sets is read is chance, and this time nothing is missing from it"
    return f"epoch {stuck} of the indexes was compacted {count} times, the last from what was left of it; {lost}"


@dataclass(frozen=True)
class _Run:
    """One repository, taken from epoch to epoch."""

    bench: Bench
    gateway: Served
    clock: VirtualClock
    writer: Actor
    snapshots: dict[int, list[tuple[str, SampleTree]]] = field(default_factory=dict)
    """The snapshots that were taken in each epoch, with their trees."""

    def blob_ids(self, prefix: str = "x") -> list[str]:
        """The blobs that begin so, in the order in which they are listed."""
        keys = self.gateway.ask(lambda storage: storage.bucket.keys)
        return [key for key in keys if key.startswith(prefix)]

    async def reach_stuck_epoch(self) -> int:
        """End epochs until maintenance comes upon one that is compacted already, and return which."""
        for _ in range(_EPOCHS_MAX):
            await self._end_epoch()
            if has_gap(self.blob_ids()):
                await self._write()
                await self._maintain(self.writer)
            if (stuck := stuck_epoch(self.blob_ids())) is not None:
                return stuck
        raise HarnessError(f"no epoch got stuck within {_EPOCHS_MAX} epochs")

    async def _end_epoch(self) -> None:
        """Fill the current epoch, let it become old, and have maintenance end it; with a jump, until there is a gap."""
        prefix = f"xn{write_epoch(self.blob_ids())}_"
        await self._write()
        self.clock.advance(_JUMP_NS)
        while (missing := _WRITES_PER_EPOCH - len(self.blob_ids(prefix))) > 0:
            await self._write(missing)
        if has_gap(self.blob_ids()):
            await self._maintain(self.writer)
        else:
            await self._maintain_over_a_jump()

    async def _write(self, count: int = 1) -> None:
        """Take so many snapshots, each of which writes an index."""
        epoch, numbers = write_epoch(self.blob_ids()), self.bench.numbers
        trees = [await self.bench.write_tree(f"source-{next(numbers)}", count=1, size_bytes=1000) for _ in range(count)]
        *others, last = (tree.directory for tree in trees)
        words = ("--flush-per-source", "--no-auto-maintenance", *map(str, others))
        taken = await self.bench.create_snapshot(self.writer, last, *words)
        answers.check(taken, "snapshot create", OperationFailed)
        for tree, line in zip(trees, taken.stdout.splitlines(), strict=True):
            snapshot = snapshot_answers.read_receipt(replace(taken, stdout=line)).id
            self.snapshots.setdefault(epoch, []).append((snapshot, tree))

    async def _maintain(self, actor: Actor, *, is_full: bool = True) -> CompletedCommand:
        completed = await self.bench.maintain(actor, is_full=is_full)
        answers.check(completed, "maintenance run", OperationFailed)
        return completed

    async def _maintain_over_a_jump(self) -> None:
        """The clock jumps while the marker of the next epoch is being stored."""
        rule = Rule(RuleEffect.SLOW, frozenset({Operation.PUT}), "xe", seconds=_PAUSE_SECONDS)

        async def jump(_: Signal) -> None:
            await until(lambda: self.gateway.strikes(number).requests > 0, "an epoch was ended")
            self.clock.advance(_JUMP_NS)

        number = self.gateway.put_on(rule)
        try:
            await self.bench.beside(lambda: self._maintain(self.writer), jump)
        finally:
            self.gateway.take_off(number)

    async def compact_what_is_left(self, epoch: int, other: Actor) -> str | None:
        """Compact an epoch while maintenance deletes its indexes one by one. Returns in words what is lost by that."""
        self.clock.advance(_JUMP_NS)
        await self._write()  # By its time Kopia knows what is old enough.
        indexes, sets, lost = f"xn{epoch}_", f"xs{epoch}_", list[str]()
        slow = Rule(RuleEffect.SLOW, frozenset({Operation.DELETE}), indexes, seconds=_DELETION_SECONDS)

        async def compact(_: Signal) -> None:
            left, read = self.blob_ids(indexes), contents_of_first(self.blob_ids(sets))
            while left and not lost:
                left = await self._fewer_than(left, indexes)
                await self._maintain(other, is_full=False)
                before, read = read, contents_of_first(self.blob_ids(sets))
                if read != before and (wrong := await self._what_is_lost(epoch)):
                    lost.append(wrong)

        with self.gateway.misbehaving(slow):
            await self.bench.beside(lambda: self._maintain(self.writer), compact)
        return lost[0] if lost else await self._what_is_lost(epoch)

    async def _fewer_than(self, blobs: Sequence[str], prefix: str) -> list[str]:
        """What is left of these blobs, once one of them was deleted."""
        await until(lambda: len(self.blob_ids(prefix)) < len(blobs), "an index was deleted")
        return self.blob_ids(prefix)

    async def _what_is_lost(self, epoch: int) -> str | None:
        """In words, the first snapshot of an epoch that is not what was written; None if all are."""
        auditor = await self.bench.connect_auditor()
        for snapshot, tree in self.snapshots.get(epoch, ()):
            if wrong := await self.bench.what_is_wrong_with(snapshot, tree.manifest, auditor):
                return f"snapshot {snapshot}, taken in that epoch: {wrong}"
        return None


def contents_of_first(sets: Sequence[str]) -> str:
    """What tells the contents of the first of these compacted sets, which is the one that Kopia reads."""
    return sets[0].partition("-")[0]


def write_epoch(blobs: Sequence[str]) -> int:
    """The epoch that is written to now."""
    return max((int(blob.removeprefix("xe")) for blob in blobs if re.fullmatch(r"xe\d+", blob)), default=0)


def compacted_sets(blobs: Sequence[str]) -> dict[int, set[str]]:
    """For each epoch the sessions that have compacted it, each of which has written a set of its own."""
    found: dict[int, set[str]] = {}
    for blob in blobs:
        if match := _EPOCH.match(blob):
            found.setdefault(int(match[1]), set()).add(match[2])
    return found


def last_in_ranges(blobs: Sequence[str]) -> int:
    """The last epoch that a range has taken in; -1 if there is no range."""
    return max((int(match[1]) for blob in blobs if (match := _RANGE.match(blob))), default=-1)


def has_gap(blobs: Sequence[str]) -> bool:
    """Whether a range has taken in an epoch that has no compacted set of its own."""
    compacted = compacted_sets(blobs)
    return any(epoch not in compacted for epoch in range(last_in_ranges(blobs) + 1))


def stuck_epoch(blobs: Sequence[str]) -> int | None:
    """The epoch behind a gap and a range that is compacted already, and will be again; None if there is none."""
    following = last_in_ranges(blobs) + 1
    return following if has_gap(blobs) and following in compacted_sets(blobs) else None


BUGS = (
    KnownBug(
        key="5371",
        title="an epoch of the indexes is compacted twice, and contents are lost",
        provoked="The clock jumps while maintenance ends an epoch, so that a range takes in one epoch too many; later "
        "maintenance runs twice at once, and the storage is slow to delete the indexes of the epoch after that. On the "
        "build for virtual time, whose clock can be set.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset({"0.19.0", "0.22.3"}),
        measured=MEASURED,
        provoke=_compact_an_epoch_twice,
    ),
)
