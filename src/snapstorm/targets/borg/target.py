"""Borg as a target: what it is, what survives it, and how it is started for one testbed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from snapstorm.errors import ConfigError
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.client_access import ClientAccess, ClientPlace
from snapstorm.model.protocols import ClientSnapshotter, Mode, Program, Server, TargetDescription, TargetPlace
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.borg.access import AccessList
from snapstorm.targets.borg.clients import details_of, open_client
from snapstorm.targets.borg.command import Borg
from snapstorm.targets.borg.parameters import Transport, chosen
from snapstorm.targets.borg.repositories import Repositories
from snapstorm.targets.borg.server import BorgServer
from snapstorm.targets.borg.shim import ShimAccess
from snapstorm.targets.borg.ssh_access import SshAccess
from snapstorm.targets.borg.ssh_server import serve
from snapstorm.targets.borg.sshd import check_sshd, find_ssh, find_ssh_client
from snapstorm.targets.plain import PlainTarget
from snapstorm.targets.programs import Programs
from snapstorm.targets.ways import Ways

_ROOTS_XATTRS = ("security.", "trusted.")

COUNTS_BYTES_SINCE = (1, 4)
"""Older ones count what is known about files among the bytes of files (1.2.4 does, 1.4.5 does not, measured)."""


def capabilities_of(*, is_root: bool) -> Capabilities:
    """What survives `create` and `extract` (1.2.4 and 1.4.5, measured). Sockets are left out, with exit status 0."""
    prefixes = ("system.posix_acl_", "user.", *(_ROOTS_XATTRS if is_root else ()))
    return Capabilities(owner=is_root, xattr_prefixes=prefixes)


@dataclass(frozen=True)
class BorgTarget(PlainTarget):
    """Borg, with a repository for each client or one for all."""

    executables: Sequence[Program]
    """The programs under test; each process is one of them."""
    runner: ProcessRunner

    @property
    def description(self) -> TargetDescription:
        notes = []
        if not self._counts_bytes:
            notes.append(
                "borg before 1.4 counts metadata among the bytes of an archive (metadata-in-stats among the known "
                "bugs), so these bytes are not compared"
            )
        if not self.capabilities.owner:
            notes.append("owners of files are not compared: restoring them needs root")
        return TargetDescription("borg", tuple(self.executables), tuple(notes))

    @property
    def _counts_bytes(self) -> bool:
        versions = (program.version.split(".") for program in self.executables)
        return all((int(number[0]), int(number[1])) >= COUNTS_BYTES_SINCE for number in versions)

    @property
    def capabilities(self) -> Capabilities:
        return capabilities_of(is_root=os.geteuid() == 0)

    @asynccontextmanager
    async def serve(self, place: TargetPlace) -> AsyncIterator[Server]:
        """Over `ssh` there is a server that all clients reach; otherwise each client's command starts one of its own.
        Raises HarnessError, one line, where what `ssh` takes is missing, and ConfigError for `ssh` without a server."""
        is_over_ssh = chosen(place, "transport") == Transport.SSH
        if is_over_ssh and place.mode is Mode.DIRECT:
            raise ConfigError("transport=ssh needs a server, which there is none of in mode direct")
        ssh = find_ssh() if is_over_ssh else None
        borg = self._borg(place.operation_seconds_max, place.seed)
        repositories = Repositories(place, borg)
        if ssh is not None:
            await check_sshd(ssh, self.runner, place.server)
        repository_id = repositories.open()
        admitted = AccessList(place.server, repositories.directory)
        basis = BorgServer(borg, place, repositories, repository_id, self._counts_bytes, None)
        if ssh is not None:
            executables = [program.path for program in self.executables]
            access = SshAccess(place, admitted, ssh, self.runner, executables, Ways(place.route))
            async with serve(basis, access) as server:
                yield server
        elif place.mode is Mode.SERVER:
            shim = ShimAccess(place, admitted)
            shim.prepare()
            yield replace(basis, access=shim)
        else:
            yield basis

    # Abilities: clients on other machines.

    def open_client(self, access: ClientAccess, place: ClientPlace) -> ClientSnapshotter:
        """By programs of this machine. Raises HarnessError for a value that is not of a borg client, where there is no
        `ssh`, and where there are more or fewer programs under test than beside the server."""
        details = details_of(access)
        executables = [program.path for program in self.executables]
        borg = self._borg(details.operation_seconds_max, details.seed)
        return open_client(borg, access, place, find_ssh_client(), executables)

    def _borg(self, seconds_max: float, seed: int) -> Borg:
        return Borg(Programs([program.path for program in self.executables], seed), self.runner, seconds_max)
