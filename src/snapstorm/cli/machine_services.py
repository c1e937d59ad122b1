"""What a machine of a run does for the coordinator."""

from __future__ import annotations

from pathlib import Path

from snapstorm.machines.health import offer_health
from snapstorm.machines.services import Services


async def open_machine_services(workdir: Path) -> Services:
    """The services of one incarnation, which works in a directory. Raises HarnessError if it can't."""
    services = Services()
    offer_health(services, workdir)
    return services
