"""The past of a bucket: what it held after each of its writes, and what a crash at any event could have left.

A crash leaves every write that was answered. Of those that were under way, which had arrived and were not answered,
each may have been applied or not. S3 is strongly consistent: once a write is applied, everybody sees it. So a write
that is left out must not have been seen by a request that came after it and that is kept.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from snapstorm.gateway.bucket import Bucket, object_of
from snapstorm.gateway.write_log import Write


class CrashState(NamedTuple):
    """What a crash could have left."""

    bucket: Bucket
    early: tuple[Write, ...]
    """Under way and applied: the log has them later."""
    lost: tuple[Write, ...]
    """Under way and not applied: the log has them earlier."""


class BucketPast:
    """The writes of a log, in order. Quick where it is asked for later and later states."""

    def __init__(self, writes: Sequence[Write], last_event: int) -> None:
        """`last_event` is that of the log."""
        self.writes = writes
        self.applied = [write.applied for write in writes]
        """The events at which they were applied."""
        self._last_event = last_event
        self._bucket = Bucket()
        self._count = 0
        self._by_arrival = sorted(writes, key=lambda write: write.arrived)
        self._arrived = 0
        self._open: list[Write] = []
        self._open_event = 0
        self._by_key: dict[str, list[Write]] = defaultdict(list)
        for write in writes:
            self._by_key[write.key].append(write)

    def __len__(self) -> int:
        """How many writes there are."""
        return len(self.writes)

    def bucket_after(self, count: int) -> Bucket:
        """What the bucket held after its first `count` writes. A copy."""
        if count < self._count:
            self._bucket, self._count = Bucket(), 0
        for write in self.writes[self._count : count]:
            self._bucket.put(write.key, object_of(write))
        self._count = count
        return self._bucket.copy()

    def events_after(self, count: int) -> tuple[int, int]:
        """The first and the last event at which the bucket held just its first `count` writes."""
        first = self.writes[count - 1].applied if count else 0
        last = self.writes[count].applied - 1 if count < len(self.writes) else self._last_event
        return first, max(first, last)

    def under_way(self, event: int) -> list[Write]:
        """The writes that had arrived by this event and were not both applied and answered, in the order in which they
        were applied. One whose answer is not on record counts as answered once it was applied: whoever was told of it
        may have been somebody that can't be asked any more."""
        if event < self._open_event:
            self._arrived, self._open = 0, []
        self._open_event = event
        while self._arrived < len(self._by_arrival) and self._by_arrival[self._arrived].arrived <= event:
            self._open.append(self._by_arrival[self._arrived])
            self._arrived += 1
        self._open = [write for write in self._open if max(write.applied, write.acknowledged or 0) > event]
        return sorted(self._open, key=lambda write: write.applied)

    def crash_state(self, count: int, draws: random.Random) -> CrashState | None:
        """What a crash could have left at the last event at which the bucket held just its first `count` writes.

        Of each write under way it is drawn whether it went as the log has it. None if all did.
        """
        _, event = self.events_after(count)
        drawn = [write for write in self.under_way(event) if draws.random() < 0.5]
        early = [write for write in drawn if write.applied > event]
        lost = self._without_those_seen([write for write in drawn if write.applied <= event], count, early)
        if not early and not lost:
            return None
        bucket = self.bucket_after(count)
        gone = {write.applied for write in lost}
        for write in lost:
            kept = [one for one in self._by_key[write.key] if one.applied <= event and one.applied not in gone]
            bucket.put(write.key, object_of(kept[-1]) if kept else None)
        for write in early:
            bucket.put(write.key, object_of(write))
        return CrashState(bucket, tuple(early), tuple(lost))

    def _without_those_seen(self, lost: Sequence[Write], count: int, early: Sequence[Write]) -> list[Write]:
        """Of the writes that are to be left out, those that no request can have seen that is kept."""
        left_out: list[Write] = []
        arrivals = [write.arrived for write in early]
        position = count
        for write in reversed(lost):
            while self.writes[position - 1].applied > write.applied:
                position -= 1
                if all(self.writes[position].applied != one.applied for one in left_out):
                    arrivals.append(self.writes[position].arrived)
            if max(arrivals, default=0) > write.applied:
                continue  # It is kept, and what arrived before it was applied can't have seen it.
            left_out.insert(0, write)
        return left_out
