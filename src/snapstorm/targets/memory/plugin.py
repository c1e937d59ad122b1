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

        checks_blobs = True
        if defect is not None:
            from snapstorm.defects.all_defects import DEFECTS, unknown_defect
            from snapstorm.targets.memory.planted import DAMAGE_UNNOTICED, OWN_DEFECTS

            if defect not in OWN_DEFECTS:
                raise unknown_defect(defect, [*DEFECTS, *OWN_DEFECTS])
            checks_blobs = defect != DAMAGE_UNNOTICED
        target = MemoryTarget(checks_blobs=checks_blobs)
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
    has_virtual_time=True,
    parameters=PARAMETERS,
)
