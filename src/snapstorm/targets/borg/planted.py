"""Specimens for the calibration of the judge: the real borg with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

from pathlib import Path

from snapstorm.targets.borg.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.planted import Specimens
from snapstorm.targets.wrapper_specimens import AT_THE_BOUNDARY_OF_WHOLE_TREES, wrapped_whole_trees

# An operation's id is the archive's name, and borg takes no second archive of the same name.
_IMPOSSIBLE = {"create-takes-two", "create-takes-two-for-another"}

AT_THE_BOUNDARY = AT_THE_BOUNDARY_OF_WHOLE_TREES - _IMPOSSIBLE


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    return wrapped_whole_trees("borg", real, AT_THE_BOUNDARY, WRAPPER_DEFECTS, HELPERS)
