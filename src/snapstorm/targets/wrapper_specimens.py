"""Specimens for the calibration of the judge that are wrappers around the real program of a target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.model.work import WorkKind
from snapstorm.targets.planted import HONEST, REAL_SETUPS, Planted, Setup, Specimen
from snapstorm.targets.wrapper_programs import WrapperDefect, make_wrapper, times_struck, why_it_broke


def wrapper_specimen(
    kind: str,
    real: Path,
    name: str = "",
    defect: WrapperDefect | None = None,
    helpers: str = "",
    *,
    usual: Setup = REAL_SETUPS.usual,
) -> Specimen:
    """A wrapper around the real program of this target with this defect, or one that does nothing. `helpers`: what its
    body sees besides; `usual`: how it is run unless it hangs."""

    def plant(directory: Path) -> Planted:
        return Planted(kind, [make_wrapper(directory, real, defect.body if defect else "", helpers)])

    hanging = replace(usual, operation_seconds_max=REAL_SETUPS.hanging_seconds_max)
    return Specimen(
        kind=kind,
        name=name or HONEST,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=defect.shown_by if defect else WorkKind.RESTORE,
        setup=hanging if name.endswith("-never-ends") else usual,
        plant=plant,
        times_struck=times_struck,
        why_it_broke=why_it_broke,
    )
