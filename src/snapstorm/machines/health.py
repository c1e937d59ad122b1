"""How a machine is: asked for by the coordinator, whatever else the machine does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from snapstorm.machines.services import Method, Services
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.machine import host_name, out_of_memory_kills, own_usage


class HealthQuery(msgspec.Struct, frozen=True):
    """Asks for the health of a machine."""


class Health(msgspec.Struct, frozen=True):
    """How a machine is now."""

    host: str
    """The name of its system, for people."""
    pid: int
    wall_ns: int
    """What its clock says."""
    disk_free_bytes: int
    """Free space where it works."""
    out_of_memory_kills: int
    """Processes that the kernel has killed since boot because memory ran out."""
    memory_bytes_max: int
    cpu_seconds: float
    """What its process of snapstorm has used, without children."""


HEALTH = Method("health", HealthQuery, Health)


def offer_health(services: Services, workdir: Path, clock: Clock | None = None) -> None:
    """Answer questions for the health of this machine, which works in a directory."""
    reads = clock or Clock()

    async def health(_: HealthQuery) -> Health:
        usage = own_usage()
        return Health(
            host=host_name(),
            pid=os.getpid(),
            wall_ns=reads.wall_ns(),
            disk_free_bytes=shutil.disk_usage(workdir).free,
            out_of_memory_kills=out_of_memory_kills(),
            memory_bytes_max=usage.memory_bytes_max,
            cpu_seconds=usage.cpu_seconds,
        )

    services.offer(HEALTH, health)
