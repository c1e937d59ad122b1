"""Every defect that can be planted at the protocol boundary of a target: what the modules of this package register."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from snapstorm import defects as package
from snapstorm.defects.behaviour import Behaviour
from snapstorm.defects.defect import REGISTERED, Defect, MakeBehaviour
from snapstorm.errors import ConfigError
from snapstorm.runtime.extensions import load_modules

load_modules(package)

DEFECTS: dict[str, Defect] = {
    name: defect for name, defect in REGISTERED.items() if os.geteuid() == 0 or not defect.needs_root
}
"""The defects whose damage this user can see, by name, as in `--target memory:NAME`."""

FOR_EVERY_TARGET = frozenset(
    name for name, defect in DEFECTS.items() if not (defect.fault or defect.needs_ability or defect.needs_whole_trees)
)
"""Those that show on every target."""


def behaviour_named(name: str) -> MakeBehaviour | None:
    """What makes the behaviour with this defect, or the honest one for an empty name; None where none is called so.

    Raises ConfigError for one that this user could not see.
    """
    if not name:
        return Behaviour
    if name in REGISTERED and name not in DEFECTS:
        raise ConfigError(f"the defect {name} needs root: nobody else can see it")
    return DEFECTS[name].make if name in DEFECTS else None


def unknown_defect(name: str, known: Sequence[str]) -> ConfigError:
    """An error for a name that no defect has, with the nearest of those that are known."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return ConfigError(f"no defect is called {name!r}; {hint}there are: {', '.join(known)}")
