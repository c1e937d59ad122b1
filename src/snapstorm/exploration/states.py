"""The states of a storage that are tried, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from snapstorm.exploration.losses import Loss
from snapstorm.exploration.plan import Point
from snapstorm.gateway.bucket import Bucket
from snapstorm.gateway.kept_history import StorageHistory
from snapstorm.gateway.views import ServedViews
from snapstorm.gateway.write_log import Write
from snapstorm.model.abilities import OpensStored, StoredPlace
from snapstorm.model.expectations import Expectation
from snapstorm.model.promises import PromiseSpan
from snapstorm.runtime.clock import Clock


@dataclass(frozen=True)
class StorageState:
    """One state of the storage that is tried."""

    point: Point
    bucket: Bucket
    promised: Sequence[Expectation]
    early: Sequence[Write] = ()
    """Writes that a crash found under way, and that had been applied, though the log has them later."""
    lost: Sequence[Write] = ()
    """The same, not applied, though the log has them."""

    @property
    def is_prefix(self) -> bool:
        """Whether it is just what the log has until then."""
        return not self.early and not self.lost


class Since(StrEnum):
    """From when on a loss shows."""

    PROMISE = "promise"
    """As soon as the snapshot was promised."""
    WRITE = "write"
    """After the last write of the state that shows it, and not before."""
    UNKNOWN = "unknown"
    """This was not searched for."""


@dataclass(frozen=True)
class LossSighting:
    """A loss, and the state that shows it."""

    loss: Loss
    state: StorageState
    repository: Path
    """The directory that shows the state now."""
    since: Since
    has_gone_on: bool = False
    """Whether it shows only after time has passed and maintenance has run."""


class Witness(Protocol):
    """Is told of losses."""

    def is_new(self, loss: Loss) -> bool:
        """Count a loss. Whether it is the first of its kind, which is to be kept."""
        ...

    def keep(self, sighting: LossSighting) -> None:
        """Keep what shows it. Synchronous, for a worker thread."""
        ...


@dataclass(frozen=True)
class Depth:
    """How much is tried at each point."""

    in_flight: int
    """States in which only some of the writes under way were applied."""
    restore_every: int
    """At each so many-th point, everything is listed, and one snapshot restored and compared."""
    seed: int
    seconds_max: float | None = None
    """No point is begun after this time."""
    goes_on: bool = False
    """In each state, time passes as well, full maintenance runs, and everything is looked for again."""


@dataclass
class Tried:
    """How far an exploration has come."""

    points: int = 0
    states: int = 0
    in_flight_states: int = 0
    went_on: int = 0
    """States in which maintenance was run."""


@dataclass(frozen=True)
class ExploredTestbed:
    """What an exploration needs to know of its testbed."""

    history: StorageHistory
    spans: Sequence[PromiseSpan]
    target: OpensStored
    place: StoredPlace
    """Of which each worker takes a directory of its own."""
    clock: Clock
    views: ServedViews | None = None
    """Serves states that are written to, and tells their time; None where neither is needed."""
    is_virtual: bool = False
    """Whether the testbed lives in virtual time."""
