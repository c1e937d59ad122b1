"""What a planted defect is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snapstorm.model.guarantees import Guarantee
from snapstorm.targets.memory.behaviour import Behaviour


@dataclass(frozen=True)
class Defect:
    """A planted defect: what it does, and which guarantee it breaks."""

    sentence: str
    guarantee: Guarantee
    make: Callable[[], Behaviour]
    needs_root: bool = False
    """Whether only root can see the damage."""
    needs_whole_trees: bool = False
    """Whether it shows only where whole trees are kept."""
