"""A machine as a process of its own, for tests: `host_program.py ADDRESS JOIN_FILE NAME DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from tests.unit.machines.one_hub import machine_services

from snapstorm.machines.host import HostSettings, host
from snapstorm.machines.join_file import read_join_file
from snapstorm.runtime.process import ProcessRunner


async def main(address: str, join_file: str, name: str, directory: str) -> None:
    async with ProcessRunner("machine-test") as runner:
        settings = HostSettings(address, read_join_file(Path(join_file)), name, Path(directory))
        print(await host(settings, machine_services(runner)))


if __name__ == "__main__":
    _, address_typed, join_typed, name_typed, directory_typed = sys.argv
    anyio.run(main, address_typed, join_typed, name_typed, directory_typed)
