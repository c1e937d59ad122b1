"""Calibration: measures, blind, what the judge catches.

Specimens, each with a planted defect or none, are run one after the other in an order drawn from a seed. `observe`,
which runs and judges, is given a path that says nothing; only the bookkeeping (`calibrate`) knows what was planted, and
compares afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from snapstorm.errors import HarnessError, TargetError
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.events import ActionEnded, Event, ViolationFound
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.verdict import Verdict
from snapstorm.model.work import work_done
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.runtime.clock import Clock
from snapstorm.runtime.threads import run_file_work
from snapstorm.scenario.seeds import stream
from snapstorm.targets.planted import Planted, Setup, Specimen


@dataclass(frozen=True)
class Sighting:
    """The first violation of one guarantee: after how much."""

    guarantee: Guarantee
    detail: str
    actions: int
    seconds: float
    work: Mapping[str, int]


@dataclass(frozen=True)
class Observation:
    """What was seen of one specimen, by who did not know what it was."""

    verdict: Verdict
    """The first that is not a pass."""
    reason: str
    sightings: Sequence[Sighting]
    actions: int
    seconds: float


@dataclass
class _Watch:
    """Notes when each guarantee is first seen broken, over all rounds of one specimen."""

    clock: Clock
    began_seconds: float
    harness: Harness | None = None
    actions: int = 0
    work_before: Counter[str] = field(default_factory=Counter)
    """Of earlier rounds."""
    sightings: dict[Guarantee, Sighting] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.clock.monotonic_seconds() - self.began_seconds

    def __call__(self, event: Event) -> None:
        if isinstance(event, ActionEnded):
            self.actions += event.outcome != "no_op"
        elif isinstance(event, ViolationFound):
            found = event.violation
            sighting = Sighting(found.guarantee, found.detail, self.actions, self.seconds, self.work())
            self.sightings.setdefault(found.guarantee, sighting)

    def work(self) -> Counter[str]:
        """What has been done so far."""
        done = Counter(self.work_before)
        if self.harness is not None:
            result = self.harness.result
            done.update(work_done(result.tally, result.clients))
        return done


async def observe(setup: Setup, planted: Planted, directory: Path, seed: int) -> Observation:
    """Run against what was planted, and judge. Knows nothing of what it is."""
    clock = Clock()
    watch = _Watch(clock, clock.monotonic_seconds())
    verdict, reason = Verdict.PASS, ""
    for number in range(setup.rounds):
        options = HarnessOptions(
            target=planted.target,
            programs=planted.programs,
            testbed=directory / "testbed",
            seed=stream(seed, "round", number).getrandbits(32),
            operation_seconds_max=setup.operation_seconds_max,
            keep_going=setup.keep_going,
            faults=setup.faults,
            repository=setup.repository,
            fault_pace=setup.fault_pace,
            recovery_seconds_max=setup.recovery_seconds_max,
            scenario=setup.scenario.name,
            parameters=setup.scenario.parameters,
            retention=setup.scenario.retention,
            virtual_start=setup.scenario.virtual_start,
            clock_skews_seconds=setup.scenario.clock_skews_seconds,
        )
        found = await _run_once(setup, options, watch)
        if verdict is Verdict.PASS:
            verdict, reason = found
        watch.work_before, watch.harness = watch.work(), None
    return Observation(verdict, reason, tuple(watch.sightings.values()), watch.actions, watch.seconds)


async def _run_once(setup: Setup, options: HarnessOptions, watch: _Watch) -> tuple[Verdict, str]:
    harness: Harness | None = None
    try:
        async with open_harness(options, watch) as harness:
            watch.harness = harness
            await harness.run_scenario(setup.scenario)
            if not (setup.ends_early and harness.result.tally.violations):
                await harness.finish()
    except (HarnessError, TargetError) as error:
        if harness is None:  # Otherwise the run's own verdict says it.
            return Verdict.ERROR, str(error)
    assert harness is not None
    return harness.result.verdict, harness.result.reason


@dataclass(frozen=True)
class Trial:
    """One specimen, and what was seen of it: the book's line."""

    specimen: Specimen
    observation: Observation
    struck: int | None
    broke: str

    @property
    def right(self) -> Sighting | None:
        """The sighting of the guarantee that the specimen breaks."""
        broken = self.specimen.guarantee
        return next((found for found in self.observation.sightings if found.guarantee is broken), None)

    @property
    def is_as_it_must_be(self) -> bool:
        """Caught by the right name, or honest and passed."""
        if self.broke:
            return False
        if self.specimen.is_honest:
            return self.observation.verdict is Verdict.PASS
        return self.right is not None

    @property
    def is_false_alarm(self) -> bool:
        return self.specimen.is_honest and self.observation.verdict is Verdict.VIOLATED

    @property
    def work_needed(self) -> int:
        """How much of the work that shows it was begun when it was caught."""
        return 0 if self.right is None else self.right.work.get(self.specimen.shown_by, 0) + 1

    def describe(self) -> str:
        """In a line what came of it."""
        seen, specimen = self.observation, self.specimen
        if self.broke:
            return f"broke by itself: {self.broke.strip().splitlines()[-1]}"
        if specimen.is_honest:
            details = "; ".join(f"{found.guarantee}: {found.detail}" for found in seen.sightings)
            return "passed" if self.is_as_it_must_be else f"{seen.verdict}: {details or seen.reason}"
        if self.right is not None:
            return f"caught ({self.right.guarantee}) after {self.right.actions} actions, {self.right.seconds:.1f} s"
        named = ", ".join(found.guarantee for found in seen.sightings)
        struck = "" if self.struck is None else f", misbehaved {self.struck} times"
        what = f"{named} named, not {specimen.guarantee}" if named else f"missed ({specimen.guarantee}): {seen.reason}"
        return f"{seen.verdict}: {what}{struck}"


