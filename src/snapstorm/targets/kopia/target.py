"""Kopia as a target: what it is, what survives it, and how it is started for one testbed."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from snapstorm.filesystem.bulk_removal import left_aside, remove_many_trees
from snapstorm.model.abilities import StoredPlace, StoredRepository
from snapstorm.model.capabilities import Capabilities, DirectoryTimes
from snapstorm.model.client_access import ClientAccess, ClientPlace
from snapstorm.model.protocols import ClientSnapshotter, Mode, Program, Server, Target, TargetDescription, TargetPlace
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.tasks import together
from snapstorm.targets.kopia import stored
from snapstorm.targets.kopia.clients import details_of, open_client
from snapstorm.targets.kopia.command import Kopia
from snapstorm.targets.kopia.direct_access import DirectAccess
from snapstorm.targets.kopia.discovery import UNKNOWN_VERSION
from snapstorm.targets.kopia.external_server import OperatorAccess, OperatorServer
from snapstorm.targets.kopia.repository import Repository
from snapstorm.targets.kopia.server import serve
from snapstorm.targets.kopia.users import Users
from snapstorm.targets.programs import Programs

CAPABILITIES = Capabilities(
    # Another directory than the root gets the newest mtime below it. Every entry counts: files, links, and
    # directories, these with the mtime that they had. An empty directory keeps its own.
    directory_mtime=DirectoryTimes.NEWEST_BELOW,
    symlink_mtime=False,  # Rounded up to microseconds.
    hard_links=False,  # Restored as copies.
    xattrs=False,  # Lost, access control lists and file capabilities as well.
    non_utf8_names=False,  # Become U+FFFD; two such names can collapse into one.
    special_files=False,  # Dropped, with exit status 0.
    sparse=False,  # Only with an option of `restore` that is off by default.
    # A placeholder of a shallow restore; a list of what to leave out; a mark that has its directory left out.
    forbidden_name_suffixes=(".kopia-entry", ".kopiaignore", "CACHEDIR.TAG"),
)
"""What survives `snapshot create` and `restore`, as root; all measured, on 0.19.0 and 0.23.1."""

MISCOUNTS_LINKS = frozenset({"0.19.0"})
"""The versions that count only the links in the root of a snapshot (#4421, see `known_bugs`); 0.22.3 and 0.23.1 are
right (measured)."""


@dataclass(frozen=True)
class KopiaTarget(Target):
    """Kopia, the first backup system under test."""

    executables: Sequence[Program]
    """The programs under test; each process is one of them."""
    runner: ProcessRunner
    verify_files_percent: int = 100
    """How many of the files `verify_snapshots` reads back. Only 100 finds every flipped byte, and only then do Kopia's
    check and our restores have to agree."""
    operator: OperatorAccess | None = None
    """A server that already runs, to be used in place of one of our own."""

    @property
    def description(self) -> TargetDescription:
        """Which Kopia this is, and what can't be judged here."""
        notes = []
        if UNKNOWN_VERSION in (program.version for program in self.executables):
            notes.append("this Kopia does not say its version; its SHA-256 tells it from others")
        notes += [
            f"Kopia {version} does not count links below the root of a snapshot (#4421), which breaks "
            "partial-is-reported wherever there are any"
            for version in dict.fromkeys(program.version for program in self.executables)
            if version in MISCOUNTS_LINKS
        ]
        if not self.capabilities.owner:
            notes.append("owners of files are not compared: restoring them needs root")
        return TargetDescription("kopia", tuple(self.executables), tuple(notes))

    @property
    def capabilities(self) -> Capabilities:
        """What survives a snapshot and a restore, for the user that this process runs as."""
        return CAPABILITIES.model_copy(update={"owner": os.geteuid() == 0})

    @property
    def modes(self) -> frozenset[Mode]:
        """Both; on somebody else's server only that one."""
        return frozenset(Mode) if self.operator is None else frozenset({Mode.SERVER})

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[Server]:
        """Create or connect to the repository at `place`, start the server, and end everything with the block."""
        kopia = self._kopia(place.operation_seconds_max, place.seed)
        await remove_many_trees(self.runner, _caches_left_aside(place))
        if self.operator is not None:
            operated = OperatorServer(kopia, place, self.operator)
            await operated.check()
            yield operated
            return
        repository = Repository(kopia, place)
        users = Users(place, repository)
        if place.mode is Mode.SERVER:
            users.prepare(place.clients_ahead if place.is_new else ())
        await repository.open()
        access = DirectAccess(kopia, place, repository, self.verify_files_percent)
        if place.mode is Mode.DIRECT:
            prepare = functools.partial(repository.prepare, has_server=False)
            await together([repository.identify, repository.connect_auditor, prepare])
            yield access
            return
        async with serve(access, users) as server:
            yield server

    # Abilities: clients on other machines, stored repositories.

    def open_client(self, access: ClientAccess, place: ClientPlace) -> ClientSnapshotter:
        """By programs of this machine. Raises HarnessError for a value that is not of a Kopia client."""
        details = details_of(access)
        return open_client(self._kopia(details.operation_seconds_max, details.seed), access, place)

    async def open_stored(self, place: StoredPlace) -> StoredRepository:
        """Connect to a stored repository, without a server and without any cache."""
        return await stored.open_stored(self._kopia(place.operation_seconds_max), place)

    def path_in_directory(self, key: str) -> PurePosixPath:
        """Where a blob lies in a repository that is stored in a directory."""
        return stored.path_in_directory(key)

    @property
    def directory_files(self) -> Mapping[str, bytes]:
        """How blobs are spread over directories."""
        return stored.DIRECTORY_FILES

    def commands_to_look(self, directory: str, snapshot: str) -> Sequence[str]:
        """By the program that was named last."""
        return stored.commands_to_look(self.executables[-1].path, directory, snapshot)

    def _kopia(self, seconds_max: float, seed: int = 0) -> Kopia:
        return Kopia(Programs([program.path for program in self.executables], seed), self.runner, seconds_max)


def _caches_left_aside(place: TargetPlace) -> list[Path]:
    """Caches that a killed run had set aside, also of clients that don't come back."""
    connections = [*place.directory.glob("clients/*/connection"), *place.server.glob("impostors/*")]
    return [path for connection in connections for path in left_aside(connection / "cache")]
