"""Clients of any target, made on this machine of what the coordinator has given for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from snapstorm.errors import HarnessError
from snapstorm.model.abilities import OpensClients
from snapstorm.model.client_access import ClientAccess, ClientPlace
from snapstorm.model.protocols import ClientSnapshotter, Target
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.registry import find_target

OpenClient: TypeAlias = Callable[[bytes, str | None], ClientSnapshotter]
"""Makes a client of an encoded `ClientAccess`, which reaches the server at an address `HOST:PORT`, if not where that
listens. Raises HarnessError."""

OpenClients: TypeAlias = Callable[[Path, ProcessRunner, Sequence[Path]], OpenClient]
"""Gives what makes clients. Takes a directory that holds one for each client, what starts
processes, and the programs of the target on this machine, which is to search for one if there are none."""


def opening_clients(clients: Path, runner: ProcessRunner, programs: Sequence[Path]) -> OpenClient:
    """Makes clients of targets that are installed here. Raises HarnessError, also for one that can't be found."""
    targets: dict[str, Target] = {}

    def open_client(encoded: bytes, address: str | None) -> ClientSnapshotter:
        try:
            access = msgspec.msgpack.decode(encoded, type=ClientAccess)
        except msgspec.MsgspecError as error:
            raise HarnessError(f"what makes a client can't be read: {error}") from error
        if access.target not in targets:
            targets[access.target] = find_target(access.target, programs)(runner)
        target = targets[access.target]
        if not isinstance(target, OpensClients):
            raise HarnessError(f"the target {access.target} makes no clients on other machines")
        return target.open_client(access, ClientPlace(clients / access.client / "connection", address))

    return open_client
