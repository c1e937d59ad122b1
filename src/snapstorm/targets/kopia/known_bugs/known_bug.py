"""What a known bug is: data about it, and a coroutine that provokes it on a bench and says what came of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from snapstorm.model.guarantees import Guarantee
from snapstorm.targets.kopia.known_bugs.bench import Bench

MEASURED = ("0.19.0", "0.22.3", "0.23.1")
"""The versions of which the table says what to expect."""


@dataclass(frozen=True)
class BrokenGuarantee:
    """A guarantee that did not hold."""

    guarantee: Guarantee
    detail: str
    """What was promised and what was seen, in words."""


Provoke: TypeAlias = Callable[[Bench], Awaitable[BrokenGuarantee | None]]
"""Returns None where nothing was broken. Raises TargetError or HarnessError where nothing could be found out."""


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
class KnownBug:
    """One row of the table."""

    key: str
    """The number of the issue at Kopia, or a name for what has none."""
    title: str
    provoked: str
    """How, in one sentence."""
    guarantee: Guarantee
    """The one that it breaks."""
    bad: frozenset[str]
    """The versions in which it shows; of `MEASURED`, it shows in no other."""
    provoke: Provoke
    is_in_all: bool = False
    """Shows on any version, known to us or not: the positive control."""
    why_not_here: Callable[[], str | None] = nothing_needed

    @property
    def good(self) -> frozenset[str]:
        """The versions in which it does not show."""
        return frozenset(MEASURED) - self.bad

    def is_expected(self, version: str) -> bool | None:
        """Whether it shows in this version; None for one of which nothing is known."""
        if self.is_in_all or version in self.bad:
            return True
        return False if version in self.good else None
