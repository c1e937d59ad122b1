"""All faults, and how often each is drawn against the others: one table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from snapstorm.errors import ConfigError
from snapstorm.faults.damaged_storage import (
    FailingWrites,
    FewOpenFiles,
    FlipByte,
    LoseBlob,
    TruncateBlob,
    UnfinishedFiles,
)
from snapstorm.faults.fault import Fault
from snapstorm.faults.mounts import DiskFull, FailingStorage, ReadOnlyStorage, SlowStorage
from snapstorm.faults.network import (
    NetworkBandwidth,
    NetworkBlackHole,
    NetworkHalfOpen,
    NetworkLatency,
    NetworkReset,
    Partition,
)
from snapstorm.faults.processes import (
    DropClientCache,
    KillClient,
    KillMaintenance,
    KillServer,
    PauseClient,
    PauseMaintenance,
    PauseServer,
    SlowServer,
    TerminateClient,
    TerminateServer,
)
from snapstorm.faults.withdrawn_rights import ChangePassword, NarrowRights, RemoveUser

WEIGHTS: dict[type[Fault], int] = {
    KillServer: 4,
    TerminateServer: 2,
    PauseServer: 2,
    SlowServer: 2,
    KillClient: 6,
    TerminateClient: 3,
    PauseClient: 2,
    KillMaintenance: 4,
    PauseMaintenance: 3,
    DropClientCache: 2,
    NetworkLatency: 1,
    NetworkBandwidth: 1,
    NetworkReset: 3,
    NetworkHalfOpen: 2,
    NetworkBlackHole: 2,
    Partition: 2,
    LoseBlob: 2,
    FlipByte: 2,
    TruncateBlob: 2,
    UnfinishedFiles: 1,
    FailingWrites: 3,
    FewOpenFiles: 2,
    ReadOnlyStorage: 2,
    DiskFull: 4,
    SlowStorage: 2,
    FailingStorage: 3,
    RemoveUser: 1,
    ChangePassword: 1,
    NarrowRights: 1,
}

FAULTS: dict[str, type[Fault]] = {fault.key: fault for fault in WEIGHTS}
"""Every fault by its key, in the order in which they are listed to people."""

ALL = "all"


def read_keys(words: Sequence[str]) -> tuple[str, ...]:
    """The keys in what was typed: separated by commas, or `all`. Raises ConfigError with the nearest names."""
    keys = [key.strip() for word in words for key in word.split(",") if key.strip()]
    if not keys and words:
        raise ConfigError("--faults needs names of faults, separated by commas, or all")
    if ALL in keys:
        return tuple(FAULTS)
    unknown = [key for key in keys if key not in FAULTS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*FAULTS, ALL], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no fault is called {unknown[0]!r}; {hint}known are: {', '.join(FAULTS)}, all")
    return tuple(dict.fromkeys(keys))


def weighted_deck(keys: Iterable[str], weights: Mapping[str, int]) -> list[str]:
    """Each key as often as its weight says, here or else in the table: a deck to be shuffled and dealt, so that none
    is left out for long."""
    return [key for key in keys for _ in range(weights.get(key) or WEIGHTS[FAULTS[key]])]
