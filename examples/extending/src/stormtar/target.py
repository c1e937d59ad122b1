"""The target `tar`: a snapshot is a tar archive in a directory, and a JSON file beside it that says whose it is."""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm import ConfigError, HarnessError, Mode
from snapstorm.extending import (
    AccessDenied,
    Capabilities,
    ExternalServer,
    ListedSnapshot,
    MakeTarget,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    PlainServer,
    PlainTarget,
    ProcessRunner,
    SnapshotReceipt,
    TargetDescription,
    TargetPlace,
    TargetPlugin,
    path_as_text,
)

DEFECT = "lists-in-any-order"
# Each name of a file is stored as a file of its own, because a part may be restored without the rest.
KEPT = Capabilities(hard_links=False, special_files=False, owner=os.geteuid() == 0)
TAKE = ("--create", "--format=posix", "--sparse", "--xattrs", "--numeric-owner", "--hard-dereference")
BRING_BACK = ("--extract", "--preserve-permissions", "--xattrs", "--xattrs-include=*", "--numeric-owner")


@dataclass(frozen=True)
class TarPlugin(TargetPlugin):
    def find(self, programs: Sequence[Path], defect: str | None, server: ExternalServer | None) -> MakeTarget:
        if defect not in (None, DEFECT):
            raise ConfigError(f"the one planted defect of the target tar is {DEFECT}")
        tar = shutil.which("tar")
        if tar is None:
            raise HarnessError("there is no tar: install GNU tar")
        return lambda runner: TarTarget(runner, tar, defect)


PLUGIN = TarPlugin("tar", "Tar archives in a directory.", has_programs=False, has_planted_defects=True)


@dataclass(frozen=True)
class TarTarget(PlainTarget):
    runner: ProcessRunner
    tar: str
    defect: str | None

    @property
    def description(self) -> TargetDescription:
        return TargetDescription("tar")

    @property
    def capabilities(self) -> Capabilities:
        return KEPT

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[TarServer]:
        yield TarServer(self, place)


class TarServer(PlainServer):
    """Keeps the archives, and a file for each user."""

    def __init__(self, target: TarTarget, place: TargetPlace) -> None:
        self.target, self.place, self.directory = target, place, place.repository
        try:
            if place.is_new:
                (self.directory / "users").mkdir(parents=True)
                (self.directory / "id").write_text(secrets.token_hex(16))
            self._id = (self.directory / "id").read_text()
            listed = {archive.id for archive in self.archives()}
            for left in self.directory.glob("*.tar"):
                if left.stem not in listed:
                    left.unlink()  # A run was killed while it was written.
        except OSError as error:
            raise HarnessError(f"the archives can't be opened: {error}") from error

    @property
    def repository_id(self) -> str:
        return self._id

    @property
    def authenticates(self) -> bool:
        return self.place.mode is Mode.SERVER

    @property
    def isolates_clients(self) -> bool:
        return True

    async def add_clients(self, clients: Sequence[str]) -> None:
        for client in clients:
            (self.directory / "users" / client).touch()

    async def remove_client(self, client: str) -> None:
        (self.directory / "users" / client).unlink(missing_ok=True)

    def client(self, client: str) -> TarClient:
        return TarClient(self, client, self.place.secrets.get(client))

    def impostor(self, client: str) -> TarClient:
        return TarClient(self, client, "wrong")

    async def collect_garbage(self, *, is_full: bool = True, is_safe: bool = True) -> None:
        """There is none while a run lasts."""

    def archives(self) -> list[ListedSnapshot]:
        """All snapshots, oldest first."""
        names = sorted(name for name in os.listdir(self.directory) if name.endswith(".json"))
        return [ListedSnapshot(*json.loads((self.directory / name).read_text())) for name in names]

    async def run(self, snapshot: str, *words: str | Path) -> None:
        """Run tar on the archive of a snapshot."""
        ended = await self.target.runner.run(
            [self.target.tar, "--file", self.directory / f"{snapshot}.tar", *words],
            env={"LC_ALL": "C", "PATH": os.defpath},
            seconds_max=self.place.operation_seconds_max,
        )
        said = ended.stderr.decode(errors="replace")
        if ended.timed_out:
            raise OperationTimedOut(f"tar did not end within {ended.seconds:.0f} s", evidence=said)
        if ended.exit_code:
            raise OperationFailed(f"tar ended with {ended.exit_code} on archive {snapshot}", evidence=said)


@dataclass(frozen=True)
class TarClient:
    """A client, and the password that it gives."""

    server: TarServer
    name: str
    password: str

    @contextmanager
    def _asking(self, snapshot: str | None = None) -> Iterator[list[ListedSnapshot]]:
        """A block in which the server is asked for something, with the client's snapshots. This one must be there."""
        place, directory = self.server.place, self.server.directory
        try:
            is_right = self.password == place.secrets.get(self.name) and self.name in os.listdir(directory / "users")
            if self.server.authenticates and not is_right:
                raise AccessDenied(f"{self.name} is not let in")
            own = [archive for archive in self.server.archives() if archive.client == self.name]
            if snapshot and all(archive.id != snapshot for archive in own):
                raise OperationFailed(f"there is no snapshot {snapshot}")
            yield own
        except OSError as error:
            raise OperationFailed(f"the archives can't be reached: {error}") from error

    async def connect(self) -> None:
        with self._asking():
            """No connection is kept."""

    async def disconnect(self) -> None:
        """There is none."""

    async def create_snapshot(self, source: Path, operation: str) -> SnapshotReceipt:
        with self._asking():
            snapshot = f"{time.time_ns()}-{secrets.token_hex(4)}"  # Ids sort by age.
            await self.server.run(snapshot, *TAKE, "--directory", source, ".")
            listed = (snapshot, self.name, path_as_text(source), self.server.place.testbed, operation, None)
            unfinished = self.server.directory / f"{snapshot}.unfinished"
            unfinished.write_text(json.dumps(listed))
            unfinished.rename(unfinished.with_suffix(".json"))
            return SnapshotReceipt(snapshot)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        with self._asking(snapshot):
            # What is at and below the member becomes the destination, whatever characters the names hold.
            member = os.path.join(".", os.fsdecode(sub_path)) if sub_path else "."
            name = re.sub(r"([\\&,])", r"\\\1", destination.name)
            rename = f"--transform=flags=rSH;s,^[^/]*\\(/[^/]*\\)\\{{{member.count('/')}\\}},{name},"
            where = ("--no-unquote", rename, "--directory", destination.parent, "--", member)
            await self.server.run(snapshot, *BRING_BACK, *where)

    async def delete_snapshot(self, snapshot: str) -> None:
        with self._asking(snapshot):
            self._drop(snapshot)

    async def expire_snapshots(self, source: Path, keep_latest: int) -> None:
        with self._asking() as own:
            of_source = [archive.id for archive in own if archive.source == path_as_text(source)]
            for snapshot in of_source[:-keep_latest]:
                self._drop(snapshot)

    def _drop(self, snapshot: str) -> None:
        (self.server.directory / f"{snapshot}.json").unlink()  # First: what is listed is whole.
        (self.server.directory / f"{snapshot}.tar").unlink()

    async def list_snapshots(self) -> tuple[ListedSnapshot, ...]:
        with self._asking() as own:
            if self.server.target.defect == DEFECT:
                random.shuffle(own)
            return tuple(own)

    async def verify_snapshots(self) -> None:
        with self._asking() as own:
            for archive in own:
                try:
                    await self.server.run(archive.id, "--list")
                except OperationFailed as error:
                    raise OperationPartial(f"tar can't read archive {archive.id}", evidence=error.evidence) from error
