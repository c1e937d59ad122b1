"""Specimens for the calibration of the judge that are wrappers around the real program of a target."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from snapstorm.defects.all_defects import DEFECTS, FOR_EVERY_TARGET
from snapstorm.model.work import WorkKind
from snapstorm.targets.planted import HONEST, REAL_SETUPS, Planted, Specimen, Specimens, specimens_of
from snapstorm.targets.wrapper_programs import WrapperDefect, make_wrapper, times_struck, why_it_broke

AT_THE_BOUNDARY_OF_WHOLE_TREES = FOR_EVERY_TARGET | {
    name for name, defect in DEFECTS.items() if defect.needs_whole_trees
}
"""The defects that can be planted at the protocol boundary of every target that keeps whole trees."""


def wrapper_specimen(
    kind: str,
    real: Path,
    name: str = "",
    defect: WrapperDefect | None = None,
    helpers: str = "",
) -> Specimen:
    """A wrapper around the real program of this target with this defect, or one that does nothing. `helpers`: what its
    body sees besides."""

    def plant(directory: Path) -> Planted:
        return Planted(kind, [make_wrapper(directory, real, defect.body if defect else "", helpers)])

    usual = REAL_SETUPS.usual
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


def wrapped_whole_trees(
    kind: str, real: Path, names: Collection[str], defects: Mapping[str, WrapperDefect], helpers: str
) -> Specimens:
    """The real program of a target that keeps whole trees, with each defect, and without any. Those of these names are
    planted at the protocol boundary, `defects` by wrappers."""
    at_the_boundary = specimens_of(kind, [real], names=names)
    wrappers = [wrapper_specimen(kind, real, name, one, helpers) for name, one in defects.items()]
    # What only a fault shows is too seldom to be worth an honest run.
    usual = [one for one in at_the_boundary.honest if one.setup == REAL_SETUPS.usual]
    return Specimens([*at_the_boundary.defects, *wrappers], [*usual, wrapper_specimen(kind, real, helpers=helpers)])
