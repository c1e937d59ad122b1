"""The table of known bugs of restic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstorm.model.protocols import Program
from snapstorm.targets.known_bug import KnownBug, KnownBugs
from snapstorm.targets.restic.discovery import find_restic, find_version
from snapstorm.targets.restic.known_bugs import provocations
from snapstorm.targets.restic.known_bugs.bench import MEASURED, Bench, open_bench

BUGS: dict[str, KnownBug[Bench]] = {bug.key: bug for bug in provocations.BUGS}
"""Every known bug by its key, in the order in which they are provoked."""


def _find_programs(named: Sequence[Path]) -> Sequence[Program]:
    """Those that people have named, or one of each version that was measured."""
    return [find_restic(path) for path in named or map(find_version, MEASURED)]


KNOWN_BUGS = KnownBugs(BUGS, _find_programs, open_bench)
