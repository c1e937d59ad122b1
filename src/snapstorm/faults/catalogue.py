"""All faults: found in the modules of this package, and in those that other distributions bring."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence

from snapstorm import faults as package
from snapstorm.errors import ConfigError
from snapstorm.faults.fault import Fault, FaultKind
from snapstorm.runtime.extensions import load_extensions

EXTENSIONS = "snapstorm.faults"
"""The entry-point group of modules or classes that define further faults."""


def _all_by_key() -> dict[str, type[Fault]]:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    load_extensions(EXTENSIONS)
    kinds = list(FaultKind)
    return {fault.key: fault for fault in sorted(Fault.defined, key=lambda fault: kinds.index(fault.kind))}


FAULTS: Mapping[str, type[Fault]] = _all_by_key()
"""Every fault by its key, in the order in which they are listed to people: by kind."""

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


def weighted_deck(
    keys: Iterable[str], weights: Mapping[str, int], faults: Mapping[str, type[Fault]] = FAULTS
) -> list[str]:
    """Each key repeated by its weight in `weights`, or else by its own: a deck to be shuffled and dealt, so that none
    is left out for long."""
    return [key for key in keys for _ in range(weights.get(key) or faults[key].weight)]
