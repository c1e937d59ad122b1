"""Specimens for the calibration of the judge: the real restic with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

from pathlib import Path

from snapstorm.targets.planted import Specimens
from snapstorm.targets.restic.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.wrapper_specimens import AT_THE_BOUNDARY_OF_WHOLE_TREES, wrapped_whole_trees

AT_THE_BOUNDARY = AT_THE_BOUNDARY_OF_WHOLE_TREES | {"gc-drops-content", "verify-passes-over-damage"}


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    return wrapped_whole_trees("restic", real, AT_THE_BOUNDARY, WRAPPER_DEFECTS, HELPERS)
