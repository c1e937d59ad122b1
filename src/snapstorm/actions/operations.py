"""Operations: what asks the target once, between a durable intent and a durable outcome.

A failure is held against the target here, unless the caller judges it later: without a fault active, no operation fails
or hangs; but a time-out, or a refusal because of a lock, counts only when it comes again on an idle machine, and a
version that the repository is too new for is refused by design.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Failure, Step
from snapstorm.errors import (
    COUNTS_IF_REPEATED,
    MachineLost,
    NoSpaceError,
    NotSaved,
    OperationFailed,
    OperationUnknown,
    RepositoryLocked,
    TargetError,
    VersionRefused,
)
from snapstorm.faults.fault import InFlight
from snapstorm.faults.weather import Weather
from snapstorm.filesystem.client_machine import Machines
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import NO_EFFECT, IntendedEffect, OperationIntent
from snapstorm.model.action_results import SnapshotReceipt
from snapstorm.model.actions import Family
from snapstorm.model.observations import ObservationKind, encode_receipt
from snapstorm.model.outcomes import Failed, Locked, NoOp, Ok, Outcome, Unknown
from snapstorm.model.seen import FailureSeen
from snapstorm.runtime.process import on_behalf_of
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.machine_check import MachineCheck
from snapstorm.testbed.under_test import UnderTest

Value = TypeVar("Value")

LOCKED_SECONDS_MAX = 1.0
"""After this time an operation that was refused because of a lock is asked for again, even if no other has ended."""


class Operations:
    """The operations of one run."""

    def __init__(
        self,
        run: RunContext,
        weather: Weather,
        machine: MachineCheck,
        checker: Checker,
        source: SourceWatch,
        *,
        under_test: UnderTest,
        asking: AbstractContextManager[None],
        machines: Machines,
    ) -> None:
        """`asking`: the block in which the target is asked."""
        self._run = run
        self._weather = weather
        self._machine = machine
        self._checker = checker
        self._source = source
        self._asking = asking
        self._machines = machines
        self._under_test = under_test
        self._suspects: list[Step] = []
        self.hanging_kinds: set[str] = set()
        """Kinds of operations that have timed out again on an idle machine."""
        self._in_flight: dict[str, InFlight] = {}
        self._locked_out: set[str] = set()
        """The operations that wait for others, because the repository is locked."""
        self._asks = 0
        """How often the target has been asked, again after a refusal as well."""
        self._ended = anyio.Event()
        """Set when the next operation ends."""

    def in_flight(self) -> Sequence[InFlight]:
        """What the target has been asked and has not answered."""
        return tuple(self._in_flight.values())

    async def alone(self, operation: str) -> None:
        """Return once the target has answered everything but this operation."""
        while self._in_flight.keys() - {operation}:
            await self._ended.wait()

    def take_suspects(self) -> list[Step]:
        """The steps that have timed out since the last call, to be repeated on an idle machine."""
        suspects, self._suspects = self._suspects, []
        return suspects

    async def operate(
        self,
        step: Step,
        ask: Callable[[str], Awaitable[Value]],
        effect: IntendedEffect = NO_EFFECT,
        *,
        is_judged_later: bool = False,
        is_of_target: bool = True,
    ) -> tuple[Outcome[Value], str]:
        """Ask the target once, between a durable intent and a durable outcome. Returns the operation's id as well.

        A failure is held against the target here, unless the caller does that later.
        """
        await self._machines.ready(step.client)
        run, operation = self._run, step.next_operation()
        if is_of_target:
            await self._source.watch(step, operation)
        step.operations.append(operation)
        began_seconds = run.now_seconds()
        with run.ledger.committing_later():
            run.ledger.begin_operation(
                OperationIntent(
                    operation=operation,
                    run=run.number,
                    client=step.client,
                    step=step.number,
                    action=step.action.key,
                    options=step.action.options_json,
                    began_seconds=began_seconds,
                    effect=effect,
                    is_own=step.is_own,
                )
            )
        outcome: Outcome[Value] = Unknown("cut off before it ended")
        token = on_behalf_of.set(operation)
        if is_of_target:
            self._in_flight[operation] = InFlight(operation, step.client, step.action.key)
        try:
            await run.ledger.committed()
            outcome = Ok(await (self._ask(ask, operation) if is_of_target else ask(operation)))
        except NotSaved as error:
            outcome = NoOp(str(error))
        except TargetError as error:
            outcome = _outcome_of(error)
            self._machine.check(error)
            step.last_failure = Failure(operation, error, began_seconds)
            if not is_judged_later:
                await self.judge_failure(step)
        finally:
            self._in_flight.pop(operation, None)
            self._ended.set()
            self._ended = anyio.Event()
            on_behalf_of.reset(token)
            await self._end(operation, outcome, effect, run.now_seconds() - began_seconds)
        return outcome, operation

    async def _ask(self, ask: Callable[[str], Awaitable[Value]], operation: str) -> Value:
        """Ask the target; again, until its time is up, where it refuses because others lock the repository. That a disk
        of ours is full is believed only when the disk says so, too."""
        deadline: float | None = None
        while True:
            others = self._in_flight.keys() - self._locked_out - {operation}
            self._asks = own_ask = self._asks + 1
            try:
                with self._asking:
                    return await ask(operation)
            except RepositoryLocked:
                self._run.tally.locked_out += 1
                deadline = deadline or self._run.now_seconds() + self._under_test.place.operation_seconds_max
                # That it is locked while nobody else is at work is the target's failure. Others may have begun, or have
                # asked again, before this one was refused.
                if not (others or self._asks > own_ask) or self._run.now_seconds() >= deadline:
                    raise
            except NoSpaceError as error:
                if self._machine.full_disk() is None:
                    raise OperationUnknown(
                        f"the target ran out of space, though the testbed's disk has some: {error}"
                    ) from error
                raise
            await self._wait_for_others(operation)

    async def _wait_for_others(self, operation: str) -> None:
        """Return when another operation has ended, or if all others wait as this one does."""
        self._locked_out.add(operation)
        try:
            if self._in_flight.keys() - self._locked_out:
                with self._run.clock.move_on_after(LOCKED_SECONDS_MAX):
                    await self._ended.wait()
        finally:
            self._locked_out.discard(operation)

    async def _end(self, operation: str, outcome: Outcome[Any], effect: IntendedEffect, seconds: float) -> None:
        """Make the outcome durable, and of a creation what the target says that it took."""
        ledger, receipt = self._run.ledger, None
        if isinstance(outcome, Ok) and effect.creates is not None and isinstance(outcome.value, SnapshotReceipt):
            receipt = outcome.value
        reason = "" if isinstance(outcome, Ok) else outcome.reason
        with ledger.committing_later():
            ledger.end_operation(
                operation,
                outcome=outcome.key,
                reason=reason,
                seconds=seconds,
                snapshot=None if receipt is None else receipt.id,
                taken_us=None if receipt is None else receipt.began_us,
            )
            if receipt is not None and effect.creates is not None:
                encoded = encode_receipt(receipt, receipt.counts_of(effect.creates.manifest))
                ledger.observe(operation, ObservationKind.RECEIPT, encoded)
        await ledger.committed()

    async def judge_failure(self, step: Step) -> None:
        """Without a fault active, no operation fails or hangs; a time-out or a lock counts only if it comes again on an
        idle machine."""
        failure = step.last_failure
        if failure is None:
            return
        operation, error = failure.operation, failure.error
        if self.is_excused(step):
            self._run.tally.failed_under_faults += 1
            return
        if isinstance(error, COUNTS_IF_REPEATED):
            if not step.is_confirming:
                self._suspects.append(step)
                return
            self.hanging_kinds.add(step.kind)
        if self.is_refused_by_design(error):
            self._run.tally.refused_by_design += 1
            if self._run.tally.refused_by_design == 1:
                self._run.note(f"refused by design, which violates nothing: {error}")
            return
        words = f"{step.action.key} of {step.client} failed: {error}"
        is_restore = step.action.family is Family.RESTORE
        if await self._checker.settings.may_explain(step.client, words, error, is_restore=is_restore):
            return
        what = f"{step.action.key} failed"
        seen = FailureSeen(client=step.client, operation=operation, what=what, error=str(error), output=error.evidence)
        step.violations += self._checker.observe(seen)

    async def note(self, step: Step, resolved: Mapping[str, Any]) -> str:
        """Record what was done without asking the target anything. Returns the operation's id."""
        effect = IntendedEffect(resolved)
        _, operation = await self.operate(step, lambda _: checkpoint(), effect, is_of_target=False)
        return operation

    def is_excused(self, step: Step) -> bool:
        """Whether a fault, or the loss of a machine, is the reason for the step's last failure."""
        failure = step.last_failure
        if failure is not None and isinstance(failure.error, MachineLost):
            return True  # The target was not asked, or its answer was not heard.
        return failure is not None and self._weather.excuses(step.client, failure.began_seconds, failure.error)

    def is_refused_by_design(self, error: TargetError) -> bool:
        """Whether an older version was refused what a newer one may do. With one version there is no older one."""
        return isinstance(error, VersionRefused) and self._under_test.is_across_versions


def _outcome_of(error: TargetError) -> Locked | Failed | Unknown:
    """The outcome of an operation that raised this error."""
    if isinstance(error, RepositoryLocked):
        return Locked(str(error))
    return Failed(str(error)) if isinstance(error, OperationFailed) else Unknown(str(error))
