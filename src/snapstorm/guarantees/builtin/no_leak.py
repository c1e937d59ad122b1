"""no-leak: what a server of our own holds, what commands leave behind, and what a repository holds after deletions.

Two things are judged of a server. What it holds when nobody works, at the end against the beginning: exact, but only
for one that no fault has touched. And the *floor*: the least that each process has held in the first and in the last
stretch of its life. A busy server holds more at one moment than at another; what it never lets go of raises the floor,
and that also shows where faults end servers and nobody is ever idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import (
    Footprint,
    HeldSeen,
    IdleSeen,
    LeftBehind,
    LeftBehindSeen,
    SampleSeen,
    SamplesEndSeen,
    StorageSeen,
)
from snapstorm.model.stored_size import allowed_bytes

OPEN_FILES_GROWTH_MAX = 64
"""A healthy server holds 10 when idle, with one client or many (Kopia 0.22.3 and 0.23.1, measured); one that leaks
(#4866) holds one more for each snapshot."""
MEMORY_BYTES_GROWTH_MAX = 2 << 30
"""Caches are meant to grow. More than this is no cache."""
SESSIONS_GROWTH_MAX = 8
"""The server itself may hold one; a killed one leaves it behind, and is not judged."""
OPEN_FILES_FLOOR_GROWTH_MAX = 256
"""Under load, and with faults that leave connections behind which a server gives up only after minutes."""
STRETCH_SAMPLES = 20
_LEFT_BEHIND = {
    LeftBehind.BY_COMMAND: (20, "a command has ended and left in its temporary directory: {names}"),
    LeftBehind.BESIDE_COMMANDS: (10, "commands have left files that they were not told to write: {names}"),
    LeftBehind.BESIDE_RESTORE: (20, "a restore has left beside the restored tree: {names}"),
    LeftBehind.PROCESSES: (
        10,
        "{count} process(es) that have left their process groups still ran after their commands had ended: {names}",
    ),
}
"""How it is put, and of how many the names are told."""


@dataclass
class Life:
    """The samples of one server, of which only the least of the first and of the last stretch are kept."""

    pid: int
    """The leader of its group."""
    first: Footprint | None = None
    """The floor of its first stretch, once that is over."""
    last: Footprint | None = None
    """The floor of the last stretch that is over."""
    _stretch: list[Footprint] = field(default_factory=list)

    def add(self, sample: Footprint) -> None:
        """Take one more sample."""
        self._stretch.append(sample)
        if len(self._stretch) == STRETCH_SAMPLES:
            self.last = Footprint(*map(min, zip(*self._stretch, strict=True)))
            self.first = self.first or self.last
            self._stretch.clear()

    def growth(self) -> Iterator[tuple[str, int, int, int]]:
        """What is held, the floor of the first and of the last stretch, and how much it may have grown."""
        if self.first is not None and self.last is not None:
            first, last = self.first, self.last
            yield "open files of the server", first.open_files, last.open_files, OPEN_FILES_FLOOR_GROWTH_MAX
            yield "bytes of memory of the server", first.memory_bytes, last.memory_bytes, MEMORY_BYTES_GROWTH_MAX


class NoLeak(JudgedGuarantee):
    """Follows the life of each server. Of many things that are left in one kind of place, the first is told."""

    id = Guarantee.NO_LEAK
    sentence = "Open files, memory, temporary files, and storage after delete-all and collection stay bounded."

    def __init__(self) -> None:
        self._life: Life | None = None
        self._told: set[LeftBehind] = set()

    @judges(SampleSeen)
    def judge_sample(self, seen: SampleSeen) -> Iterator[Finding]:
        if self._life is None or self._life.pid != seen.pid:
            yield from self._judge_life()
            self._life = Life(seen.pid)
        self._life.add(seen.footprint)

    @judges(SamplesEndSeen)
    def judge_last_life(self, _seen: SamplesEndSeen) -> Iterator[Finding]:
        yield from self._judge_life()

    def _judge_life(self) -> Iterator[Finding]:
        yield from _grown(
            self._life.growth() if self._life else (),
            "never fewer than {now:,} {what} while clients worked, {before:,} when its process was new",
        )

    @judges(IdleSeen)
    def judge_idle(self, seen: IdleSeen) -> Iterator[Finding]:
        first, last = seen.first, seen.last
        held = (
            ("open files of the server", first.open_files, last.open_files, OPEN_FILES_GROWTH_MAX),
            ("bytes of memory of the server", first.memory_bytes, last.memory_bytes, MEMORY_BYTES_GROWTH_MAX),
            ("unfinished files in the repository", first.unfinished_files, last.unfinished_files, 0),
            ("temporary files of the server", first.temporary_files, last.temporary_files, 0),
            ("sessions of writers", first.sessions, last.sessions, SESSIONS_GROWTH_MAX),
        )
        yield from _grown(held, "{now:,} {what} when nobody works, {before:,} at the beginning of the run")

    @judges(LeftBehindSeen)
    def judge_left_behind(self, seen: LeftBehindSeen) -> Iterator[Finding]:
        if not seen.names or seen.kind in self._told:
            return
        self._told.add(seen.kind)
        names_max, words = _LEFT_BEHIND[seen.kind]
        lines = seen.names if seen.command is None else [f"$ {seen.command}", *seen.names]
        yield Finding(
            words.format(count=len(seen.names), names=", ".join(seen.names[:names_max])),
            fingerprint=seen.kind,
            texts={"left-behind.txt": "\n".join(lines)},
        )

    @judges(StorageSeen)
    def judge_storage(self, seen: StorageSeen) -> Iterator[Finding]:
        if seen.now_bytes > seen.allowed_bytes:
            yield Finding(
                f"the repository holds {seen.now_bytes:,} bytes; {seen.marked_bytes:,} were marked, and at most "
                f"{seen.allowed_bytes:,} are allowed",
                fingerprint="storage",
            )

    @judges(HeldSeen)
    def judge_held(self, seen: HeldSeen) -> Iterator[Finding]:
        allowed = allowed_bytes(seen.needed_bytes)
        if seen.held_bytes > allowed:
            yield Finding(
                f"the storage does not level off: it holds {seen.held_bytes:,} bytes; all files of the snapshots that "
                f"were there since the last {seen.collections} full collections have {seen.needed_bytes:,}, and at "
                f"most {allowed:,} are allowed",
                fingerprint="storage over time",
            )


def _grown(held: Iterable[tuple[str, int, int, int]], words: str) -> Iterator[Finding]:
    """Of what is held, what was held before, is held now, and by how much that may be more: what has grown by more."""
    for what, before, now, growth_max in held:
        if now - before > growth_max:
            grown = words.format(now=now, what=what, before=before)
            yield Finding(f"{grown}; at most {growth_max:,} more are allowed", fingerprint=what)
