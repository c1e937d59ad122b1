"""Known bugs of a target that predict exactly what is found of them. Pure.

A run that is told of such a bug lists what it predicts, and does not count it. Anything else still counts, so that a
nightly run against a target with a known bug can be green without being blind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.seen import Seen

Predicts: TypeAlias = Callable[[Guarantee, Finding, Seen], bool]
"""Whether a bug has to show just this finding under this guarantee, in what was seen. In doubt it is not the bug's."""


@dataclass(frozen=True)
class PredictedBug:
    """A bug of the target that a run is told of."""

    key: str
    title: str
    predicts: Predicts

    @property
    def reason(self) -> str:
        """Why what it predicts is accepted, for people."""
        return f"known bug {self.key}: {self.title}"


def bug_behind(
    known: Iterable[PredictedBug], guarantee: Guarantee, finding: Finding, seen: Seen
) -> PredictedBug | None:
    """The bug that predicts this finding; None if none does."""
    return next((bug for bug in known if bug.predicts(guarantee, finding, seen)), None)
