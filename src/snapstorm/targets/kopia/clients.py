"""Clients of a Kopia server, made from a value: on this machine and on others in the same way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from snapstorm.model.client_access import ClientAccess, ClientPlace, HidesFields, decode_details
from snapstorm.model.retention import KeepPolicy
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia.command import TESTING_DERIVATION, Actor, Kopia, ServerAddress
from snapstorm.targets.kopia.snapshotter import KopiaClient

TARGET = "kopia"


class KopiaDetails(HidesFields, frozen=True, kw_only=True):
    """What a client of a Kopia server has to know."""

    fingerprint: str
    """SHA-256 of the server's certificate, in hexadecimal."""
    password: str
    testbed: str
    """The testbed's id, for tags."""
    operation_seconds_max: float
    seed: int
    """Which of several programs runs follows from it."""
    verify_files_percent: int
    connect_options: tuple[str, ...] = ()
    """Words of `repository connect server`."""
    keep: dict[str, int] | None = None
    """What a client's sources keep by a policy of the testbed, by the names of the periods; None for everything."""
    clock_url: str | None = None
    """Where commands ask for virtual time; None for real time. Nobody but this machine can reach it."""


def details_of(access: ClientAccess) -> KopiaDetails:
    """The fields of a Kopia client. Raises HarnessError for a value that is not of one."""
    return decode_details(access, TARGET, KopiaDetails)


def open_client(kopia: Kopia, access: ClientAccess, place: ClientPlace) -> KopiaClient:
    """The client. Raises HarnessError for a value that is not of a Kopia client."""
    details = details_of(access)
    return KopiaClient(
        kopia=kopia,
        actor=Actor(place.directory, details.password, clock_url=details.clock_url),
        identity=access.client,
        testbed=details.testbed,
        verify_files_percent=details.verify_files_percent,
        connect_command=_ToServer(kopia, details, place.address or access.server).connect,
        obituary=place.obituary,
        retention=None if details.keep is None else KeepPolicy(**details.keep),
    )


@dataclass(frozen=True)
class _ToServer:
    """How one client gets to its server."""

    kopia: Kopia
    details: KopiaDetails
    address: str
    """`HOST:PORT`."""

    async def connect(self, actor: Actor, identity: str) -> CompletedCommand:
        server = ServerAddress(f"https://{self.address}", self.details.fingerprint)
        completed = await self.kopia.connect_to_server(actor, server, identity, self.details.connect_options)
        if self.details.clock_url is not None and completed.exit_code == 0:
            derive_at_no_cost(actor.config)
        return completed


def derive_at_no_cost(config: Path) -> None:
    """Have commands of a connection derive the key of its cache at no cost, which takes more time than all else that a
    command does. No option of `connect` can ask for it."""
    settings = json.loads(config.read_text())
    settings["apiServer"]["localCacheKeyDerivationAlgorithm"] = TESTING_DERIVATION
    changed = config.with_suffix(".new")
    changed.touch(mode=0o600)
    changed.write_text(json.dumps(settings, indent=2))
    changed.replace(config)
