"""The machine: its name, and events on it that look like a failure of the target."""

from __future__ import annotations

import os
import platform
import resource
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


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
    return OwnUsage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def host_name() -> str:
    """The name of this machine, for people."""
    return platform.node() or "?"


def describe_machine(directory: Path) -> dict[str, str]:
    """Facts about this machine that can help to find a cause, by name; `directory` is where the work is done. The
    machine's name is private and left out."""
    import psutil  # noqa: PLC0415 - 9 ms, for evidence only

    memory = psutil.virtual_memory()
    distribution, model = "?", "?"
    with suppress(OSError):
        distribution = platform.freedesktop_os_release()["PRETTY_NAME"]
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    mounts = psutil.disk_partitions(all=True)
    holding = [mount for mount in mounts if directory.resolve().is_relative_to(mount.mountpoint)]
    file_system = max(holding, key=lambda mount: len(mount.mountpoint)).fstype if holding else "?"
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "distribution": distribution,
        "python": platform.python_version(),
        "processors": f"{os.cpu_count()} ({model})",
        "memory": f"{memory.total // 1024} kB, {memory.available // 1024} kB available",
        "user": "root" if os.geteuid() == 0 else "not root",
        "file system": f"{file_system}, {shutil.disk_usage(directory).free:,} bytes free",
    }


class ProcessNumbering(NamedTuple):
    """What tells whether two processes know each other by their numbers."""

    host_name: str
    boot_id: str
    """Of the kernel that runs."""
    namespace: str
    """In which processes are numbered; containers have their own."""


def process_numbering() -> ProcessNumbering:
    """That of this process; parts are empty where the system does not tell them."""
    boot_id = namespace = ""
    with suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return ProcessNumbering(platform.node(), boot_id, namespace)
