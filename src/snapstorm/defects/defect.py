"""What a planted defect is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind, under_fault

MakeBehaviour: TypeAlias = Callable[[HonestTarget], Behaviour]


@dataclass(frozen=True)
class Defect:
    """A planted defect: what it does, which guarantee it breaks, and what shows it."""

    sentence: str
    guarantee: Guarantee
    work: WorkKind
    """The kind of work that shows it, unless a fault does."""
    make: MakeBehaviour
    needs_root: bool = False
    """Whether only root can see the damage."""
    fault: str | None = None
    """The fault without which it does not show."""
    needs_ability: bool = False
    """Whether it shows only on targets with more abilities than each must have, as all do that show under a fault."""

    @property
    def shown_by(self) -> str:
        return under_fault(self.fault) if self.fault else self.work
