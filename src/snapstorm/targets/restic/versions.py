"""Which version of restic can do what, as measured on 0.14.0, 0.16.5 and 0.18.1."""

from __future__ import annotations

import re
from typing import TypeAlias

Version: TypeAlias = tuple[int, ...]

_NUMBER = re.compile(r"\d+")

WAITS_FOR_LOCKS: Version = (0, 16, 0)
"""From which version on it knows `--retry-lock`, and parts of snapshots as `ID:DIRECTORY`."""
RESTORES_SPARSE: Version = (0, 15, 0)
"""Has `restore --sparse`."""
TELLS_SUMMARIES: Version = (0, 17, 0)
"""Listings tell of each snapshot what its creation has told."""


def read_version(text: str) -> Version:
    """The numbers of a version, as `0.18.1` or `0.18.1-dev (compiled manually)`; empty for one without any."""
    return tuple(map(int, _NUMBER.findall(text.split("-", maxsplit=1)[0])))
