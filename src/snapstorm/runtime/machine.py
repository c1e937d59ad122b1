"""The machine: its name, and events on it that look like a failure of the target."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

_MAXRSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed since boot because memory ran out; 0 if it does not say (Linux does, in
    `/proc/vmstat`, since 4.13)."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class OwnUsage(NamedTuple):
    """What this process, without its children, has used since it started."""

    cpu_seconds: float
    memory_bytes_max: int


def own_usage() -> OwnUsage:
    """The usage as the system accounts for it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return OwnUsage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT_BYTES)


def host_name() -> str:
    """The name of this machine, for people."""
    return platform.node() or "?"


def describe_machine(directory: Path) -> dict[str, str]:
    """Facts about this machine that can help to find a cause, by name; `directory` is where the work is done. The
    machine's name is private and left out."""
    memory = _lines_of("/proc/meminfo")
    models = _lines_of("/proc/cpuinfo")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "distribution": _lines_of("/etc/os-release", "=").get("PRETTY_NAME", "?").strip('"'),
        "python": platform.python_version(),
        "processors": f"{os.cpu_count()} ({models.get('model name', '?')})",
        "memory": f"{memory.get('MemTotal', '?')}, {memory.get('MemAvailable', '?')} available",
        "user": "root" if os.geteuid() == 0 else "not root",
        "file system": f"{_file_system_of(directory)}, {shutil.disk_usage(directory).free:,} bytes free",
    }


def _lines_of(path: str, separator: str = ":") -> dict[str, str]:
    """The first value of each name in a file of lines `NAME SEPARATOR VALUE`; empty if there is no such file."""
    found: dict[str, str] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        name, _, value = line.partition(separator)
        found.setdefault(name.strip(), value.strip())
    return found


def _file_system_of(directory: Path) -> str:
    """The type of the file system that holds a directory; `?` if the system does not say."""
    try:
        mounts = [line.split()[:3] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "?"
    holding = [(len(place), kind) for _, place, kind in mounts if directory.resolve().is_relative_to(place)]
    return max(holding, default=(0, "?"))[1]
