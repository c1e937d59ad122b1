"""A coordinator as a process of its own, for tests: `hub_program.py DIRECTORY`. Calls the machine `b` once."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from tests.unit.machines.one_hub import CHILD
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.machines.hub import HubSettings, open_hub
from snapstorm.machines.join_file import make_credentials


async def main(directory: Path) -> None:
    async with open_hub(make_credentials(directory), HubSettings()) as hub:
        print(hub.address, flush=True)
        await hub.wait_for(1, GIVE_UP_SECONDS)
        await hub.ask("b", CHILD, str(directory / "child"), GIVE_UP_SECONDS)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
