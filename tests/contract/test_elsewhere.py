"""A client that is made on another machine, from a value alone, is the client that the server means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec
import pytest
from tests.contract.bench import NEEDS_BORG, Bench, bench_id, open_bench, tree_of
from tests.contract.test_targets import write_tree
from tests.elsewhere import OPERATION, work_elsewhere

from snapstorm.errors import AccessDenied, ConfigError
from snapstorm.model.abilities import OpensClients, ServesOtherMachines
from snapstorm.model.client_access import ClientAccess, ClientPlace
from snapstorm.model.protocols import Mode

pytestmark = pytest.mark.anyio

REACHED = [
    ("kopia", Mode.SERVER),
    ("restic", Mode.SERVER),
    pytest.param(("borg+ssh", Mode.SERVER), marks=[NEEDS_BORG, pytest.mark.needs_sshd]),
]
REFUSING = [
    ("memory", Mode.SERVER),
    ("kopia:restore-flips-a-byte", Mode.SERVER),
    ("kopia", Mode.DIRECT),
    ("restic", Mode.DIRECT),
    pytest.param(("borg", Mode.SERVER), marks=NEEDS_BORG),
    pytest.param(("borg", Mode.DIRECT), marks=NEEDS_BORG),
]
SECRET_FIELDS = ("password", "repository_password", "passphrase", "key")
OTHER_ADDRESS = "127.0.0.2"
"""Of this machine as well, and not the one that servers listen at by default."""


@pytest.fixture(scope="module", params=REACHED, ids=bench_id)
async def reached(request: pytest.FixtureRequest, module_directory: Path) -> AsyncIterator[Bench]:
    """Every target whose clients may be on other machines, at an address that is not the default one."""
    name, mode = request.param
    async with open_bench(name, module_directory / name, mode, listen_host=OTHER_ADDRESS) as opened:
        yield opened


def access_of(bench: Bench, client: str) -> ClientAccess:
    """Encoded and decoded, as it travels."""
    assert isinstance(bench.server, ServesOtherMachines)
    encoded = msgspec.msgpack.encode(bench.server.client_access(client))
    return msgspec.msgpack.decode(encoded, type=ClientAccess)


async def test_client_in_another_process_gets_its_tree_back(reached: Bench, scratch: Path) -> None:
    """From the value alone, with a directory of its own; and this process sees the same snapshot."""
    name = "far@away"
    await reached.server.add_clients([name])
    source, restored, elsewhere = scratch / "data", scratch / "restored", scratch / "elsewhere"
    for directory in (source, elsewhere):
        directory.mkdir()
    write_tree(source)
    access = access_of(reached, name)
    done = await anyio.to_thread.run_sync(work_elsewhere, access, elsewhere, source, restored)
    assert tree_of(restored) == tree_of(source)
    (seen,) = [entry for entry in done.listed if entry.id == done.snapshot]
    assert (seen.client, seen.source, seen.operation) == (name, str(source), OPERATION)
    assert seen.testbed == reached.place.testbed
    near = reached.server.client(name)
    await near.connect()
    assert done.snapshot in [entry.id for entry in await near.list_snapshots()]
    again = scratch / "again"
    await near.restore_snapshot(done.snapshot, again)
    assert tree_of(again) == tree_of(source)


async def test_a_client_that_is_shut_out_gets_in_nowhere_else(reached: Bench, scratch: Path) -> None:
    """The value does not outlive the right."""
    name = "removed@away"
    await reached.server.add_clients([name])
    access = access_of(reached, name)
    assert isinstance(reached.target, OpensClients)
    await reached.server.remove_client(name)
    with pytest.raises(AccessDenied):
        await reached.target.open_client(access, ClientPlace(scratch / name / "connection")).connect()


async def test_nothing_but_private_files_holds_what_the_value_holds(reached: Bench, scratch: Path) -> None:
    """Commands are recorded without secrets, and files of the client that hold one are closed to others."""
    name = "secretive@away"
    await reached.server.add_clients([name])
    access, before = access_of(reached, name), len(reached.commands)
    assert isinstance(reached.target, OpensClients)
    directory = scratch / name / "connection"
    client = reached.target.open_client(access, ClientPlace(directory))
    await client.connect()
    await client.list_snapshots()
    secrets = secrets_of(access)
    assert secrets
    for command in reached.commands[before:]:
        assert not [secret for secret in secrets if secret in repr(command)]
    holding = [
        path
        for path in directory.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]
    assert [path for path in holding if path.stat().st_mode & 0o077] == []


def secrets_of(access: ClientAccess) -> list[str]:
    """The passwords, and the lines of private keys, that the value holds."""
    fields = msgspec.msgpack.decode(access.details, type=dict[str, Any])
    found = [value for name, value in fields.items() if name in SECRET_FIELDS]
    return [line for value in found for line in value.splitlines() if not line.startswith("-----")]


@pytest.mark.parametrize("served", REFUSING, ids=bench_id)
async def test_what_can_not_be_elsewhere_is_refused_with_a_reason(served: tuple[str, Mode], scratch: Path) -> None:
    """One line, before anything is done."""
    name, mode = served
    async with open_bench(name, scratch, mode) as bench:
        await bench.server.add_clients(["far@away"])
        assert isinstance(bench.server, ServesOtherMachines)
        with pytest.raises(ConfigError, match="can only be on this machine: .+"):
            bench.server.client_access("far@away")
