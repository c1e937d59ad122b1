"""The targets that are installed, found by name through the entry-point group `snapstorm.targets`."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from snapstorm.errors import ConfigError, HarnessError, did_you_mean
from snapstorm.ledger.persisters import FolderPersister, Persister
from snapstorm.model.location import FileStorage, GatewayStorage, NamedStorage, Storage, read_storage
from snapstorm.runtime.paths import clean_path
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.plugin import ExternalServer, MakeTarget, OpenPersister, TargetPlugin

GROUP = "snapstorm.targets"
DEFAULT_TARGET = "kopia"
NOWHERE = "none"
"""The place of copies of the ledger where none are kept."""
_BUCKET_PREFIX = "s3"
"""Copies on S3 are kept by the default target."""


@functools.cache
def _declared() -> dict[str, EntryPoint]:
    """By name, in alphabetical order. Raises HarnessError where a name is declared twice, or none is."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if found.setdefault(point.name, point).value != point.value:
            raise HarnessError(
                f"two targets are called {point.name!r}: {found[point.name].value} and {point.value}; uninstall one"
            )
    if DEFAULT_TARGET not in found:
        raise HarnessError("snapstorm's own targets are not declared; install it again (`pip install`)")
    return found


def target_names() -> tuple[str, ...]:
    """Of all targets that are installed."""
    return tuple(_declared())


@functools.cache
def plugin_named(name: str) -> TargetPlugin:
    """The target of that name, without a defect. Raises ConfigError for an unknown one, HarnessError for one that
    can't be loaded."""
    declared = _declared()
    if name not in declared:
        hint = did_you_mean(name, declared)
        raise ConfigError(f"no target is called {name!r}; {hint}known are: {', '.join(declared)}")
    try:
        plugin = declared[name].load()
    except Exception as error:
        raise HarnessError(f"the target {name} can't be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(plugin, TargetPlugin) or plugin.name != name:
        raise HarnessError(f"{declared[name].value} is not a TargetPlugin with the name {name}")
    return plugin


def plugins() -> list[TargetPlugin]:
    """All targets that are installed. Raises HarnessError for one that can't be loaded."""
    return [plugin_named(name) for name in target_names()]


def read_target(text: str) -> tuple[TargetPlugin, str | None]:
    """The target, and the defect planted in it, if any: `memory:restore-flips-a-byte`. Raises ConfigError."""
    name, _, defect = text.partition(":")
    return plugin_named(name), defect or None


def find_target(
    text: str, programs: Sequence[Path] = (), server: ExternalServer | None = None, *, is_virtual: bool = False
) -> MakeTarget:
    """Find the target of that name, changing nothing, and return what makes it once a testbed is open.

    `programs` are those that the user named, if any: each process will be one of them. `server` is one that already
    runs. `is_virtual`: it must live in virtual time. Raises HarnessError when a program can't be found or is not what
    it should be.
    """
    plugin, defect = read_target(text)
    if server is not None and server.target != plugin.name:
        raise ConfigError(f"a server that already runs can only be one of {server.target}")
    if defect is None:
        return plugin.find_virtual(programs, None) if is_virtual else plugin.find(programs, None, server)
    if server is not None:
        raise ConfigError("no defect is planted in a server that already runs")
    # Loaded only where a defect is asked for: it takes a moment.
    from snapstorm.targets.planted import find_defective  # noqa: PLC0415

    return find_defective(plugin, programs, defect, is_virtual=is_virtual)


@dataclass(frozen=True)
class NamedPrograms:
    """The programs that people have named, and what for."""

    paths: Sequence[Path] = ()
    target: str | None = None
    """The target that they are of, with or without a defect; None if of whatever needs some."""

    def of(self, plugin: TargetPlugin) -> Sequence[Path]:
        """Those that are of this target: all, unless they are of another one that has programs itself."""
        if self.target is None:
            return self.paths
        other, _ = read_target(self.target)
        return self.paths if other is plugin or not other.has_programs else ()


def keeper_of(place: str) -> TargetPlugin | None:
    """The target that keeps copies of a ledger at this place, each as a snapshot; None for a plain folder."""
    prefix, colon, _ = place.partition(":")
    if colon and prefix == _BUCKET_PREFIX:
        return plugin_named(DEFAULT_TARGET)
    if not colon or prefix not in target_names():
        return None
    plugin = plugin_named(prefix)
    return plugin if plugin.keeps_copies else None


def find_persister(place: str, programs: NamedPrograms) -> OpenPersister:
    """What keeps copies of a ledger at a folder, `TARGET:DIRECTORY` or `s3://BUCKET/PREFIX?...`, changing nothing.

    Raises ConfigError for a place that can't be, HarnessError when the program is missing.
    """
    _, storage = read_place_of_copies(place)
    keeper = keeper_of(place)
    if keeper is not None:
        return keeper.find_persister(storage, programs.of(keeper))
    assert isinstance(storage, FileStorage), "another storage has a keeper"
    return functools.partial(_open_folder, storage.path)


@asynccontextmanager
async def _open_folder(
    folder: Path, _runner: ProcessRunner, _directory: Path, _secret: Callable[[str], str], _seconds_max: float
) -> AsyncIterator[Persister]:
    yield FolderPersister(folder)


def clean_place_of_copies(place: str) -> str:
    """The same place, its directory absolute and clean. Raises ConfigError for a place that can't be."""
    prefix, storage = ("", place) if place == NOWHERE else read_place_of_copies(place)
    return f"{prefix}{storage}"


def read_place_of_copies(place: str) -> tuple[str, Storage]:
    """The prefix `TARGET:`, or nothing, and the storage. Raises ConfigError for a place that can't be."""
    keeper = keeper_of(place)
    prefix = f"{keeper.name}:" if keeper is not None and place.startswith(f"{keeper.name}:") else ""
    try:
        storage = clean_storage(read_storage(place.removeprefix(prefix)))
    except ValueError as error:
        raise ConfigError(f"the place for copies of the ledger: {error}") from None
    if isinstance(storage, GatewayStorage):
        raise ConfigError(f"the place for copies of the ledger: {storage} is kept in the testbed; name a place outside")
    return prefix, storage


def clean_storage(storage: NamedStorage) -> NamedStorage:
    """The same storage, the path of a directory absolute and clean. Raises ConfigError for one that can't be."""
    return FileStorage(clean_path(storage.path)) if isinstance(storage, FileStorage) else storage
