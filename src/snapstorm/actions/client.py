"""A client, as tests see it: one identity that executes actions."""

from __future__ import annotations

from snapstorm.actions.engine import Engine
from snapstorm.errors import ActionNotDone, GuaranteeViolated
from snapstorm.model.actions import Action, Result, describe
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.testbed.identity import acting_as


class Client:
    """One client of a harness. Made by `Harness.run_clients`; `name` is its `user@host`."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine

    async def execute(self, action: Action[Result]) -> Result:
        """Perform an action, judge it, and return what it gives.

        A file action with nothing to act on gives an empty report. Raises GuaranteeViolated when the action has shown
        a violation, ActionNotDone when it has no result to return.
        """
        with acting_as(self.name):
            result = await self._engine.perform(self._engine.steps.next(action), action)
        if result.violations:
            raise GuaranteeViolated(
                "\n".join(
                    f"{violation.guarantee}: {violation.detail}\nevidence: {violation.evidence}"
                    for violation in result.violations
                ),
                result.violations,
            )
        match result.outcome:
            case Ok(value):
                return value
            case NoOp() if (nothing := action.result_of_no_op) is not None:
                return nothing
            case other:
                raise ActionNotDone(f"{self.name}: {describe(action)} was not done: {other.reason}")
