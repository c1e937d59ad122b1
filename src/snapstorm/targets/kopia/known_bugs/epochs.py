"""The known bug of index epochs (#5371): one is compacted a second time, from what is left of its indexes.

Kopia's indexes come in epochs. Maintenance replaces the indexes of an epoch (`xnN_...`) by a compacted set (`xsN_...`),
later those of many epochs by a range (`xrN_M_...`), and deletes what was replaced. Where a range has swallowed an epoch
that had no compacted set of its own, the search for the next epoch to compact gets stuck behind this gap: it comes
upon the same epoch each time. If some of that epoch's indexes were deleted meanwhile, the new set lacks their contents.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError
from snapstorm.model.guarantees import Guarantee
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.known_bug import KnownBug
from snapstorm.targets.kopia.command import Actor
from snapstorm.targets.kopia.known_bugs.bench import MEASURED, Bench, SampleTree, Signal, until

_CLOCK = Clock()
_WRITES_PER_EPOCH = 10
"""The fewest that Kopia lets an epoch end after."""
_PARAMETERS = (
    "--epoch-refresh-frequency=700ms",
    "--epoch-min-duration=10m",
    "--epoch-cleanup-safety-margin=2200ms",
    f"--epoch-advance-on-count={_WRITES_PER_EPOCH}",
    "--epoch-checkpoint-frequency=2",
    "--epoch-delete-parallelism=1",
)
_BACK_DATED_SECONDS = 20 * 60
_STOPPED_SECONDS = 0.9
"""Longer than what maintenance knows of the epochs is good for, so that it looks again and sees one more."""
_SAFETY_MARGIN_SECONDS = 2.4
_LOSS_ROUNDS = 4
_SECONDS_MAX = 90.0
_EPOCH = re.compile(r"xs(\d+)_[0-9a-f]+-(s[0-9a-f]+)-")
_RANGE = re.compile(r"xr\d+_(\d+)_")


async def _compact_an_epoch_twice(bench: Bench) -> str | None:
    await bench.create_repository()
    # Without a cache: nothing that is known of the epochs may be old.
    writer, slow = await bench.connect("writer", has_cache=False), await bench.connect("slow", has_cache=False)
    await bench.ask(writer, "repository", "set-parameters", *_PARAMETERS)
    # So that it can be killed between two deletions.
    await bench.ask(slow, "repository", "throttle", "set", "--write-requests-per-second=2")
    run = _Run(bench, writer, slow)
    while (stuck := stuck_epoch(bench.blob_ids("x"))) is None:
        await run.end_epoch()
    for _ in range(_LOSS_ROUNDS):
        await run.interrupt_deletion(stuck)
        if lost := await run.what_is_lost(stuck):
            return f"{_in_words(bench, stuck)}; {lost}"
    if len(compacted_sets(bench.blob_ids("x"))[stuck]) == 1:
        return None
    return f"{_in_words(bench, stuck)}; which of these sets is read is chance, and this time it is one that is whole"


class _Run:
    """One repository, taken from epoch to epoch."""

    def __init__(self, bench: Bench, writer: Actor, slow: Actor) -> None:
        self._bench = bench
        self._writer = writer
        self._slow = slow
        self._deadline = _CLOCK.monotonic_seconds() + _SECONDS_MAX
        self._snapshots: dict[int, list[tuple[str, SampleTree]]] = {}
        """What was taken in each epoch."""

    async def end_epoch(self) -> None:
        """Fill the current epoch, make it look old, and have maintenance end it; slowly, until there is a gap."""
        if _CLOCK.monotonic_seconds() > self._deadline:
            raise HarnessError(f"no epoch got stuck within {_SECONDS_MAX:.0f} s")
        epoch = write_epoch(self._bench.blob_ids("x"))
        prefix = f"xn{epoch}_"
        while len(self._bench.blob_ids(prefix)) < _WRITES_PER_EPOCH:
            await self._write(epoch)
        self._back_date(prefix)
        if has_gap(self._bench.blob_ids("x")):
            await self._bench.maintain(self._writer)
        else:
            await self._maintain_slowly()

    async def _write(self, epoch: int) -> None:
        number = next(self._bench.numbers)
        tree = await self._bench.write_tree(f"source-{number}", count=1, size_bytes=1000)
        snapshot = await self._bench.take_snapshot(self._writer, tree.directory, "--no-auto-maintenance")
        self._snapshots.setdefault(epoch, []).append((snapshot, tree))

    def _back_date(self, prefix: str) -> None:
        """An epoch must have lasted ten minutes, by the times of its blobs."""
        files = [path for path in self._bench.repository.rglob("*.f") if self._id(path).startswith(prefix)]
        oldest = min(files, key=lambda path: path.stat().st_mtime_ns)
        seconds = oldest.stat().st_mtime - _BACK_DATED_SECONDS
        os.utime(oldest, (seconds, seconds))

    def _id(self, path: Path) -> str:
        return "".join(path.relative_to(self._bench.repository).parts)

    async def _maintain_slowly(self) -> None:
        before = self._bench.blob_ids("xe")

        async def stop(send: Signal) -> None:
            await until(lambda: self._bench.blob_ids("xe") != before, "an epoch was ended")
            send(signal.SIGSTOP)
            await anyio.sleep(_STOPPED_SECONDS)
            send(signal.SIGCONT)

        # It may be stopped too late, or give up where what it knows must be fresh (both seen once): then the next one
        # is stopped.
        await self._bench.beside(lambda: self._bench.maintain(self._writer), stop)

    async def interrupt_deletion(self, epoch: int) -> None:
        """Kill maintenance when it has deleted one of an epoch's indexes, if it does."""
        await anyio.sleep(_SAFETY_MARGIN_SECONDS)
        await self._write(write_epoch(self._bench.blob_ids("x")))  # By its time Kopia knows what the margin has passed.
        prefix = f"xn{epoch}_"
        before = self._bench.blob_ids(prefix)
        has_ended = anyio.Event()

        async def run() -> CompletedCommand:
            try:
                return await self._bench.maintain(self._slow)
            finally:
                has_ended.set()

        async def kill(send: Signal) -> None:
            await until(
                lambda: has_ended.is_set() or self._bench.blob_ids(prefix) != before,
                "maintenance ended",
                seconds_max=60.0,
            )
            if not has_ended.is_set():
                send(signal.SIGKILL)

        await self._bench.beside(run, kill)

    async def what_is_lost(self, epoch: int) -> str | None:
        """In words, the first snapshot of an epoch that is not what was written; None if all are."""
        auditor = await self._bench.connect_auditor()
        for snapshot, tree in self._snapshots.get(epoch, ()):
            if wrong := await self._bench.what_is_wrong_with(snapshot, tree.manifest, auditor):
                return f"snapshot {snapshot}, taken in that epoch: {wrong}"
        return None


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


def _in_words(bench: Bench, epoch: int) -> str:
    count = len(compacted_sets(bench.blob_ids("x"))[epoch])
    return f"epoch {epoch} of the indexes was compacted {count} times, the last from what was left of it"


BUGS = (
    KnownBug(
        key="5371",
        title="an epoch of the indexes is compacted twice, and contents are lost",
        provoked="Maintenance is stopped while it ends an epoch, so that a range takes in one epoch too many; later it "
        "is killed while it deletes the indexes of the epoch after that, and runs again.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset({"0.19.0", "0.22.3"}),
        measured=MEASURED,
        provoke=_compact_an_epoch_twice,
    ),
)