def in_drawn_order(specimens: Sequence[Specimen], seed: int) -> list[Specimen]:
    """Honest ones in between, so that nothing follows from the place in the order."""
    order = list(specimens)
    stream(seed, "calibration").shuffle(order)
    return order


async def calibrate(specimens: Sequence[Specimen], directory: Path, seed: int) -> AsyncGenerator[Trial, None]:
    """Run each specimen, in an order drawn from the seed, in a directory of its own that goes afterwards."""
    for number, specimen in enumerate(in_drawn_order(specimens, seed)):
        place = directory / f"{stream(seed, 'place', number).getrandbits(32):08x}"
        place.mkdir(mode=0o700)
        try:
            planted = specimen.plant(place / "planted")
            seen = await observe(specimen.setup, planted, place, stream(seed, "trial", number).getrandbits(32))
            struck, broke = specimen.times_struck(place / "planted"), specimen.why_it_broke(place / "planted")
        finally:
            with anyio.CancelScope(shield=True):
                await run_file_work(remove_tree, place)
        yield Trial(specimen, seen, struck, broke)


@dataclass(frozen=True)
class ClassResult:
    """All trials with one defect."""

    specimen: Specimen
    trials: Sequence[Trial]

    @property
    def caught(self) -> int:
        return sum(trial.is_as_it_must_be for trial in self.trials)

    @property
    def is_caught(self) -> bool:
        return self.caught == len(self.trials)

    @property
    def named(self) -> list[str]:
        """Every guarantee that was named, the right one first."""
        names = {found.guarantee for trial in self.trials for found in trial.observation.sightings}
        return sorted(names, key=lambda name: (name is not self.specimen.guarantee, name))

    @property
    def actions_max(self) -> int | None:
        return max((trial.right.actions for trial in self.trials if trial.right), default=None)

    @property
    def seconds_max(self) -> float | None:
        return max((trial.right.seconds for trial in self.trials if trial.right), default=None)

    @property
    def work_needed_max(self) -> int | None:
        return max((trial.work_needed for trial in self.trials if trial.right), default=None)

    def as_json(self) -> dict[str, Any]:
        seconds = self.seconds_max
        guarantee = self.specimen.guarantee
        return {
            "kind": self.specimen.kind,
            "name": self.specimen.name,
            "guarantee": guarantee.value if guarantee else None,
            "named": [str(name) for name in self.named],
            "runs": len(self.trials),
            "caught": self.caught,
            "actions": self.actions_max,
            "seconds": None if seconds is None else round(seconds, 1),
            "work": self.specimen.shown_by,
            "needed": self.work_needed_max,
        }


@dataclass(frozen=True)
class Calibration:
    """What came of all trials."""

    seed: int
    trials: Sequence[Trial]

    @property
    def classes(self) -> list[ClassResult]:
        """By kind and name; without the honest ones."""
        by_name: dict[tuple[str, str], list[Trial]] = {}
        for trial in self.trials:
            if not trial.specimen.is_honest:
                by_name.setdefault((trial.specimen.kind, trial.specimen.name), []).append(trial)
        return [ClassResult(trials[0].specimen, trials) for _, trials in sorted(by_name.items())]

    @property
    def honest(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.specimen.is_honest]

    @property
    def false_alarms(self) -> list[Trial]:
        return [trial for trial in self.honest if trial.is_false_alarm]

    @property
    def is_perfect(self) -> bool:
        """Every defect was caught by its right name, and every honest specimen passed. Nothing tried is nothing
        shown."""
        return bool(self.trials) and all(trial.is_as_it_must_be for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "runs": sum(len(result.trials) for result in self.classes),
            "caught": sum(result.caught for result in self.classes),
            "honest": len(self.honest),
            "honest_passed": sum(trial.is_as_it_must_be for trial in self.honest),
            "false_alarms": len(self.false_alarms),
            "classes": [result.as_json() for result in self.classes],
            "failures": [
                f"{trial.specimen.kind} {trial.specimen.name}: {trial.describe()}"
                for trial in self.trials
                if not trial.is_as_it_must_be
            ],
        }
