"""Choosing a target by its name, the only place that knows which there are."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import ConfigError
from snapstorm.ledger.persisters import FolderPersister, Persister
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.location import FileStorage, Storage, read_storage
from snapstorm.model.protocols import Target
from snapstorm.runtime.paths import clean_path
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.kopia import parameters as kopia_parameters
from snapstorm.targets.kopia.command import Kopia
from snapstorm.targets.kopia.discovery import find_kopia, find_version
from snapstorm.targets.kopia.external_server import OperatorAccess
from snapstorm.targets.kopia.persister import PERSISTER_SECRET, open_kopia_persister
from snapstorm.targets.kopia.programs import Programs
from snapstorm.targets.kopia.target import CAPABILITIES as KOPIA_CAPABILITIES
from snapstorm.targets.kopia.target import KopiaTarget
from snapstorm.targets.memory import MemoryTarget

TARGETS = ("kopia", "memory")
NOWHERE = "none"
"""The place of copies of the ledger where none are kept."""
_KOPIA_PREFIX = "kopia:"
"""Of a place where each copy of the ledger is a snapshot."""


def check_target_name(name: str) -> tuple[str, str | None]:
    """The target's name and the defect planted in it, if any: `memory:restore-flips-a-byte`. Raises ConfigError."""
    kind, _, defect = name.partition(":")
    if kind not in TARGETS:
        near = difflib.get_close_matches(kind, TARGETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no target is called {kind!r}; {hint}known are: {', '.join(TARGETS)}")
    if kind == "kopia" and defect:
        raise ConfigError("only the target memory has planted defects")
    return kind, defect or None


def parameters_of(name: str) -> Mapping[str, Sequence[str]]:
    """The target's own settings that a scenario may choose, each with its values. Raises ConfigError."""
    kind, _ = check_target_name(name)
    return kopia_parameters.choices() if kind == "kopia" else {}


def capabilities_of(name: str) -> Capabilities:
    """What survives a snapshot and a restore on the target of that name. Raises ConfigError."""
    kind, _ = check_target_name(name)
    return KOPIA_CAPABILITIES if kind == "kopia" else MemoryTarget().capabilities


def find_target(
    name: str, executables: Sequence[Path], operator: OperatorAccess | None = None
) -> Callable[[ProcessRunner], Target]:
    """Find the target of that name, changing nothing, and return what makes it once a testbed is open.

    `executables` are the programs that the user named, if any: each process will be one of them. `operator` is a server
    that already runs. Raises HarnessError when a program can't be found or is not what it should be.
    """
    kind, defect = check_target_name(name)
    if operator is not None and kind != "kopia":
        raise ConfigError("a server that already runs can only be one of Kopia")
    if kind == "memory":
        target = MemoryTarget(defect)
        return lambda runner: target
    found = [find_kopia(executable) for executable in executables] or [find_kopia()]
    return lambda runner: KopiaTarget(found, runner, operator=operator)


@dataclass(frozen=True)
class PersisterPlace:
    """Where copies of a ledger are kept, and how."""

    storage: Storage
    executable: Path | None
    """The program that keeps them as snapshots; None for a plain folder."""

    @asynccontextmanager
    async def open(
        self, runner: ProcessRunner, directory: Path, secret: Callable[[str], str], operation_seconds_max: float
    ) -> AsyncIterator[Persister]:
        """The persister; what it needs meanwhile goes to `directory`, which goes with the block."""
        if self.executable is None:
            assert isinstance(self.storage, FileStorage)
            yield FolderPersister(self.storage.path)
            return
        kopia = Kopia(Programs([self.executable]), runner, operation_seconds_max)
        async with open_kopia_persister(kopia, self.storage, secret(PERSISTER_SECRET), directory) as persister:
            yield persister


def is_kept_by_kopia(text: str) -> bool:
    """Whether this place for copies of a ledger is a repository of Kopia."""
    return text.startswith((_KOPIA_PREFIX, "s3:"))


def find_persister(text: str, executables: Sequence[Path]) -> PersisterPlace:
    """What keeps copies of a ledger at a folder, `kopia:DIRECTORY` or `s3://BUCKET/PREFIX?...`, changing nothing.

    Raises ConfigError for a place that can't be, HarnessError when the program is missing.
    """
    _, storage = read_place_of_copies(text)
    return PersisterPlace(storage, find_kopia(*executables[-1:]).path if is_kept_by_kopia(text) else None)


def clean_place_of_copies(text: str) -> str:
    """The same place, its directory absolute and clean. Raises ConfigError for a place that can't be."""
    prefix, storage = ("", text) if text == NOWHERE else read_place_of_copies(text)
    return f"{prefix}{storage}"


def read_place_of_copies(text: str) -> tuple[str, Storage]:
    """The prefix `kopia:`, or nothing, and the storage. Raises ConfigError for a place that can't be."""
    prefix = _KOPIA_PREFIX if text.startswith(_KOPIA_PREFIX) else ""
    try:
        return prefix, clean_storage(read_storage(text.removeprefix(prefix)))
    except ValueError as error:
        raise ConfigError(f"the place for copies of the ledger: {error}") from None


def clean_storage(storage: Storage) -> Storage:
    """The same storage, the path of a directory absolute and clean. Raises ConfigError for one that can't be."""
    return FileStorage(clean_path(storage.path)) if isinstance(storage, FileStorage) else storage


def find_versions(name: str, versions: Sequence[str]) -> list[Path]:
    """The target's programs of just these versions. Raises ConfigError for a target that has none, HarnessError when
    one can't be found."""
    kind, _ = check_target_name(name)
    if kind != "kopia":
        raise ConfigError(f"the target {kind} has no versions to run through")
    return [find_version(version) for version in versions]
