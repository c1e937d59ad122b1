"""Every defect that can be planted at the protocol boundary of a target."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

from snapstorm.defects.behaviour import Behaviour
from snapstorm.defects.creation_defects import OF_CREATIONS
from snapstorm.defects.defect import Defect, MakeBehaviour
from snapstorm.defects.deletion_defects import OF_DELETIONS
from snapstorm.defects.listing_defects import OF_LISTINGS
from snapstorm.defects.restore_defects import OF_RESTORES
from snapstorm.defects.server_defects import OF_SERVERS
from snapstorm.errors import ConfigError

_ALL = OF_RESTORES | OF_CREATIONS | OF_LISTINGS | OF_DELETIONS | OF_SERVERS

DEFECTS: dict[str, Defect] = {
    name: defect for name, defect in _ALL.items() if os.geteuid() == 0 or not defect.needs_root
}
"""Every planted defect that can be seen by the user of this process, by its name, as in `--target memory:NAME`."""

FOR_EVERY_TARGET = frozenset(name for name, defect in DEFECTS.items() if not (defect.fault or defect.needs_ability))
"""Those that show on every target."""


def behaviour_named(name: str) -> MakeBehaviour | None:
    """What makes the behaviour with this defect, or the honest one for an empty name; None where none is called so.

    Raises ConfigError for one that this user could not see.
    """
    if name in _ALL and name not in DEFECTS:
        raise ConfigError(f"the defect {name} needs root: nobody else can see it")
    if not name:
        return Behaviour
    return DEFECTS[name].make if name in DEFECTS else None


def unknown_defect(name: str, others: Iterable[str] = ()) -> ConfigError:
    """That no defect is called so, with the nearest names. `others` are of the target's own."""
    known = [*DEFECTS, *others]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return ConfigError(f"no defect is called {name!r}; {hint}there are: {', '.join(known)}")
