"""In what backup systems differ, as parameters of the simulated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snapstorm.model.protocols import Mode

PARAMETERS: Mapping[str, Sequence[str]] = {
    "trees": ("plain", "whole"),
    "clients": ("isolated", "shared", "open"),
    "locks": ("none", "wait", "refuse"),
    "check": ("own", "whole"),
    "damage": ("named", "unnamed"),
    "listings": ("full", "bare"),
}
"""By name the values, the default first.

- trees: each name of a file is restored as a file of its own, special files and sockets are left out, and attributes
  outside of `user.` are lost; or all of these are kept
- clients: each sees its own snapshots only; or all see everything; or there are no passwords either
- locks: operations go on beside each other; or wait for each other; or are refused while another one is at work
- check: the check that a client asks for is of its own snapshots, or of everybody's
- damage: an error names the blob that is damaged, or none
- listings: they tell when each snapshot was taken and how much it holds, or only when
"""


@dataclass(frozen=True)
class Modes:
    """What was chosen."""

    keeps_whole_trees: bool
    authenticates: bool
    isolates_clients: bool
    locks: str
    checks_whole_repository: bool
    names_blobs: bool
    counts_in_listings: bool


def modes_of(parameters: Mapping[str, str], mode: Mode = Mode.SERVER) -> Modes:
    """The modes in which a server with these parameters works. Without a server nobody is kept out."""
    chosen = {name: parameters.get(name, values[0]) for name, values in PARAMETERS.items()}
    return Modes(
        keeps_whole_trees=chosen["trees"] == "whole",
        authenticates=mode is Mode.SERVER and chosen["clients"] != "open",
        isolates_clients=mode is Mode.SERVER and chosen["clients"] == "isolated",
        locks=chosen["locks"],
        checks_whole_repository=chosen["check"] == "whole",
        names_blobs=chosen["damage"] == "named",
        counts_in_listings=chosen["listings"] == "full",
    )
