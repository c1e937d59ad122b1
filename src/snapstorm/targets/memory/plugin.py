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
        from snapstorm.model.retention import kept_by
        from snapstorm.targets.memory.target import Keep, MemoryTarget

        checks_blobs = True
        keep: Keep = kept_by
        if defect is not None:
            from snapstorm.defects.all_defects import DEFECTS, unknown_defect
            from snapstorm.targets.memory.planted import DAMAGE_UNNOTICED, OWN_DEFECTS
            from snapstorm.targets.memory.wrong_retention import WRONG_RETENTIONS

            if defect not in OWN_DEFECTS:
                raise unknown_defect(defect, [*DEFECTS, *OWN_DEFECTS])
            checks_blobs, keep = defect != DAMAGE_UNNOTICED, WRONG_RETENTIONS.get(defect, kept_by)
        target = MemoryTarget(checks_blobs=checks_blobs, keep=keep)
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
    parameters=PARAMETERS,
)
