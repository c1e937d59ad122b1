"""In what backup systems differ, as parameters of the simulated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snapstorm.model.protocols import Mode, TargetPlace

PARAMETERS: Mapping[str, Sequence[str]] = {
    "clients": ("isolated", "shared", "open"),
    "locks": ("none", "wait", "refuse"),
    "check": ("own", "whole"),
    "damage": ("named", "unnamed"),
    "listings": ("full", "bare"),
}
"""By name the values, the default first.

- clients: each sees its own snapshots only; or all see everything; or there are no passwords either
- locks: operations go on beside each other; or wait for each other; or are refused while another one is at work
- check: the check that a client asks for is of its own snapshots, or of everybody's
- damage: an error names the blob that is damaged, or none
- listings: they tell when each snapshot was taken and how much it holds, or only when
"""


@dataclass(frozen=True)
class Modes:
    """What was chosen."""

    authenticates: bool
    isolates_clients: bool
    checks_whole_repository: bool
    names_blobs: bool
    counts_in_listings: bool


def modes_of(place: TargetPlace) -> Modes:
    """The modes in which the server at this place works. Without a server nobody is kept out."""
    chosen = {name: place.parameters.get(name, values[0]) for name, values in PARAMETERS.items()}
    has_server = place.mode is Mode.SERVER
    return Modes(
        authenticates=has_server and chosen["clients"] != "open",
        isolates_clients=has_server and chosen["clients"] == "isolated",
        checks_whole_repository=chosen["check"] == "whole",
        names_blobs=chosen["damage"] == "named",
        counts_in_listings=chosen["listings"] == "full",
    )
