"""Specimens for the calibration of the judge: wrappers around the real Kopia that misbehave, and an honest one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.model.work import WorkKind
from snapstorm.targets.kopia.wrapper_defects import WRAPPER_DEFECTS
from snapstorm.targets.kopia.wrappers import WrapperDefect, make_wrapper, times_struck, why_it_broke
from snapstorm.targets.planted import HONEST, Planted, Setup, Specimen, Specimens
from snapstorm.targets.workload import REAL

_USUAL = Setup(REAL, operation_seconds_max=100.0, ends_early=True)
"""A busy machine must not take so long for what does not hang."""
_HANGING = replace(_USUAL, operation_seconds_max=15.0)
"""For what never ends, so that it is ended soon."""
_UNDER_FAULT = Setup(REAL, operation_seconds_max=60.0, fault_pace=3.0, ends_early=True)
"""For what only a fault shows: each fault strikes often."""


def wrapped(real: Path) -> Specimens:
    """A wrapper around the real program for each defect, and one that does nothing."""
    defects = [wrapper_specimen(real, name, defect) for name, defect in WRAPPER_DEFECTS.items()]
    return Specimens(defects, [wrapper_specimen(real, HONEST, None)])


def _setup_for(name: str, defect: WrapperDefect | None) -> Setup:
    if defect is not None and defect.fault:
        return replace(_UNDER_FAULT, faults=(defect.fault,))
    return _HANGING if name.endswith("-hangs") else _USUAL


def wrapper_specimen(real: Path, name: str, defect: WrapperDefect | None) -> Specimen:
    """A wrapper around the real program with this defect, or one that does nothing."""

    def plant(directory: Path) -> Planted:
        return Planted("kopia", [make_wrapper(directory, real, defect.body if defect else "")])

    return Specimen(
        kind="kopia",
        name=name,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=defect.shown_by if defect else WorkKind.RESTORE,
        setup=_setup_for(name, defect),
        plant=plant,
        times_struck=times_struck,
        why_it_broke=why_it_broke,
    )
