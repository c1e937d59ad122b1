"""All faults: found in the modules of this package, and in those that other distributions bring."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType

from snapstorm import faults as package
from snapstorm.errors import ConfigError, did_you_mean
from snapstorm.faults.fault import Fault, FaultKind
from snapstorm.runtime.extensions import load_extensions, load_modules

EXTENSIONS = "snapstorm.faults"
"""The entry-point group of modules or classes that define further faults."""


load_modules(package)


class _Catalogue(Mapping[str, type[Fault]]):
    """Filled at its first use: what other distributions bring may import snapstorm, and so this module."""

    @functools.cached_property
    def _by_key(self) -> dict[str, type[Fault]]:
        brought = load_extensions(EXTENSIONS).values()
        homes = [f"{home}." for home in (package.__name__, *map(_module_of, brought))]
        found = [fault for fault in Fault.defined if f"{fault.__module__}.".startswith(tuple(homes))]
        kinds = list(FaultKind)
        return {fault.key: fault for fault in sorted(found, key=lambda fault: kinds.index(fault.kind))}

    def __getitem__(self, key: str) -> type[Fault]:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)


def _module_of(brought: object) -> str:
    return str(brought.__name__ if isinstance(brought, ModuleType) else brought.__module__)


FAULTS: Mapping[str, type[Fault]] = _Catalogue()
"""Every fault by its key, in the order in which they are listed to people: by kind."""

ALL = "all"


def read_keys(words: Sequence[str]) -> tuple[str, ...]:
    """The keys in what was typed: separated by commas, a kind for all of it, or `all`. Raises ConfigError with the
    nearest names."""
    named = [key.strip() for word in words for key in word.split(",") if key.strip()]
    if not named and words:
        raise ConfigError("--faults needs names of faults, separated by commas, or all")
    if ALL in named:
        return tuple(FAULTS)
    kinds = {kind.value: [key for key, fault in FAULTS.items() if fault.kind is kind] for kind in FaultKind}
    keys = [key for name in named for key in kinds.get(name, [name])]
    unknown = [key for key in keys if key not in FAULTS]
    if unknown:
        hint = did_you_mean(unknown[0], [*FAULTS, *kinds, ALL])
        raise ConfigError(f"no fault is called {unknown[0]!r}; {hint}known are: {', '.join(FAULTS)}, all")
    return tuple(dict.fromkeys(keys))


def weighted_deck(
    keys: Iterable[str], weights: Mapping[str, int], faults: Mapping[str, type[Fault]] = FAULTS
) -> list[str]:
    """Each key repeated by its weight in `weights`, or else by its own: a deck to be shuffled and dealt, so that none
    is left out for long."""
    return [key for key in keys for _ in range(weights.get(key) or faults[key].weight)]
