"""All guarantees, and the panel of them that judges one run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from snapstorm.errors import HarnessError
from snapstorm.guarantees import builtin
from snapstorm.guarantees.judged_guarantee import DEFINED, JudgedGuarantee
from snapstorm.model.guarantees import OVERSTAYED, Finding, Guarantee
from snapstorm.model.seen import Seen
from snapstorm.runtime.extensions import load_extensions, load_modules

EXTENSIONS = "snapstorm.guarantees"
"""The entry-point group of classes of other distributions."""

_ORDER = {guarantee: number for number, guarantee in enumerate(Guarantee)}


@functools.cache
def known_guarantees() -> dict[Guarantee, type[JudgedGuarantee]]:
    """All guarantees by their ids: ours, then those of other packages. Raises HarnessError for one that is none."""
    load_modules(builtin)
    found: dict[Guarantee, type[JudgedGuarantee]] = {}
    for kind in (*DEFINED, *_of_other_packages()):
        if found.setdefault(Guarantee(kind.id), kind) is not kind:
            raise HarnessError(f"two guarantees have the id {kind.id}: {found[Guarantee(kind.id)]} and {kind}")
    return dict(sorted(found.items(), key=lambda item: (_ORDER.get(item[0], len(_ORDER)), item[0])))


def _of_other_packages() -> Iterable[type[JudgedGuarantee]]:
    for name, found in load_extensions(EXTENSIONS).items():
        if not (isinstance(found, type) and issubclass(found, JudgedGuarantee)):
            raise HarnessError(f"the guarantee {name} is no subclass of JudgedGuarantee")
        yield found


def sentence_of(guarantee: str) -> str:
    """What a guarantee promises; empty for one that is not known here."""
    known = known_guarantees().get(Guarantee(guarantee))
    return "" if known is None else known.sentence


def is_judged_from(guarantee: Guarantee, kind: type[Seen] | None) -> bool:
    """Whether what was seen of this kind is judged by this guarantee."""
    known = known_guarantees().get(guarantee)
    return known is not None and kind in known.judges_by_kind


class FindingKey(NamedTuple):
    """Tells what was found from other things, each of which is reported once in a run."""

    guarantee: Guarantee
    of: str | None
    """The expectation; or else the operation, or else the fingerprint."""
    snapshot: str | None
    has_overstayed: bool = False
    """A snapshot that was lost before may be there later, when it must not."""


@dataclass(frozen=True)
class Found:
    """A finding, under its guarantee, in what was seen."""

    guarantee: Guarantee
    finding: Finding
    seen: Seen

    @property
    def client(self) -> str | None:
        return self.finding.client or self.seen.client

    @property
    def key(self) -> FindingKey:
        of = self.finding.expectation or self.seen.operation or self.finding.fingerprint
        return FindingKey(self.guarantee, of, self.finding.snapshot, self.finding.fingerprint == OVERSTAYED)


class Panel:
    """Hands what one run sees to every guarantee, and counts what they find."""

    def __init__(self) -> None:
        self._judges: dict[type[Seen], list[tuple[Guarantee, Callable[[Seen], Iterable[Finding]]]]] = {}
        self._counted: set[FindingKey] = set()
        for guarantee, known in known_guarantees().items():
            judge = known()
            for kind, name in known.judges_by_kind.items():
                self._judges.setdefault(kind, []).append((guarantee, getattr(judge, name)))

    def judge(self, seen: Seen) -> list[Found]:
        """What this shows, in the order of the guarantees."""
        return [
            Found(guarantee, finding, seen)
            for guarantee, judge in self._judges.get(type(seen), ())
            for finding in judge(seen)
        ]

    def count(self, key: FindingKey) -> bool:
        """Count a finding. Whether it is the first of its key."""
        is_first = key not in self._counted
        self._counted.add(key)
        return is_first
