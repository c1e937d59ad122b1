"""Specimens for the calibration of the judge: the simulated target with each planted defect, and honest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from snapstorm.defects.all_defects import DEFECTS
from snapstorm.defects.behaviour import Behaviour
from snapstorm.defects.defect import Defect
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.memory.bucket_store import Credulity
from snapstorm.targets.memory.wrong_retention import WRONG_RETENTIONS
from snapstorm.targets.planted import Setup, Setups, Specimens, specimens_of
from snapstorm.targets.workload import SIMULATED, SIMULATED_DAYS

DAMAGE_UNNOTICED = "damage-is-not-noticed"


def _of_the_store(sentence: str, guarantee: Guarantee, fault: str, *, is_behind_gateway: bool = True) -> Defect:
    """The store itself misbehaves, and all else does not."""
    return Defect(sentence, guarantee, None, Behaviour, fault=fault, is_behind_gateway=is_behind_gateway)


BEHIND_THE_GATEWAY: Mapping[str, Defect] = {
    "storage-error-is-passed-over": _of_the_store(
        "A snapshot of which the storage refuses a part is acknowledged.",
        Guarantee.RESTORED_EXACTLY,
        "storage-error",
    ),
    "hidden-object-is-taken-for-empty": _of_the_store(
        "What the storage does not show yet is restored as nothing.",
        Guarantee.RESTORED_EXACTLY,
        "storage-stale-read",
    ),
    "storage-lie-is-believed": _of_the_store(
        "What the storage returns is not held against its digest.",
        Guarantee.DAMAGE_IS_DETECTED,
        "storage-flips-bit",
    ),
}
"""Those of a repository behind the gateway: at least one for each class of what a storage does wrong."""

OWN_DEFECTS: Mapping[str, Defect] = {
    DAMAGE_UNNOTICED: _of_the_store(
        "What is read is not held against its digest.",
        Guarantee.DAMAGE_IS_DETECTED,
        "flip-byte",
        is_behind_gateway=False,
    ),
    **BEHIND_THE_GATEWAY,
    **{
        name: Defect(keep.__doc__ or "", Guarantee.KEPT_AS_PROMISED, WorkKind.RETENTION, Behaviour)
        for name, keep in WRONG_RETENTIONS.items()
    },
}
"""Those that can't be planted at the protocol boundary."""

CREDULITY: Mapping[str, Credulity] = {
    DAMAGE_UNNOTICED: Credulity(checks_blobs=False),
    "storage-error-is-passed-over": Credulity(checks_answers=False),
    "hidden-object-is-taken-for-empty": Credulity(checks_presence=False),
    "storage-lie-is-believed": Credulity(checks_blobs=False),
}
"""What the store believes that has one of them."""

MEMORY_DEFECTS = {**DEFECTS, **OWN_DEFECTS}

_SECONDS_MAX = 5.0
"""For an operation. A busy machine must not take so long for what does not hang."""

WHOLE_TREES = SIMULATED.model_copy(update={"name": "whole-trees", "parameters": {"trees": "whole"}})

_USUAL = Setup(SIMULATED, operation_seconds_max=_SECONDS_MAX, keep_going=True, rounds=2)
SCENARIOS = dict.fromkeys(WRONG_RETENTIONS, SIMULATED_DAYS)
"""For defects of this target that only a scenario of their own can show."""

_SETUPS = Setups(
    usual=_USUAL,
    whole_trees=replace(_USUAL, scenario=WHOLE_TREES),
    hanging_seconds_max=0.3,
    under_fault=Setup(
        SIMULATED.model_copy(update={"duration_seconds": 2.5, "actions": None}),
        operation_seconds_max=_SECONDS_MAX,
        keep_going=True,
        fault_pace=30.0,
        recovery_seconds_max=1.5,
        # What was damaged may be deleted before anybody restores it in calm weather; the end of a round is calm.
        rounds=3,
    ),
    scenarios=SCENARIOS,
)


def simulated() -> Specimens:
    """A specimen for each defect, and an honest one in each set-up in which defects are run."""
    return specimens_of("memory", [], names=DEFECTS, own=OWN_DEFECTS, setups=_SETUPS)
