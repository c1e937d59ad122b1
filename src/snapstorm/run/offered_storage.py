"""What snapstorm itself offers to the target, where it was asked for: storage (the gateway), and virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from snapstorm.errors import ConfigError, HarnessError
from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.storage import BUCKET, Clocks, Storage
from snapstorm.model.location import GATEWAY, GatewayStorage, NamedStorage, S3Storage
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.aws import KEY_VARIABLES
from snapstorm.runtime.clock import Clock, VirtualClock

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

    @property
    def unlocked_bytes(self) -> Callable[[], int | None] | None:
        """How many bytes the gateway holds; no number while some object is kept from being deleted. None without
        it."""
        gateway = self.gateway
        return None if gateway is None else lambda: gateway.ask(_unlocked_bytes)

    @property
    def held_bytes(self) -> Callable[[], int] | None:
        """How many bytes the gateway holds; None without it."""
        gateway = self.gateway
        return None if gateway is None else lambda: gateway.ask(_held_bytes)

    def last_event(self) -> int | None:
        """The latest event of the storage; None where it keeps no history."""
        return None if self.gateway is None else self.gateway.last_event


def _held_bytes(storage: Storage) -> int:
    return storage.bucket.bytes_total


def _unlocked_bytes(storage: Storage) -> int | None:
    is_locked = any(found.locked_until_ns for found in storage.bucket.objects.values())
    return None if is_locked else storage.bucket.bytes_total


@dataclass(frozen=True)
class ToldTime:
    """Virtual time, as the target is told it. Implements `TargetTime`."""

    clock: VirtualClock
    served: Served | None = None
    """The gateway, if that is the target's storage."""

    def now_ns(self, actor: str) -> int:
        """What the clock of this actor says, in nanoseconds since 1970."""
        return self.clock.virtual_ns(actor)

    def url(self, actor: str, valid_seconds: float) -> str:
        """Where a program asks for the time, again after so many seconds. Raises HarnessError without the gateway."""
        if self.served is None:
            raise HarnessError(f"nobody tells {actor} the time: the repository is not behind the gateway")
        return self.served.clock_url(actor, valid_seconds)


@contextmanager
def storage_for(
    named: NamedStorage | None, place: TargetPlace, clock: Clock, *, history_bytes_max: int | None = None
) -> Iterator[OfferedStorage]:
    """The place with its storage, which is served during the block if it is the gateway.

    `history_bytes_max` bounds how much the gateway keeps. Raises HarnessError, and ConfigError for a bound where there
    is no gateway.
    """
    time = ToldTime(clock) if isinstance(clock, VirtualClock) else None
    if not isinstance(named, GatewayStorage):
        if history_bytes_max is not None:
            raise ConfigError(
                "--history-bytes-max bounds the history of --repository gateway, and this testbed has none"
            )
        yield OfferedStorage(replace(place, named_storage=named, time=time))
        return
    clocks = Clocks.following(clock)
    directory = place.directory / GATEWAY
    with serving(directory, clocks, has_versions=True, bytes_max=history_bytes_max) as served:
        access_key, secret_key = place.secrets.get(f"{GATEWAY} access"), place.secrets.get(f"{GATEWAY} secret")
        served.admit(_TARGET, access_key)
        reached = S3Storage(BUCKET, endpoint=served.endpoint, region=_REGION)
        storage_secrets = dict(zip(KEY_VARIABLES, (access_key, secret_key), strict=False))
        offered = replace(
            place,
            named_storage=reached,
            storage_secrets=storage_secrets,
            stored_bytes=lambda: served.ask(_held_bytes),
            time=time and replace(time, served=served),
        )
        yield OfferedStorage(offered, served.check, served)
