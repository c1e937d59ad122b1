"""Specimens for the calibration of the judge: the real Kopia with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.defects.all_defects import FOR_EVERY_TARGET
from snapstorm.model.work import WorkKind
from snapstorm.targets.kopia.wrapper_defects import WRAPPER_DEFECTS
from snapstorm.targets.kopia.wrappers import make_wrapper
from snapstorm.targets.planted import HONEST, REAL_SETUPS, Planted, Specimen, Specimens, specimens_of
from snapstorm.targets.wrapper_programs import WrapperDefect, times_struck, why_it_broke

AT_THE_BOUNDARY = FOR_EVERY_TARGET | {"gc-drops-content", "verify-passes-over-damage"}


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    at_the_boundary = specimens_of("kopia", [real], names=AT_THE_BOUNDARY)
    wrappers = [wrapper_specimen(real, name, defect) for name, defect in WRAPPER_DEFECTS.items()]
    # What only a fault shows is too seldom to be worth an honest run.
    usual = at_the_boundary.honest[:1]
    return Specimens([*at_the_boundary.defects, *wrappers], [*usual, wrapper_specimen(real, HONEST, None)])


def wrapper_specimen(real: Path, name: str, defect: WrapperDefect | None) -> Specimen:
    """A wrapper around the real program with this defect, or one that does nothing."""

    def plant(directory: Path) -> Planted:
        return Planted("kopia", [make_wrapper(directory, real, defect.body if defect else "")])

    usual = REAL_SETUPS.usual
    hanging = replace(usual, operation_seconds_max=REAL_SETUPS.hanging_seconds_max)
    return Specimen(
        kind="kopia",
        name=name,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=defect.shown_by if defect else WorkKind.RESTORE,
        setup=hanging if name == "create-never-ends" else usual,
        plant=plant,
        times_struck=times_struck,
        why_it_broke=why_it_broke,
    )
