"""In what backup systems differ, as parameters of the simulated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PARAMETERS: Mapping[str, Sequence[str]] = {
    "trees": ("plain", "whole"),
}
"""By name the values, the default first.

- trees: each name of a file is restored as a file of its own, special files and sockets are left out, and attributes
  outside of `user.` are lost; or all of these are kept
"""


@dataclass(frozen=True)
class Modes:
    """What was chosen."""

    keeps_whole_trees: bool


def modes_of(parameters: Mapping[str, str]) -> Modes:
    """The modes in which a server with these parameters works."""
    chosen = {name: parameters.get(name, values[0]) for name, values in PARAMETERS.items()}
    return Modes(keeps_whole_trees=chosen["trees"] == "whole")
