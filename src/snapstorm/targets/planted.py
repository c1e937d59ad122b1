"""Specimens for the calibration of the judge: targets with a planted defect, and honest ones, and how each is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snapstorm.model.guarantees import Guarantee
from snapstorm.scenario.scenarios import Scenario

HONEST = "honest"
"""The name of a specimen without a defect."""


@dataclass(frozen=True)
class Setup:
    """How a specimen is run. Nothing in it tells a specimen with a defect from one without."""

    scenario: Scenario
    operation_seconds_max: float
    keep_going: bool = False
    faults: tuple[str, ...] = ()
    fault_pace: float = 1.0
    recovery_seconds_max: float = 120.0
    rounds: int = 1
    """Runs on one testbed: some defects show only in a second one."""
    ends_early: bool = False
    """A round in which something was found while clients worked is not judged any further, for it takes long."""


@dataclass(frozen=True)
class Planted:
    """What a run needs to know to run against a specimen. It does not tell what was planted."""

    target: str
    """As for `--target`."""
    programs: Sequence[Path] = ()


@dataclass(frozen=True)
class Specimen:
    """What is planted, and what it must break. Only the bookkeeping sees one."""

    kind: str
    """The name of its target."""
    name: str
    sentence: str
    guarantee: Guarantee | None
    """None for one that is honest."""
    shown_by: str
    """The kind of work that shows it."""
    setup: Setup
    plant: Callable[[Path], Planted]
    """Makes it in a new directory."""
    times_struck: Callable[[Path], int | None] = lambda _: None
    """How often what was planted there has misbehaved; None where that is not known."""
    why_it_broke: Callable[[Path], str] = lambda _: ""
    """What went wrong in the specimen itself, so that nothing was measured; empty if nothing."""

    @property
    def is_honest(self) -> bool:
        return self.guarantee is None


@dataclass(frozen=True)
class Specimens:
    """Of one target."""

    defects: Sequence[Specimen]
    honest: Sequence[Specimen]
    """One in each set-up that is to be met by honest runs."""
