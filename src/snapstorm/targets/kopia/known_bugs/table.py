"""The table of known bugs, and what became of each on each version."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snapstorm.errors import ConfigError, SnapstormError
from snapstorm.model.protocols import Program
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.kopia.known_bugs import commands, epochs
from snapstorm.targets.kopia.known_bugs import lost_storage as storage
from snapstorm.targets.kopia.known_bugs import simultaneous as concurrency
from snapstorm.targets.kopia.known_bugs.bench import open_bench
from snapstorm.targets.kopia.known_bugs.known_bug import BrokenGuarantee, KnownBug

PASS = "pass"

BUGS: dict[str, KnownBug] = {bug.key: bug for bug in (*storage.BUGS, *commands.BUGS, *concurrency.BUGS, *epochs.BUGS)}
"""Every known bug by its key, in the order in which they are provoked."""


def choose(key: str | None) -> Sequence[KnownBug]:
    """The bug of that key, with or without `#`; all of them for None. Raises ConfigError with the nearest key."""
    if key is None:
        return tuple(BUGS.values())
    wanted = key.removeprefix("#")
    if wanted not in BUGS:
        near = difflib.get_close_matches(wanted, BUGS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no bug is known as {key!r}; {hint}known are: {', '.join(BUGS)}")
    return (BUGS[wanted],)


@dataclass(frozen=True)
class Row:
    """What became of one bug on one version."""

    bug: KnownBug
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


def is_different(row: Row) -> bool:
    """Whether a row speaks against what is expected; where nothing is, whether a guarantee was broken."""
    if row.expected is None:
        return row.finding is not None
    return row.is_as_expected is False


async def try_out(bug: KnownBug, program: Program, runner: ProcessRunner) -> Row:
    """Provoke one bug on one version, on a bench of its own that leaves nothing behind."""
    began_seconds = time.monotonic()
    finding, problem = None, bug.why_not_here()
    if problem is None:
        try:
            async with open_bench(program, runner) as bench:
                finding = await bug.provoke(bench)
        except SnapstormError as error:
            problem = str(error)
    return Row(bug, program.version, finding, time.monotonic() - began_seconds, problem)
