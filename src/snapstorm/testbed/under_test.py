"""What is under test in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snapstorm.model.capabilities import Capabilities
from snapstorm.model.predicted_bugs import PredictedBug
from snapstorm.model.protocols import TargetPlace


@dataclass(frozen=True)
class UnderTest:
    """The target of one run, and where it is."""

    place: TargetPlace
    capabilities: Capabilities
    versions: str
    """The target's name with its versions."""
    is_across_versions: bool = False
    """The target is of several versions, or the testbed has been used with others."""
    known_bugs: Sequence[PredictedBug] = ()
    """What these predict is listed, and not counted."""
