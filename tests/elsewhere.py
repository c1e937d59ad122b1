"""A client in another Python process, with another directory, made from nothing but the value that travels.

As a program: `python -m tests.elsewhere DIRECTORY SOURCE DESTINATION`. It reads a `ClientAccess` from its standard
input, connects, takes a snapshot of SOURCE, restores it to DESTINATION, and says what it was shown.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec

from snapstorm.model.abilities import OpensClients
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.client_access import ClientAccess, ClientPlace
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.registry import find_target

SECONDS_MAX = 120.0
OPERATION = "operation-elsewhere"


class Done(msgspec.Struct, frozen=True):
    """What the client has done and seen."""

    snapshot: str
    listed: tuple[ListedSnapshot, ...]


async def work(access: ClientAccess, directory: Path, source: Path, destination: Path) -> Done:
    """Connect, snapshot, list, restore, disconnect."""
    async with ProcessRunner("elsewhere") as runner:
        target = find_target(access.target)(runner)
        assert isinstance(target, OpensClients), f"{access.target} opens no clients"
        client = target.open_client(access, ClientPlace(directory / access.client / "connection"))
        await client.connect()
        receipt = await client.create_snapshot(source, OPERATION)
        listed = await client.list_snapshots()
        await client.restore_snapshot(receipt.id, destination)
        await client.disconnect()
        return Done(receipt.id, tuple(listed))


def work_elsewhere(access: ClientAccess, directory: Path, source: Path, destination: Path) -> Done:
    """The same in another process, whose current directory is `directory`. Raises AssertionError if it fails."""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "tests.elsewhere", directory, source, destination],
        input=msgspec.msgpack.encode(access),
        capture_output=True,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Done)


if __name__ == "__main__":
    given = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ClientAccess)
    at, source_tree, destination_tree = map(Path, sys.argv[1:])
    result = anyio.run(work, given, at, source_tree, destination_tree)
    sys.stdout.buffer.write(msgspec.json.encode(result))
