"""Borg's settings that a scenario may choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from snapstorm.model.protocols import Mode, TargetPlace


class Layout(StrEnum):
    """Whose repositories there are."""

    PRIVATE = "private"
    """Each client has one of its own, as borg advises. Nobody is served another one."""
    SHARED = "shared"
    """All clients use one. Its lock lets one of them in at a time, and each sees all archives."""


class Transport(StrEnum):
    """What stands between borg and `borg serve`."""

    SHIM = "shim"
    """A script of ours that compares keys."""
    SSH = "ssh"
    """`ssh`, and an `sshd` of our own on the loopback interface."""


ENCRYPTIONS = ("repokey-blake2", "repokey", "authenticated-blake2")
COMPRESSIONS = ("lz4", "none", "zstd", "zlib,1", "auto,lzma,1")

PARAMETERS: Mapping[str, Sequence[str]] = {
    "layout": tuple(Layout),
    "encryption": ENCRYPTIONS,
    "compression": COMPRESSIONS,
    "transport": tuple(Transport),
}
"""By name the values, the default first."""


def chosen(place: TargetPlace, name: str) -> str:
    """The value of a parameter."""
    return place.parameters.get(name, PARAMETERS[name][0])


def layout_of(place: TargetPlace) -> Layout:
    """Without a server there is one repository."""
    return Layout.SHARED if place.mode is Mode.DIRECT else Layout(chosen(place, "layout"))
