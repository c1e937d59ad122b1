"""Specimens for the calibration of the judge: the real restic with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.defects.all_defects import DEFECTS, FOR_EVERY_TARGET
from snapstorm.targets.planted import REAL_SETUPS, Specimens, specimens_of
from snapstorm.targets.restic.wrapper_defects import HELPERS, WRAPPER_DEFECTS
from snapstorm.targets.workload import REAL_WHOLE_TREES
from snapstorm.targets.wrapper_specimens import wrapper_specimen

AT_THE_BOUNDARY = (
    FOR_EVERY_TARGET
    | {name for name, defect in DEFECTS.items() if defect.needs_whole_trees}
    | {"gc-drops-content", "verify-passes-over-damage"}
)

_WHOLE_TREES = replace(REAL_SETUPS.usual, scenario=REAL_WHOLE_TREES)
_SETUPS = replace(REAL_SETUPS, whole_trees=_WHOLE_TREES)


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    at_the_boundary = specimens_of("restic", [real], names=AT_THE_BOUNDARY, setups=_SETUPS)
    wrappers = [
        wrapper_specimen("restic", real, name, defect, HELPERS, usual=_WHOLE_TREES)
        for name, defect in WRAPPER_DEFECTS.items()
    ]
    # What only a fault shows is too seldom to be worth an honest run.
    usual = [one for one in at_the_boundary.honest if one.setup in (REAL_SETUPS.usual, _WHOLE_TREES)]
    return Specimens(
        [*at_the_boundary.defects, *wrappers], [*usual, wrapper_specimen("restic", real, usual=_WHOLE_TREES)]
    )
