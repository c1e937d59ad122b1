"""Hangs: what times out, and times out again when it is repeated alone on an idle machine.

A hang is confirmed once for each kind of operation. Waiting for each further one of that kind would cost its whole time
and show nothing new, so those are counted and not repeated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from snapstorm.actions.engine import Engine
from snapstorm.actions.operations import Operations
from snapstorm.actions.step import TIMED_OUT
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.testbed.context import RunContext

TIMED_OUT_AGAIN_TRIES = 3


@dataclass(frozen=True)
class Hangs:
    """The hangs of one run."""

    run: RunContext
    operations: Operations
    engine: Engine

    def is_confirmed(self, kind: str) -> bool:
        """Whether an operation of this kind has timed out again on an idle machine."""
        return kind in self.operations.hanging_kinds

    async def repeat_suspects(self) -> int:
        """Repeat what timed out, one after the other, until a hang of its kind is confirmed: a time-out counts only if
        it comes again on an otherwise idle machine. Returns how many there were."""
        suspects, not_repeated = self.operations.take_suspects(), Counter[tuple[str, str]]()
        for suspect in suspects:
            if self.is_confirmed(suspect.kind):
                not_repeated[suspect.kind, suspect.why] += 1
                continue
            outcome: Outcome[object] = NoOp("")
            for _ in range(TIMED_OUT_AGAIN_TRIES):
                outcome = await self.engine.repeat(suspect)
                if not isinstance(outcome, Ok):
                    break
            key = f"{suspect.client}: {suspect.action.key}"
            if isinstance(outcome, Ok):
                self.run.note(f"{key} {suspect.why} once, and not when repeated {TIMED_OUT_AGAIN_TRIES} times")
            elif isinstance(outcome, NoOp):
                self.run.tally.timed_out_unconfirmed += 1
                self.run.note(f"{key} {suspect.why}, and could not be repeated: {outcome.reason}")
        for (kind, why), count in not_repeated.items():
            confirmed = "it hangs" if why == TIMED_OUT else "it comes again"
            self.run.note(f"{count} more {kind} {why}, and were not repeated: it is confirmed that {confirmed}")
        return len(suspects)
