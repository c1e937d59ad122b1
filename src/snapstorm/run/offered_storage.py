"""Storage that snapstorm itself offers to the target, where it was asked for: the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.storage import BUCKET, Clocks
from snapstorm.model.location import GATEWAY, GatewayStorage, NamedStorage, S3Storage
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.aws import KEY_VARIABLES
from snapstorm.runtime.clock import Clock

_REGION = "us-east-1"
_TARGET = "target"
"""Who is let in: the target, with its server and all its commands."""


@dataclass(frozen=True)
class OfferedStorage:
    """What the target is told of its storage."""

    place: TargetPlace
    check: Callable[[], None] = lambda: None
    """Raises HarnessError if storage of ours could not keep something."""
    gateway: Served | None = None
    """What serves it, where it is ours."""


@contextmanager
def storage_for(named: NamedStorage | None, place: TargetPlace, clock: Clock) -> Iterator[OfferedStorage]:
    """The place with its storage, which is served during the block if it is the gateway. Raises HarnessError."""
    if not isinstance(named, GatewayStorage):
        yield OfferedStorage(replace(place, named_storage=named))
        return
    clocks = Clocks(clock.wall_ns, clock.monotonic_seconds)
    with serving(place.directory / GATEWAY, clocks, has_versions=True) as served:
        access_key, secret_key = place.secrets.get(f"{GATEWAY} access"), place.secrets.get(f"{GATEWAY} secret")
        served.admit(_TARGET, access_key)
        reached = S3Storage(BUCKET, endpoint=served.endpoint, region=_REGION)
        storage_secrets = dict(zip(KEY_VARIABLES, (access_key, secret_key), strict=False))
        told = replace(place, named_storage=reached, storage_secrets=storage_secrets)
        yield OfferedStorage(told, served.check, served)
