"""What was expected at each moment of a recorded run: the ledger keeps only what is expected now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from snapstorm.model import snapshot_states
from snapstorm.model.expectations import OPEN_STATES, Expectation, Settled, State
from snapstorm.model.expiry import end_expiry, of_source
from snapstorm.model.retention import Retention


class ExpectedThen:
    """Everything that is expected at one moment of a run, which moves on from event to event."""

    def __init__(
        self,
        recorded: Iterable[Expectation],
        began_tick: int,
        retention: Retention | None = None,
        *,
        knows_all: bool = True,
    ) -> None:
        """`recorded`: what the ledger expects now; `began_tick`: when the run began. `retention`: what the target
        keeps; `knows_all`: the ledger has every snapshot that was asked for."""
        self._retention = retention
        self._knows_all = knows_all
        self._recorded = {expectation.operation: expectation for expectation in recorded}
        self._all: dict[str, Expectation] = {}
        self._open: dict[str, dict[str, Expectation]] = {}
        self._by_snapshot: dict[str, set[str]] = {}
        self._doomed: dict[str, Sequence[str]] = {}
        for expectation in self._recorded.values():
            if (then := snapshot_states.as_of(expectation, began_tick)) is not None:
                self._put(then)

    def get(self, operation: str) -> Expectation | None:
        """What the snapshot of this operation must be now."""
        return self._all.get(operation)

    def recorded(self, operation: str) -> Expectation | None:
        """What the ledger has of the snapshot of this operation."""
        return self._recorded.get(operation)

    def open_of(self, client: str) -> Mapping[str, Expectation]:
        """What a client has that is neither deleted nor absent, by operation."""
        return self._open.get(client, {})

    def is_id_of_another(self, snapshot: str, operation: str) -> bool:
        """Whether this id is that of a snapshot of another operation."""
        return bool(self._by_snapshot.get(snapshot, set()) - {operation})

    def begin(self, operation: str, doomed: Sequence[str], tick: int, may_expire: Sequence[str] = ()) -> None:
        """An operation begins, which asks for the deletion of these snapshots, and perhaps for a new one, because of
        which others may expire."""
        if (asked_for := self._recorded.get(operation)) is not None:
            self._put(snapshot_states.as_it_began(asked_for))
        self._doomed[operation] = doomed
        for found in self._of(doomed):
            self._put(snapshot_states.begin_deletion(found, operation, tick))
        for found in self._of(may_expire):
            if found.state is State.LIVE:
                self._put(snapshot_states.begin_expiry(found, operation, tick))

    def end(self, operation: str, outcome: str, tick: int) -> None:
        """It has ended."""
        for found in self._of([operation]):
            if found.state is State.CREATING:
                recorded = self._recorded[operation]
                created = snapshot_states.end_creation(found, outcome, tick, recorded.snapshot, recorded.taken_us)
                self._put(created)
                self._end_expiry(created, outcome, tick)
        for found in self._of(self._doomed.pop(operation, ())):
            if found.state is State.DELETING:
                self._put(snapshot_states.end_deletion(found, outcome, tick))

    def _end_expiry(self, created: Expectation, outcome: str, tick: int) -> None:
        """As the ledger does: see `Expiries.end`."""
        if self._retention is None:
            return
        mine = of_source(self.open_of(created.client).values(), created)
        for found in list(end_expiry(self._retention, mine, created, outcome, tick, knows_all=self._knows_all)):
            self._put(found)

    def settle(self, settled: Iterable[Settled], tick: int) -> None:
        """A listing that ended at this moment has settled doubts: each at the next moment."""
        for moment, doubt in enumerate(settled, start=tick + 1):
            self._put(snapshot_states.settle(self._all[doubt.operation], doubt, moment))

    def differing(self) -> list[str]:
        """The operations whose snapshots are in another state now than the ledger has."""
        return [name for name, found in self._all.items() if found.state is not self._recorded[name].state]

    def _of(self, operations: Iterable[str]) -> list[Expectation]:
        return [self._all[operation] for operation in operations if operation in self._all]

    def _put(self, expectation: Expectation) -> None:
        self._all[expectation.operation] = expectation
        of_client = self._open.setdefault(expectation.client, {})
        if expectation.state in OPEN_STATES:
            of_client[expectation.operation] = expectation
        else:
            of_client.pop(expectation.operation, None)
        if expectation.snapshot is not None:
            self._by_snapshot.setdefault(expectation.snapshot, set()).add(expectation.operation)
