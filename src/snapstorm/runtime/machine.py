"""The machine: its name, and what it did to us that looks like a target's failure and is not."""

from __future__ import annotations

import platform
import resource
import sys
from pathlib import Path
from typing import NamedTuple

_MAXRSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed since boot because memory ran out; 0 where it does not say (Linux does,
    in `/proc/vmstat`, since 4.13)."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class OwnUsage(NamedTuple):
    """What this process, without its children, has used since it began."""

    cpu_seconds: float
    memory_bytes_max: int


def own_usage() -> OwnUsage:
    """As the system accounts it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return OwnUsage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT_BYTES)


def host_name() -> str:
    """What this machine calls itself, for people."""
    return platform.node() or "?"
