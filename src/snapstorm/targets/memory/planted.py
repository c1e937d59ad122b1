"""Specimens for the calibration of the judge: the simulated target with each planted defect, and honest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snapstorm.model.work import WorkKind, under_fault
from snapstorm.scenario.shipped_scenarios import shipped
from snapstorm.targets.memory.defects import DEFECTS
from snapstorm.targets.memory.fault_defects import SHOWN_BY
from snapstorm.targets.planted import HONEST, Planted, Setup, Specimen, Specimens
from snapstorm.targets.workload import SIMULATED, SIMULATED_LOSS

_OPERATION_SECONDS_MAX = 5.0
"""A busy machine must not take so long for what does not hang."""
_USUAL = Setup(SIMULATED, operation_seconds_max=_OPERATION_SECONDS_MAX, keep_going=True, rounds=2)
_HANGING = replace(_USUAL, operation_seconds_max=0.3)
"""For what never ends, so that it is ended soon."""
WHOLE_TREES = SIMULATED.model_copy(update={"name": "whole-trees", "parameters": {"trees": "whole"}})
_WHOLE_TREES = replace(_USUAL, scenario=WHOLE_TREES)
_SPACE = Setup(shipped("space"), operation_seconds_max=_OPERATION_SECONDS_MAX, keep_going=True)

_STORM = SIMULATED.model_copy(update={"duration_seconds": 2.5, "actions": None})
_SETUP_BY_NAME = {
    "collection-frees-nothing": _SPACE,
    **{name: _HANGING for name in DEFECTS if name.endswith("-hangs")},
    **{name: _WHOLE_TREES for name, defect in DEFECTS.items() if defect.needs_whole_trees},
} | {
    name: Setup(
        SIMULATED_LOSS if name == "verify-says-nothing" else _STORM,
        operation_seconds_max=_OPERATION_SECONDS_MAX,
        keep_going=True,
        faults=(fault,),
        fault_pace=30.0,
        recovery_seconds_max=1.5,
    )
    for name, fault in SHOWN_BY.items()
}
"""Defects that only a scenario of their own, or a fault, can show."""

_WORK_BY_NAME = {
    "restore-changes-a-symlink-target": WorkKind.RESTORE_LINK,
    "restore-follows-a-symlink": WorkKind.RESTORE_LINK,
    "restore-loses-an-empty-directory": WorkKind.RESTORE_EMPTY_DIRECTORY,
    "collection-frees-nothing": WorkKind.MEASURE,
    "list-shows-others": WorkKind.LIST_AMONG_OTHERS,
    "removed-client-still-let-in": WorkKind.REMOVED_CLIENT,
    "wrong-password-accepted": WorkKind.WRONG_PASSWORD,
    "restart-forgets-a-snapshot": WorkKind.RESTORE_EARLIER,
    **{name: under_fault(fault) for name, fault in SHOWN_BY.items()},
}
_WORK_BY_FIRST_WORD = {
    "restore": WorkKind.RESTORE,
    "create": WorkKind.CREATE,
    "delete": WorkKind.DELETE,
    "gc": WorkKind.COLLECT,
    "list": WorkKind.LIST,
    "expire": WorkKind.EXPIRE,
    "verify": WorkKind.VERIFY,
}
"""By what a defect of the simulated target is shown, unless its name stands above."""


def simulated() -> Specimens:
    """A specimen for each defect, and an honest one in each set-up in which defects are run."""
    honest = [simulated_specimen(None, setup) for setup in _honest_setups()]
    return Specimens([simulated_specimen(name) for name in DEFECTS], honest)


def _honest_setups() -> list[Setup]:
    """Each in which defects are run; one for all that need whole trees."""
    several = {id(setup): setup for setup in (_USUAL, *_SETUP_BY_NAME.values()) if setup is not _HANGING}
    return list(several.values())


def simulated_specimen(name: str | None, setup: Setup | None = None) -> Specimen:
    """The simulated target with this defect, or without any. What it is stands in a file that only it reads."""

    planted, defect = name or "", DEFECTS[name] if name else None

    def plant(directory: Path) -> Planted:
        directory.mkdir(mode=0o700)
        file = directory / "program"
        file.write_text(planted)
        return Planted(f"memory:{file}")

    return Specimen(
        kind="memory",
        name=planted or HONEST,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=_WORK_BY_NAME.get(planted) or _WORK_BY_FIRST_WORD.get(planted.partition("-")[0], WorkKind.RESTORE),
        setup=setup or _SETUP_BY_NAME.get(planted, _USUAL),
        plant=plant,
    )
