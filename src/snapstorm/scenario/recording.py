"""Recordings: what the clients of a run did, step by step, so that a replay can do it again.

A step names the stream of its draws, so that it writes the same bytes; the step that took the snapshot on which it
acts; and the steps of other clients that had ended before it began, so that the same steps overlap. Identifiers are
those of the recorded operations, without the run: `client-2-7` is the seventh step of `client-2`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from snapstorm.model.actions import ACTIONS, Action
from snapstorm.scenario.seeds import stream

StepName = Annotated[str, Field(min_length=1, max_length=200)]


class StepOfAction(BaseModel):
    """One action, with its options beside its key, done `repeat` times."""

    model_config = ConfigDict(frozen=True, extra="allow")

    action: str
    repeat: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    def make(self) -> Action[Any]:
        """The action with its options."""
        return ACTIONS[self.action](**self.options)

    def as_document(self) -> dict[str, Any]:
        """The step as it stands in a file, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


class RecordedStep(StepOfAction):
    """One step of one client."""

    name: StepName
    client: Annotated[int, Field(ge=1)]
    """The number of the client that does it; the first is 1."""
    of: StepName | None = None
    """The step that took the snapshot on which this one acts."""
    part: str | None = None
    """The part of the snapshot that is restored, as the ledger has it."""
    after: tuple[StepName, ...] = ()
    """Steps of other clients that must have ended before this one begins."""
    draws: tuple[str, int] | None = None
    """The client and the step number whose draws are used. Default: this step's own, in order."""

    def with_options(self, **options: Any) -> RecordedStep:
        """The same step with other options of its action."""
        return RecordedStep(**{**self.model_dump(), **options})

    def as_document(self) -> dict[str, Any]:
        document = super().as_document()
        return {"name": document.pop("name"), "client": document.pop("client"), **document}


class RecordedFault(BaseModel):
    """One fault of a storm, and when in the run it struck."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    number: Annotated[int, Field(ge=1)]
    """Its position among the faults of the recorded run. Its draws follow from it."""
    after: tuple[StepName, ...] = ()
    """The fault strikes when these steps have ended."""


class Recording(BaseModel):
    """The steps of a run, in the order in which they began, and its faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Annotated[int, Field(ge=0)]
    run: Annotated[int, Field(ge=1)] = 1
    """The number of the recorded run. All draws follow from it."""
    steps: tuple[RecordedStep, ...] = ()
    faults: tuple[RecordedFault, ...] = ()
    clock_skews: tuple[str, ...] = ()
    """By how much the clock of each client was ahead in virtual time, such as 18000s; of the others by nothing."""

    def draws_of(self, step: RecordedStep, client: str, number: int) -> random.Random:
        """The random stream of the step when `client` does it as its step `number`."""
        return stream(self.seed, self.run, *(step.draws or (client, number)))

    def fault_draws(self, fault: RecordedFault) -> random.Random:
        return stream(self.seed, self.run, "fault", fault.number)

    def as_document(self) -> dict[str, Any]:
        """The recording as it stands in a file, defaults left out."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        if self.steps:
            document["steps"] = [step.as_document() for step in self.steps]
        return document

    @property
    def fault_keys(self) -> tuple[str, ...]:
        """The keys of the faults that strike, each once."""
        return tuple(dict.fromkeys(fault.key for fault in self.faults))

    @property
    def is_sequence(self) -> bool:
        """Whether each step waits only for the one before it, as `sequential` makes it."""
        return all(step.after == (before.name,) for before, step in itertools.pairwise(self.steps))

    @property
    def clients(self) -> int:
        """The number of clients that the recording needs."""
        return max((step.client for step in self.steps), default=1)

    def sequential(self) -> Recording:
        """The same recording with one step after the other, in the order in which they began."""
        steps = [
            step.model_copy(update={"after": (before.name,) if before is not None else ()})
            for before, step in zip([None, *self.steps], self.steps, strict=False)
        ]
        return self.model_copy(update={"steps": tuple(steps)})

    def keeping(self, ids: Iterable[str]) -> Recording:
        """Only these steps, without those that act on a snapshot that is no longer taken.

        Steps no longer wait for steps that are gone. Clients are renumbered.
        """
        kept, wanted = dict[str, RecordedStep](), set(ids)
        for step in self.steps:
            if step.name in wanted and (step.of is None or step.of in kept):
                kept[step.name] = step
        numbers = {old: new for new, old in enumerate(sorted({step.client for step in kept.values()}), start=1)}
        steps = [
            step.model_copy(
                update={
                    "client": numbers[step.client],
                    "after": tuple(other for other in step.after if other in kept),
                }
            )
            for step in kept.values()
        ]
        faults = [
            fault.model_copy(update={"after": tuple(other for other in fault.after if other in kept)})
            for fault in self.faults
        ]
        skews = {numbers[old]: skew for old, skew in enumerate(self.clock_skews, start=1) if old in numbers}
        ahead = tuple(skews.get(new, "0s") for new in numbers.values()) if skews else ()
        return self.model_copy(update={"steps": tuple(steps), "faults": tuple(faults), "clock_skews": ahead})

    def problems(self) -> list[str]:
        """Reasons why the recording can't be done: unknown names, or steps that wait for later ones."""
        seen, found = set[str](), list[str]()
        for step in self.steps:
            if step.name in seen:
                found.append(f"the step {step.name} occurs twice")
            if step.action not in ACTIONS:
                found.append(f"the step {step.name} has an unknown action {step.action!r}")
            found += [
                f"the step {step.name} refers to {other}, which does not come before it"
                for other in (*step.after, *([step.of] if step.of else []))
                if other not in seen
            ]
            seen.add(step.name)
        found += [
            f"the fault {fault.key} waits for {other}, which is no step"
            for fault in self.faults
            for other in fault.after
            if other not in seen
        ]
        return found
