"""What a planted defect is. A module of this package defines one by registering it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from snapstorm.defects.behaviour import Behaviour, HonestTarget
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind, under_fault

MakeBehaviour: TypeAlias = Callable[[HonestTarget], Behaviour]
Wrong = TypeVar("Wrong", bound=Callable[..., Any])


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
    is_behind_gateway: bool = False
    """Whether it shows only where the repository is behind the gateway."""
    needs_whole_trees: bool = False
    """Whether it shows only where hard links, special files and attributes of the system are kept."""
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
    by: Callable[[HonestTarget, Any], Behaviour] | None = None,
    fault: str = "",
    needs_ability: bool = False,
    needs_root: bool = False,
    needs_whole_trees: bool = False,
) -> Callable[[Wrong], Wrong]:
    """Registers a behaviour as a defect, or what a behaviour does wrong, `by` that. Its docstring is the sentence."""

    def register(wrong: Wrong) -> Wrong:
        def make(honest: HonestTarget) -> Behaviour:
            return wrong(honest) if by is None else by(honest, wrong)

        REGISTERED[name] = Defect(
            wrong.__doc__ or "",
            guarantee,
            work,
            make,
            needs_root=needs_root,
            fault=fault,
            needs_whole_trees=needs_whole_trees,
            needs_ability=needs_ability,
        )
        return wrong

    return register
