"""Known bugs of a target: data about each, a coroutine that provokes it on a bench, and what became of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from snapstorm.errors import ConfigError, SnapstormError, did_you_mean
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.predicted_bugs import PredictedBug, Predicts
from snapstorm.model.protocols import Program
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.process import ProcessRunner

BenchT = TypeVar("BenchT")
"""Where bugs of a target are provoked: its programs, and directories that go with it."""

PASS = "pass"


@dataclass(frozen=True)
class BrokenGuarantee:
    """A guarantee that did not hold."""

    guarantee: Guarantee
    detail: str
    """What was promised and what was seen, in words."""


def nothing_needed() -> str | None:
    """For a bug that can be provoked anywhere."""
    return None


def needs_root() -> str | None:
    """For a bug that needs another user's rights, or a mount of its own."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [program for program in ("setpriv", "unshare", "nsenter") if shutil.which(program) is None]
    return f"{missing[0]} is not installed" if missing else None


@dataclass(frozen=True)
class KnownBug(Generic[BenchT]):
    """One row of the table."""

    key: str
    """The number of the target's own issue, or a name for what has none."""
    title: str
    provoked: str
    """How, in one sentence."""
    guarantee: Guarantee
    """The one that it breaks."""
    bad: frozenset[str]
    """The versions in which it shows; of `measured`, it shows in no other."""
    provoke: Callable[[BenchT], Awaitable[str | BrokenGuarantee | None]]
    """Returns in words how its guarantee was broken, another guarantee that was, or None where none was. Raises
    TargetError or HarnessError where nothing could be found out."""
    measured: Sequence[str]
    """The versions of which it is known whether it shows."""
    is_in_all: bool = False
    """Shows on any version, known to us or not: the positive control."""
    why_not_here: Callable[[], str | None] = nothing_needed
    predicts: Predicts | None = None
    """Which findings of a run are just this bug's; None where that can't be told."""

    @property
    def good(self) -> frozenset[str]:
        """The versions in which it does not show."""
        return frozenset(self.measured) - self.bad

    def is_expected(self, version: str) -> bool | None:
        """Whether it shows in this version; None for one of which nothing is known."""
        if self.is_in_all or version in self.bad:
            return True
        return False if version in self.good else None


@dataclass(frozen=True)
class Row:
    """What became of one bug on one version."""

    bug: KnownBug[Any]
    version: str
    finding: BrokenGuarantee | None
    seconds: float
    problem: str | None = None
    """Why nothing could be found out."""

    @property
    def expected(self) -> str | None:
        """The guarantee to be broken, or `pass`; None where nothing is known of the version."""
        is_expected = self.bug.is_expected(self.version)
        if is_expected is None:
            return None
        return self.bug.guarantee.value if is_expected else PASS

    @property
    def seen(self) -> str | None:
        """The guarantee that was broken, or `pass`; None where nothing could be found out."""
        if self.problem is not None:
            return None
        return self.finding.guarantee.value if self.finding else PASS

    @property
    def is_as_expected(self) -> bool | None:
        """None where nothing is expected, or nothing could be found out."""
        if self.expected is None or self.seen is None:
            return None
        return self.expected == self.seen

    @property
    def is_different(self) -> bool:
        """Whether it speaks against what is expected; where nothing is, whether a guarantee was broken."""
        if self.expected is None:
            return self.finding is not None
        return self.is_as_expected is False

    @property
    def detail(self) -> str:
        """What was seen in words; empty for a pass."""
        return self.problem or (self.finding.detail if self.finding else "")

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "bug": self.bug.key,
            "version": self.version,
            "expected": self.expected,
            "seen": self.seen,
            "is_as_expected": self.is_as_expected,
            "detail": self.detail or None,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class KnownBugs(Generic[BenchT]):
    """All known bugs of one target, and how they are provoked."""

    by_key: Mapping[str, KnownBug[BenchT]]
    """In the order in which they are provoked."""
    find_programs: Callable[[Sequence[Path]], Sequence[Program]]
    """Those that people have named, or those on which the bugs were measured. Raises HarnessError for one that can't be
    found."""
    open_bench: Callable[[Program, ProcessRunner], AbstractAsyncContextManager[BenchT]]

    def choose(self, key: str | None) -> Sequence[KnownBug[BenchT]]:
        """The bug of that key, with or without `#`; all of them for None. Raises ConfigError with the nearest key."""
        if key is None:
            return tuple(self.by_key.values())
        wanted = key.removeprefix("#")
        if wanted not in self.by_key:
            hint = did_you_mean(wanted, self.by_key)
            raise ConfigError(f"no bug is known as {key!r}; {hint}known are: {', '.join(self.by_key)}")
        return (self.by_key[wanted],)

    def predicting(self, keys: Sequence[str]) -> tuple[PredictedBug, ...]:
        """The bugs of these keys, with or without `#`. Raises ConfigError for one that predicts no findings."""
        can = {key: PredictedBug(key, bug.title, bug.predicts) for key, bug in self.by_key.items() if bug.predicts}
        for key in keys:
            if key.removeprefix("#") not in can:
                self.choose(key)
                raise ConfigError(
                    f"it can't be told which findings are of the bug {key}; of these it can: {', '.join(can)}"
                )
        return tuple(can[key] for key in dict.fromkeys(key.removeprefix("#") for key in keys))

    async def try_out(self, bug: KnownBug[BenchT], program: Program, runner: ProcessRunner) -> Row:
        """Provoke one bug on one version, on a bench of its own that leaves nothing behind."""
        clock = Clock()
        began_seconds = clock.monotonic_seconds()
        finding, problem = None, bug.why_not_here()
        if problem is None:
            try:
                async with self.open_bench(program, runner) as bench:
                    found = await bug.provoke(bench)
                    finding = BrokenGuarantee(bug.guarantee, found) if isinstance(found, str) else found
            except SnapstormError as error:
                problem = str(error)
        return Row(bug, program.version, finding, clock.monotonic_seconds() - began_seconds, problem)
