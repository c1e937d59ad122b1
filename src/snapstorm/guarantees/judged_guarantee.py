"""What a guarantee is: an id, the one sentence that it promises, and how it is judged from what a run has seen.

To add one, define a subclass of `JudgedGuarantee` in a file of `guarantees/builtin`, or in a package of your own that
names it in the entry-point group `snapstorm.guarantees`:

    class NoSnapshotIsEmpty(JudgedGuarantee):
        id = "no-snapshot-is-empty"
        sentence = "A snapshot of a tree with files holds at least one."

        @judges(ReceiptSeen)
        def judge_receipt(self, seen: ReceiptSeen) -> Iterator[Finding]:
            if seen.there.files and seen.receipt.files == 0:
                yield Finding("it is empty", seen.receipt.id, expectation=seen.operation)

It is judged in every run, reported, counted, and judged again by `snapstorm recheck` like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, ClassVar, TypeAlias, TypeVar

from snapstorm.model.guarantees import Finding
from snapstorm.model.seen import Seen

SeenT = TypeVar("SeenT", bound=Seen)
GuaranteeT = TypeVar("GuaranteeT")
Judging: TypeAlias = Callable[[GuaranteeT, SeenT], Iterable[Finding]]

_MARK = "_judges_kind"

DEFINED: list[type[JudgedGuarantee]] = []
"""Every guarantee, as soon as it is defined."""


class JudgedIn(Enum):
    """When a guarantee is judged."""

    EVERY_RUN = "every run"
    RUNS_WITH_FAULTS = "runs with faults"


def judges(kind: type[SeenT]) -> Callable[[Judging[GuaranteeT, SeenT]], Judging[GuaranteeT, SeenT]]:
    """Marks the method of a guarantee that judges what was seen of this kind."""

    def mark(method: Judging[GuaranteeT, SeenT]) -> Judging[GuaranteeT, SeenT]:
        setattr(method, _MARK, kind)
        return method

    return mark


class JudgedGuarantee:
    """A guarantee, as it is judged over one run: it is handed all that it judges in the order in which it was seen, and
    may remember what it needs."""

    id: ClassVar[str]
    sentence: ClassVar[str]
    judged_in: ClassVar[JudgedIn] = JudgedIn.EVERY_RUN
    judges_by_kind: ClassVar[Mapping[type[Seen], str]]
    """The names of the methods that judge, by what they judge."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.judges_by_kind = {getattr(found, _MARK): name for name, found in vars(cls).items() if hasattr(found, _MARK)}
        missing = [name for name in ("id", "sentence") if not getattr(cls, name, "")]
        if missing or not cls.judges_by_kind:
            raise TypeError(f"the guarantee {cls.__name__} has no {missing[0] if missing else 'method that judges'}")
        DEFINED.append(cls)
