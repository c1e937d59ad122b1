"""Specimens for the calibration of the judge: the real restic with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.defects.all_defects import DEFECTS, FOR_EVERY_TARGET
from snapstorm.targets.planted import REAL_SETUPS, Specimens, specimens_of
from snapstorm.targets.restic.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.wrapper_specimens import wrapper_specimen

AT_THE_BOUNDARY = (
    FOR_EVERY_TARGET
    | {name for name, defect in DEFECTS.items() if defect.needs_whole_trees}
    | {"gc-drops-content", "verify-passes-over-damage"}
)

_SETUPS = replace(REAL_SETUPS, whole_trees=REAL_SETUPS.usual)
"""Whole trees are what is usual here."""


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    at_the_boundary = specimens_of("restic", [real], names=AT_THE_BOUNDARY, setups=_SETUPS)
    wrappers = [wrapper_specimen("restic", real, name, defect, HELPERS) for name, defect in WRAPPER_DEFECTS.items()]
    # What only a fault shows is too seldom to be worth an honest run.
    usual = at_the_boundary.honest[:1]
    return Specimens([*at_the_boundary.defects, *wrappers], [*usual, wrapper_specimen("restic", real)])
