"""The table of known bugs of borg."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstorm.model.protocols import Program
from snapstorm.targets.borg.discovery import find_borg, find_version
from snapstorm.targets.borg.known_bugs import commands
from snapstorm.targets.borg.known_bugs.bench import MEASURED, Bench, open_bench
from snapstorm.targets.known_bug import KnownBug, KnownBugs

BUGS: dict[str, KnownBug[Bench]] = {bug.key: bug for bug in commands.BUGS}
"""Every known bug by its key, in the order in which they are provoked."""


def _find_programs(named: Sequence[Path]) -> Sequence[Program]:
    """Those that people have named, or one of each version that was measured."""
    return [find_borg(path) for path in named or map(find_version, MEASURED)]


KNOWN_BUGS = KnownBugs(BUGS, _find_programs, open_bench)
