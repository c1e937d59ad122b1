"""restic as a target: what it is, what survives it, and how it is started for one testbed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from snapstorm.errors import HarnessError
from snapstorm.filesystem.bulk_removal import left_aside, remove_many_trees
from snapstorm.model.abilities import StoredPlace, StoredRepository
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.client_access import ClientAccess, ClientPlace
from snapstorm.model.protocols import ClientSnapshotter, Mode, Program, Server, Target, TargetDescription, TargetPlace
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.programs import Programs
from snapstorm.targets.restic import stored, versions
from snapstorm.targets.restic.clients import details_of, open_client
from snapstorm.targets.restic.command import Restic
from snapstorm.targets.restic.direct_access import DirectAccess
from snapstorm.targets.restic.parameters import options_of
from snapstorm.targets.restic.repositories import Repositories
from snapstorm.targets.restic.server import serve
from snapstorm.targets.restic.versions import read_version

_XATTRS_OF_ROOT = ("security.", "trusted.")
_XATTRS = ("system.posix_acl_", "user.")


def capabilities_of(those: Sequence[versions.Version], *, is_root: bool) -> Capabilities:
    """What survives a snapshot and a restore by any of these versions: everything but sockets, which are left out with
    exit status 0 (0.14.0 to 0.18.1, measured)."""
    return Capabilities(
        owner=is_root,
        sockets=False,
        xattr_prefixes=(*(_XATTRS_OF_ROOT if is_root else ()), *_XATTRS),
        sparse=all(version >= versions.RESTORES_SPARSE for version in those),
    )


@dataclass(frozen=True)
class ResticTarget(Target):
    """restic, with rest-server before its repositories."""

    executables: Sequence[Program]
    """The programs under test; each process is one of them."""
    server: Program | HarnessError
    """The rest-server, or why there is none."""
    runner: ProcessRunner

    @property
    def description(self) -> TargetDescription:
        """Which restic this is, and what can't be judged here."""
        notes = []
        if isinstance(self.server, Program):
            notes.append(f"rest-server {self.server.version}, SHA-256 {self.server.sha256[:16]}")
        if not self.capabilities.owner:
            notes.append("owners of files are not compared: restoring them needs root")
        return TargetDescription("restic", tuple(self.executables), tuple(notes))

    @property
    def capabilities(self) -> Capabilities:
        """What survives a snapshot and a restore, for the user that this process runs as."""
        return capabilities_of(
            [read_version(program.version) for program in self.executables], is_root=os.geteuid() == 0
        )

    @property
    def modes(self) -> frozenset[Mode]:
        """Both."""
        return frozenset(Mode)

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[Server]:
        """Create or open the repositories at `place`, start the server, and end everything with the block."""
        if place.mode is Mode.SERVER and isinstance(self.server, HarnessError):
            raise self.server
        restic = self._restic(place.operation_seconds_max, place.seed, options_of(place.parameters))
        await remove_many_trees(self.runner, _caches_left_aside(place))
        repositories = Repositories(restic, place)
        await repositories.open()
        access = DirectAccess(restic, place, repositories, self._all_are_from(versions.TELLS_SUMMARIES))
        if place.mode is Mode.DIRECT:
            yield access
            return
        assert isinstance(self.server, Program), "otherwise it was raised"
        async with serve(access, self.server) as server:
            yield server

    # Abilities: clients on other machines, stored repositories.

    def open_client(self, access: ClientAccess, place: ClientPlace) -> ClientSnapshotter:
        """By programs of this machine. Raises HarnessError for a value that is not of a restic client, and on a machine
        that restic can't tell from the server's."""
        details = details_of(access)
        restic = self._restic(details.operation_seconds_max, details.seed, details.options)
        return open_client(restic, access, place)

    async def open_stored(self, place: StoredPlace) -> StoredRepository:
        """Look into a stored repository, without a server, a cache or locks."""
        return await stored.open_stored(self._restic(place.operation_seconds_max), place)

    def path_in_directory(self, key: str) -> PurePosixPath:
        """restic has the same layout everywhere (0.14.0 to 0.18.1, measured)."""
        return PurePosixPath(key)

    @property
    def directory_files(self) -> Mapping[str, bytes]:
        """None."""
        return {}

    def commands_to_look(self, directory: str, snapshot: str) -> Sequence[str]:
        """By the program that was named last."""
        return stored.commands_to_look(self.executables[-1].path, directory, snapshot)

    def _restic(self, seconds_max: float, seed: int = 0, options: Sequence[str] = ()) -> Restic:
        version_by_program = {program.path: read_version(program.version) for program in self.executables}
        programs = Programs([program.path for program in self.executables], seed)
        return Restic(programs, version_by_program, self.runner, seconds_max, options)

    def _all_are_from(self, version: versions.Version) -> bool:
        """Whether all programs are of this version or newer."""
        return all(read_version(program.version) >= version for program in self.executables)


def _caches_left_aside(place: TargetPlace) -> list[Path]:
    """Caches that a killed run had set aside, also of clients that don't come back."""
    connections = [*place.directory.glob("clients/*/connection"), *place.server.glob("impostors/*")]
    return [path for connection in connections for path in left_aside(connection / "cache")]
