"""Recordings: what the clients of a run did, step by step, so that it can be done again.

A step names what it drew from, so that it writes the same bytes; the step that took the snapshot it acts on; and the
steps of other clients that had ended before it began, so that the same things overlap. Identifiers are those of the
recorded operations, without the run: `client-2-7` is the seventh step of `client-2`.
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


class RecordedStep(BaseModel):
    """One step of one client, with the options of its action beside its key."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: StepName
    client: Annotated[int, Field(ge=1)]
    """Which client does it: the first is 1."""
    action: str
    of: StepName | None = None
    """The step that took the snapshot that this one acts on."""
    part: str | None = None
    """The part of the snapshot that is restored, as the ledger shows it."""
    after: tuple[StepName, ...] = ()
    """Steps of other clients that must have ended before."""
    draws: tuple[str, int] | None = None
    """The client and the number of the step whose draws these are. Default: its own, in order."""
    repeat: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    def make(self) -> Action[Any]:
        """The action with its options."""
        return ACTIONS[self.action](**self.options)

    def with_options(self, **options: Any) -> RecordedStep:
        """The same step with other options of its action."""
        return RecordedStep(**{**self.model_dump(), **options})

    def as_document(self) -> dict[str, Any]:
        """The step as it stands in a file, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


class RecordedFault(BaseModel):
    """One fault of a storm, and where in the run it struck."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    number: Annotated[int, Field(ge=1)]
    """Its place among the faults of the recorded run, from which its draws follow."""
    after: tuple[StepName, ...] = ()
    """It strikes when these have ended."""


class Recording(BaseModel):
    """The steps of a run, in the order in which they began, and its faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Annotated[int, Field(ge=0)]
    run: Annotated[int, Field(ge=1)] = 1
    """The number of the recorded run, from which its draws follow."""
    steps: tuple[RecordedStep, ...] = ()
    faults: tuple[RecordedFault, ...] = ()

    def draws_of(self, step: RecordedStep, client: str, number: int) -> random.Random:
        """What the step draws from, when `client` does it as its step of that number."""
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
        """Which faults strike, each once."""
        return tuple(dict.fromkeys(fault.key for fault in self.faults))

    @property
    def is_sequence(self) -> bool:
        """Whether each step waits for just the one before it, as `sequential` makes it."""
        return all(step.after == (before.name,) for before, step in itertools.pairwise(self.steps))

    @property
    def clients(self) -> int:
        """How many clients it takes."""
        return max((step.client for step in self.steps), default=1)

    def sequential(self) -> Recording:
        """The same with one step after the other, in the order in which they began."""
        steps = [
            step.model_copy(update={"after": (before.name,) if before is not None else ()})
            for before, step in zip([None, *self.steps], self.steps, strict=False)
        ]
        return self.model_copy(update={"steps": tuple(steps)})

    def keeping(self, ids: Iterable[str]) -> Recording:
        """Only these steps, without those that act on a snapshot that is not taken any more.

        What a step waited for that is not there any more, it does not wait for; clients are numbered anew.
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
        return self.model_copy(update={"steps": tuple(steps), "faults": tuple(faults)})

    def problems(self) -> list[str]:
        """What makes it impossible to do: names that are not known, or waiting for what comes later."""
        seen, found = set[str](), list[str]()
        for step in self.steps:
            if step.name in seen:
                found.append(f"the step {step.name} is there twice")
            if step.action not in ACTIONS:
                found.append(f"the step {step.name} has an action {step.action!r} that there is not")
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
