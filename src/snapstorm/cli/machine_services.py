"""The services of a machine: it answers the coordinator's calls with them."""

from __future__ import annotations

from pathlib import Path

from snapstorm.machines.health import offer_health
from snapstorm.machines.services import Services
from snapstorm.remote.exchange import CLIENTS
from snapstorm.remote.hosted_run import HostedRun


async def open_machine_services(workdir: Path, name: str) -> Services:
    """The services of one incarnation of a machine, which works in a directory. Raises HarnessError if it can't."""
    services = Services()
    offer_health(services, workdir)
    hosted = HostedRun(workdir, name)
    hosted.start()
    services.on_close(hosted.aclose)
    services.offer(CLIENTS, hosted.answer)
    return services
