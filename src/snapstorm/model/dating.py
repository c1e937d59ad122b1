"""Dating: what a target says of when it took a snapshot, and how much, held against the clock and what it said before.

Retention, mounts and people go by it. Pure: whoever judges has the clock, and says when a snapshot can have been taken.
Moments are microseconds since 1970.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from snapstorm.model.action_results import Particulars

CLOCK_TOLERANCE_US = 180_000_000
"""By how much a moment may lie outside. A clock may go back by two minutes between two runs; when a run begins is known
to the second; and what is slower than a clock that is being put right is no lie of the target's."""

_RUN_NAME = re.compile(r"r(\d+)")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Particulars)
_UNITS = (("days", 86_400_000_000), ("hours", 3_600_000_000))


class TimeSpan(NamedTuple):
    """The time within which a snapshot was taken, by the clock of this machine."""

    earliest_us: int
    latest_us: int

    def seen_from(self, ahead_us: int) -> TimeSpan:
        """The same time, by a clock that is ahead by so much; negative for behind."""
        return TimeSpan(self.earliest_us + ahead_us, self.latest_us + ahead_us)


def run_of(operation: str) -> int | None:
    """The number of the run that an operation's id names; None for one that is none of ours."""
    name, dash, _ = operation.partition("-")
    return _number_of_run(name) if dash else None


@functools.lru_cache(maxsize=1024)
def _number_of_run(name: str) -> int | None:
    """A listing may name a hundred thousand operations of the same few runs."""
    match = _RUN_NAME.fullmatch(name)
    return int(match[1]) if match else None


def misdating(said: Particulars, span: TimeSpan | None) -> str:
    """How a snapshot is misdated that was taken within this span; empty if it is not, or without a span."""
    if span is None:
        return ""
    for what, moment_us in (("begun", said.began_us), ("ended", said.ended_us)):
        if moment_us is None:
            continue
        if moment_us < span.earliest_us - CLOCK_TOLERANCE_US:
            return f"{what} {_in_words(span.earliest_us - moment_us)} too early"
        if moment_us > span.latest_us + CLOCK_TOLERANCE_US:
            return f"{what} {_in_words(moment_us - span.latest_us)} too late"
    return ""


class SaidSoFar:
    """What the target has said of each snapshot in one run so far, by the operation that asked for it.

    Each particular is held against the clock when it is said for the first time, and later against what was said first,
    to the microsecond: Kopia stores it once, with the snapshot (measured, 0.19.0 to 0.23.1). Only what both say is
    compared: a target may tell something only with a creation, or only in listings. But what a listing has told of a
    snapshot, every later one must tell.
    """

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}
        """What listings have told, as a byte with a bit for each particular; and what was said first, encoded, which
        takes a quarter of the room: a testbed may have a hundred thousand snapshots."""

    def acknowledge(self, operation: str, said: Particulars) -> None:
        """A receipt says this, and has been judged."""
        self._first[operation] = _encoded(0, said)

    def contradiction(
        self, operation: str, said: Particulars | None, spans: Mapping[int, TimeSpan], ahead_us: int = 0
    ) -> str:
        """Why what a listing says of a snapshot can't be, in words; empty if it can.

        `spans`: when each run can have taken its snapshots, by its number. A run without one is not held to any.
        `ahead_us`: by how much the clock was ahead that the snapshot is dated by. `said` is None in listings that were
        recorded when this was not judged yet.
        """
        if said is None:
            return ""
        known = self._first.get(operation, _NOTHING_ENCODED)
        if _encoded(_ALL, said) == known:
            return ""  # As nearly always.
        listed, first = known[0], _decoder.decode(known[1:])
        new = Particulars(*(now if before is None else None for before, now in zip(first, said, strict=True)))
        merged = Particulars(*(now if before is None else before for before, now in zip(first, said, strict=True)))
        told = sum(1 << place for place, value in enumerate(said) if value is not None)
        self._first[operation] = _encoded(listed | told, merged)
        must_tell = Particulars(*(before if listed >> place & 1 else None for place, before in enumerate(first)))
        span = spans.get(run_of(operation) or 0)
        by_its_clock = None if span is None else span.seen_from(ahead_us)
        return _difference(first, said) or _omission(must_tell, said) or misdating(new, by_its_clock)


def _encoded(listed: int, said: Particulars) -> bytes:
    return bytes((listed,)) + _encoder.encode(said)


_ALL = (1 << len(Particulars._fields)) - 1
_NOTHING_ENCODED = _encoded(0, Particulars())


def _difference(first: Particulars, said: Particulars) -> str:
    """In what these contradict each other, of what both say; empty if in nothing."""
    for what, before, now in _moments(first, said):
        if before is not None and now is not None and before != now:
            return (
                f"{what} {_in_words(abs(now - before))} {'later' if now > before else 'earlier'} than was said before"
            )
    for what, before, now in _counts(first, said):
        if before is not None and now is not None and before != now:
            return f"one of {now:,} {what}, and was said to have {before:,} before"
    return ""


def _omission(told: Particulars, said: Particulars) -> str:
    """What listings have told before and this one does not; empty if nothing."""
    for what, before, now in _moments(told, said):
        if before is not None and now is None:
            return f"{what} at no time, and was said to be at {before / 1e6:.6f} s since 1970 before"
    for what, before, now in _counts(told, said):
        if before is not None and now is None:
            return f"one of an unknown number of {what}, and was said to have {before:,} before"
    return ""


_Pairs: TypeAlias = tuple[tuple[str, int | None, int | None], ...]


def _moments(first: Particulars, said: Particulars) -> _Pairs:
    return ("begun", first.began_us, said.began_us), ("ended", first.ended_us, said.ended_us)


def _counts(first: Particulars, said: Particulars) -> _Pairs:
    return (
        ("files", first.files, said.files),
        ("directories", first.directories, said.directories),
        ("symbolic links", first.symlinks, said.symlinks),
        ("bytes", first.size_bytes, said.size_bytes),
        ("entries that failed", first.failed_entries, said.failed_entries),
    )


def _in_words(length_us: int) -> str:
    for unit, size_us in _UNITS:
        if length_us >= 2 * size_us:
            return f"{length_us / size_us:,.1f} {unit}"
    return f"{length_us / 1e6:,.6g} s"
