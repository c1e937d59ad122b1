"""The settings of the target restic that a scenario may choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

LAYOUT = "layout"
COMPRESSION = "compression"
PACK_SIZE = "pack-size-mib"


class Layout(StrEnum):
    """Who has a repository. The first is the default."""

    PRIVATE = "private"
    """Each client has one of its own, which the server lets nobody else use."""
    SHARED = "shared"
    """All clients use one, with one password: who they say that they are, nobody checks."""


PARAMETERS: Mapping[str, Sequence[str]] = {
    LAYOUT: tuple(Layout),
    COMPRESSION: ("auto", "off", "max"),
    PACK_SIZE: ("16", "4", "64"),
}
"""By name the values, restic's default first."""


def layout_of(parameters: Mapping[str, str]) -> Layout:
    """The layout that was chosen."""
    return Layout(parameters.get(LAYOUT, Layout.PRIVATE))


def options_of(parameters: Mapping[str, str]) -> list[str]:
    """The words for each command by which these are set, of those that are not restic's default."""
    words: list[str] = []
    for name, option in ((COMPRESSION, "--compression"), (PACK_SIZE, "--pack-size")):
        value = parameters.get(name, PARAMETERS[name][0])
        words += [] if value == PARAMETERS[name][0] else [f"{option}={value}"]
    return words
