"""Storage that snapstorm itself offers to the target, where it was asked for: the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from snapstorm.errors import ConfigError
from snapstorm.gateway.app import serving
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
    last_event: Callable[[], int | None] = lambda: None
    """The latest event of the storage; None where it keeps no history."""


@contextmanager
def storage_for(
    named: NamedStorage | None,
    place: TargetPlace,
    clock: Clock,
    *,
    after_event: int = 0,
    history_bytes_max: int | None = None,
) -> Iterator[OfferedStorage]:
    """The place with its storage, which is served during the block if it is the gateway.

    Events of the gateway are numbered higher than `after_event`. `history_bytes_max` bounds how much it keeps. Raises
    HarnessError, and ConfigError for a bound where there is no gateway.
    """
    if not isinstance(named, GatewayStorage):
        if history_bytes_max is not None:
            raise ConfigError(
                "--history-bytes-max bounds the history of --repository gateway, and this testbed has none"
            )
        yield OfferedStorage(replace(place, named_storage=named))
        return
    clocks = Clocks(clock.wall_ns, clock.monotonic_seconds)
    directory = place.directory / GATEWAY
    with serving(directory, clocks, after_event=after_event, bytes_max=history_bytes_max) as served:
        access_key, secret_key = place.secrets.get(f"{GATEWAY} access"), place.secrets.get(f"{GATEWAY} secret")
        served.admit(_TARGET, access_key)
        reached = S3Storage(BUCKET, endpoint=served.endpoint, region=_REGION)
        storage_secrets = dict(zip(KEY_VARIABLES, (access_key, secret_key), strict=False))
        reached_place = replace(place, named_storage=reached, storage_secrets=storage_secrets)
        yield OfferedStorage(reached_place, served.check, lambda: served.last_event)
