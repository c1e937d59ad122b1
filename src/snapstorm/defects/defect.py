"""What a planted defect is. A module of this package defines one by registering it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind, under_fault

MakeBehaviour: TypeAlias = Callable[[HonestTarget], Behaviour]
Kind = TypeVar("Kind", bound=type[Behaviour])


@dataclass(frozen=True)
class Defect:
    """A planted defect: what it does, which guarantee it breaks, and what shows it."""

    sentence: str
    guarantee: Guarantee
    work: WorkKind | None
    """The kind of work that shows it; None if a fault does."""
    make: MakeBehaviour
    needs_root: bool = False
    """Whether only root can see the damage."""
    fault: str = ""
    """The fault without which it does not show."""
    needs_ability: bool = False
    """Whether it shows only on targets with more abilities than each must have, as all do that show under a fault."""

    @property
    def shown_by(self) -> str:
        return self.work or under_fault(self.fault)


REGISTERED: dict[str, Defect] = {}
"""By name."""


def planted(
    name: str,
    guarantee: Guarantee,
    work: WorkKind | None,
    *,
    fault: str = "",
    needs_ability: bool = False,
) -> Callable[[Kind], Kind]:
    """Registers a behaviour as a defect, with its docstring as the sentence."""

    def register(behaviour: Kind) -> Kind:
        sentence = behaviour.__doc__ or ""
        REGISTERED[name] = Defect(sentence, guarantee, work, behaviour, fault=fault, needs_ability=needs_ability)
        return behaviour

    return register
