"""Inspections: what the target shows, and what it says of its own data."""

from __future__ import annotations

from dataclasses import dataclass

from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.step import Step
from snapstorm.faults.weather import Weather
from snapstorm.guarantees.checker import Checker
from snapstorm.model.action_results import ListedSnapshot
from snapstorm.model.actions import ListSnapshots, VerifyRepository
from snapstorm.model.expectations import Expectation, Listing, State
from snapstorm.model.outcomes import Ok, Outcome
from snapstorm.model.protocols import Server, Snapshotter, TargetPlace
from snapstorm.testbed.context import RunContext


class Inspections:
    """The listings and checks of one run."""

    def __init__(
        self,
        run: RunContext,
        place: TargetPlace,
        snapshotter: Snapshotter,
        checker: Checker,
        operations: Operations,
        server: Server,
        *,
        weather: Weather,
    ) -> None:
        run.tally.isolates_clients = server.isolates_clients
        self._run = run
        self._weather = weather
        self._ledger = run.ledger
        self._place = place
        self._server = server
        self._snapshotter = snapshotter
        self._checker = checker
        self._operations = operations
        self._unknown_runs = run.ledger.gaps.unknown_runs()

    async def list(self, step: Step, *, is_quiescent: bool) -> Outcome[tuple[ListedSnapshot, ...]]:
        """List as the current client, and judge what it is shown. `is_quiescent`: nothing else of it is at work."""
        began_tick, began_seconds = self._ledger.next_tick(), self._run.now_seconds()
        outcome, operation = await self._operations.operate(step, lambda _: self._snapshotter.list_snapshots())
        if isinstance(outcome, Ok):
            listing = Listing(
                client=step.client,
                testbed=self._place.testbed,
                entries=outcome.value,
                began_tick=began_tick,
                ended_tick=self._ledger.next_tick(),
                is_quiescent=is_quiescent,
                is_isolated=self._server.isolates_clients,
                is_exclusive=self._place.is_exclusive,
                unknown_runs=self._unknown_runs,
            )
            veil = self._weather.veil(began_seconds)
            found = await self._checker.judge_listing(
                listing, operation, veiled_since_tick=None if veil is None else veil.began_tick
            )
            step.violations += found
            await self._checker.evidence.name_entries(found)
        return outcome

    def may_expire(self, expectation: Expectation) -> bool:
        """Whether the target's retention has ended this snapshot, or may be ending it, as it is allowed to."""
        ledger = self._ledger
        if ledger.expiries.retention is None:
            return False
        now = ledger.expectations_of_operations([expectation.operation])[0]
        of_source = ledger.expiries.of_source(expectation.client, expectation.source)
        return now.is_expiry or any(found.state is State.CREATING for found in of_source)

    async def is_unlisted(self, step: Step, expectation: Expectation) -> bool:
        """Where the target has a retention, whether a listing as the current client does not show this snapshot. If it
        had to, that is judged there, and what fails because the snapshot is gone is no second violation."""
        if self._ledger.expiries.retention is None:
            return False
        failure, outcome = step.last_failure, await self.list(step, is_quiescent=False)
        step.last_failure = failure
        if not isinstance(outcome, Ok):
            return False
        return all(entry.operation != expectation.operation for entry in outcome.value)

    async def verify(self, step: Step, *, is_judged_later: bool = False) -> Outcome[None]:
        """Run the target's own check over the current client's snapshots."""
        outcome, _ = await self._operations.operate(
            step, lambda _: self._snapshotter.verify_snapshots(), is_judged_later=is_judged_later
        )
        return outcome


@performs(ListSnapshots)
@dataclass(frozen=True)
class ListSnapshotsPerformer(Performer[tuple[ListedSnapshot, ...]]):
    inspections: Inspections

    async def perform(self, step: Step, action: ListSnapshots) -> Outcome[tuple[ListedSnapshot, ...]]:
        return await self.inspections.list(step, is_quiescent=False)


@performs(VerifyRepository)
@dataclass(frozen=True)
class VerifyRepositoryPerformer(Performer[None]):
    inspections: Inspections

    async def perform(self, step: Step, action: VerifyRepository) -> Outcome[None]:
        return await self.inspections.verify(step)
