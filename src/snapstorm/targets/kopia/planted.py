"""Specimens for the calibration of the judge: the real Kopia with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

from pathlib import Path

from snapstorm.defects.all_defects import FOR_EVERY_TARGET
from snapstorm.targets.kopia.wrapper_defects import WRAPPER_DEFECTS
from snapstorm.targets.kopia.wrappers import HELPERS
from snapstorm.targets.planted import Specimens, specimens_of
from snapstorm.targets.wrapper_specimens import wrapper_specimen

AT_THE_BOUNDARY = FOR_EVERY_TARGET | {"gc-drops-content", "verify-passes-over-damage"}


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    at_the_boundary = specimens_of("kopia", [real], names=AT_THE_BOUNDARY)
    wrappers = [wrapper_specimen("kopia", real, name, defect, HELPERS) for name, defect in WRAPPER_DEFECTS.items()]
    # What only a fault shows is too seldom to be worth an honest run.
    usual = at_the_boundary.honest[:1]
    return Specimens([*at_the_boundary.defects, *wrappers], [*usual, wrapper_specimen("kopia", real)])
