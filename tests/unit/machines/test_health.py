"""A machine tells how it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.clock import SteppedClock

from snapstorm.machines.health import HEALTH, HealthQuery, offer_health
from snapstorm.machines.services import Services

pytestmark = pytest.mark.anyio


class FixedClock(SteppedClock):
    def wall_ns(self) -> int:
        return 42


async def test_health_is_of_this_process_and_of_its_directory(scratch: Path) -> None:
    """As the system says."""
    services = Services()
    offer_health(services, scratch, FixedClock())
    health = HEALTH.read_answer(await services.works["health"](HEALTH.encode(HealthQuery())))
    assert (health.pid, health.wall_ns) == (os.getpid(), 42)
    status = os.statvfs(scratch)
    assert 0 < health.disk_free_bytes <= status.f_blocks * status.f_frsize
    assert health.memory_bytes_max > 1_000_000
    assert health.cpu_seconds > 0
    assert health.host
