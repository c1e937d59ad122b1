"""The target `memory`, as the rest of snapstorm knows it."""

from __future__ import annotations

# Imported where it is used, so that the help, and runs against other targets, need not load it.
# ruff: noqa: PLC0415
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapstorm.targets.memory.parameters import PARAMETERS
from snapstorm.targets.plugin import ExternalServer, MakeTarget, TargetPlugin

if TYPE_CHECKING:
    from snapstorm.targets.planted import Specimens


@dataclass(frozen=True)
class MemoryPlugin(TargetPlugin):
    """Implements `TargetPlugin`."""

    def find(self, programs: Sequence[Path], defect: str | None, server: ExternalServer | None) -> MakeTarget:
        """There is nothing to find."""
        from snapstorm.targets.memory.target import MemoryTarget

        target = MemoryTarget()
        if defect is not None:
            from snapstorm.defects.all_defects import DEFECTS, unknown_defect
            from snapstorm.targets.memory.planted import CREDULITY, OWN_DEFECTS
            from snapstorm.targets.memory.wrong_retention import WRONG_RETENTIONS

            if defect not in OWN_DEFECTS:
                raise unknown_defect(defect, [*DEFECTS, *OWN_DEFECTS])
            keep = WRONG_RETENTIONS.get(defect)
            target = MemoryTarget(CREDULITY[defect]) if keep is None else MemoryTarget(keep=keep)
        return lambda runner: target

    def specimens(self, programs: Sequence[Path]) -> Specimens:
        """One for each planted defect, and honest ones."""
        from snapstorm.targets.memory.planted import simulated

        return simulated()


PLUGIN = MemoryPlugin(
    name="memory",
    sentence="A simulated backup system, honest or with a planted defect.",
    has_programs=False,
    has_planted_defects=True,
    retention_ends_at_latest=True,
    has_virtual_time=True,
    has_gateway_storage=True,
    parameters=PARAMETERS,
)
