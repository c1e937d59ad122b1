"""One bench for all targets: a target that serves a testbed, and clients on it."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import ClientSnapshotter, Mode, Server, Target, TargetPlace
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.registry import find_target

_numbers = itertools.count(1)


@dataclass
class Bench:
    """A target serving a testbed."""

    target: Target
    place: TargetPlace
    server: Server
    runner: ProcessRunner
    commands: list[CompletedCommand] = field(default_factory=list)
    _shared: Client | None = None

    async def client(self) -> Client:
        """A client that nobody has used yet, connected."""
        name = f"client-{next(_numbers)}@storm"
        await self.server.add_clients([name])
        snapshotter = self.server.client(name)
        await snapshotter.connect()
        return Client(name, snapshotter, self.new_directory())

    async def shared_client(self) -> Client:
        """The client that the tests of a module share, since it costs a second to make one, in a new directory."""
        self._shared = self._shared or await self.client()
        return replace(self._shared, directory=self.new_directory())

    def new_directory(self) -> Path:
        directory = self.place.directory / "work" / str(next(_numbers))
        directory.mkdir(parents=True)
        return directory


@dataclass
class Client:
    """One client of a bench, and where one test has it work."""

    name: str
    snapshotter: ClientSnapshotter
    directory: Path

    @property
    def data(self) -> Path:
        path = self.directory / "data"
        path.mkdir(exist_ok=True)
        return path

    def free_path(self) -> Path:
        """A path at which there is nothing yet."""
        return self.directory / f"restored-{next(_numbers)}"

    async def snapshot(self, source: Path | None = None) -> tuple[str, str]:
        """Take a snapshot; its id, and that of its operation."""
        operation = f"operation-{next(_numbers)}"
        receipt = await self.snapshotter.create_snapshot(source or self.data, operation)
        return receipt.id, operation

    async def listed(self) -> set[str]:
        """The ids of the complete snapshots in the listing that were taken in this directory."""
        entries = await self.snapshotter.list_snapshots()
        mine = [entry for entry in entries if self.directory in Path(entry.source).parents]
        return {entry.id for entry in mine if entry.incomplete is None}


def find_or_fail(name: str) -> Callable[[ProcessRunner], Target]:
    """The target of that name. One that is missing fails the test: a skipped test would look like a pass."""
    try:
        return find_target(name, [])
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)


@asynccontextmanager
async def open_bench(name: str, directory: Path, mode: Mode = Mode.SERVER, **place: Any) -> AsyncIterator[Bench]:
    """A bench of its own, for tests that break or restart it. A name may have a transport: `borg+ssh`."""
    name, _, transport = name.partition("+")
    if transport:
        place = {**place, "parameters": {"transport": transport}}
    make_target = find_or_fail(name)
    secrets = FileSecretStore(directory / "secrets.toml")
    described = replace(
        TargetPlace("contract-test", directory, secrets, mode, operation_seconds_max=GIVE_UP_SECONDS), **place
    )
    commands: list[CompletedCommand] = []
    async with ProcessRunner(described.testbed, on_command=commands.append) as runner:
        target = make_target(runner)
        async with target.serve(described) as server:
            yield Bench(target, described, server, runner, commands)


NEEDS_BORG = pytest.mark.needs_borg
OVER_SSH = [NEEDS_BORG, pytest.mark.needs_sshd, pytest.mark.long]
SERVED = [
    ("memory", Mode.SERVER),
    ("kopia", Mode.SERVER),
    ("restic", Mode.SERVER),
    pytest.param(("borg", Mode.SERVER), marks=NEEDS_BORG),
    pytest.param(("borg+ssh", Mode.SERVER), marks=OVER_SSH),
]
ALL = [
    *SERVED,
    ("memory", Mode.DIRECT),
    ("kopia", Mode.DIRECT),
    pytest.param(("restic", Mode.DIRECT), marks=pytest.mark.long),
    pytest.param(("borg", Mode.DIRECT), marks=[NEEDS_BORG, pytest.mark.long]),
]


def bench_id(parameter: tuple[str, Mode]) -> str:
    return f"{parameter[0]}-{parameter[1].value}"


def tree_of(root: Path) -> dict[str, tuple[object, ...]]:
    """What a tree holds, by relative path: type, permissions, content, and the mtime of files."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (root, *root.rglob("*")):
        name = str(path.relative_to(root))
        status = path.lstat()
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("directory", status.st_mode & 0o7777)
        else:
            found[name] = ("file", status.st_mode & 0o7777, status.st_mtime_ns, path.read_bytes())
    return found
