"""Expectations as they were: what each snapshot had to be at some moment of a run, from what the ledger has recorded.

The ledger keeps what is expected now. To judge a recorded listing again, what was expected then is needed: it follows
from what was expected when the run began, and from what its operations and listings have done since. Each step here
does to values what the ledger does to its rows; a test holds the one against the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from snapstorm.model.expectations import Expectation, Settled, State, states_after
from snapstorm.model.judging import OPEN_STATES


def as_of(expectation: Expectation, tick: int) -> Expectation | None:
    """What was expected at this moment, between two runs, of a snapshot of which the ledger has `expectation` now.

    None if it had not been asked for then. Of a creation without an acknowledgement it is not recorded when it was
    taken for absent; a listing proves the same of one in doubt.
    """
    if expectation.began_tick >= tick:
        return None
    acknowledged, began, ended = (
        moment if moment is not None and moment < tick else None
        for moment in (
            expectation.acknowledged_tick,
            expectation.deletion_began_tick,
            expectation.deletion_ended_tick,
        )
    )
    if acknowledged is None:
        state = State.ABSENT if expectation.state is State.ABSENT else State.CREATION_IN_DOUBT
        return replace(
            expectation,
            state=state,
            snapshot=None,
            acknowledged_tick=None,
            adopted=False,
            deletion_began_tick=None,
            deletion_ended_tick=None,
            failed_entries=0,
        )
    state = State.LIVE if began is None else State.DELETION_IN_DOUBT if ended is None else State.DELETED
    return replace(expectation, state=state, deletion_began_tick=began, deletion_ended_tick=ended)


class PastExpectations:
    """Everything that is expected at one moment, which moves on."""

    def __init__(self, at_the_beginning: Iterable[Expectation]) -> None:
        self._all: dict[str, Expectation] = {}
        self._open: dict[str, dict[str, Expectation]] = {}
        self._by_snapshot: dict[str, set[str]] = {}
        self._doomed: dict[str, Sequence[str]] = {}
        for expectation in at_the_beginning:
            self._put(expectation)

    def get(self, operation: str) -> Expectation | None:
        """What the snapshot of this operation must be now."""
        return self._all.get(operation)

    def all(self) -> Mapping[str, Expectation]:
        """Everything, by operation."""
        return self._all

    def open_of(self, client: str) -> Mapping[str, Expectation]:
        """What a client has that is neither deleted nor absent, by operation."""
        return self._open.get(client, {})

    def is_id_of_another(self, snapshot: str, operation: str) -> bool:
        """Whether this id is that of a snapshot of another operation."""
        return bool(self._by_snapshot.get(snapshot, set()) - {operation})

    def begin_creation(self, as_recorded: Expectation) -> None:
        """A snapshot is asked for; of what is recorded of it only what was known then counts."""
        self._put(
            replace(
                as_recorded,
                state=State.CREATING,
                snapshot=None,
                acknowledged_tick=None,
                adopted=False,
                deletion_began_tick=None,
                deletion_ended_tick=None,
                tainted_by=None,
                failed_entries=0,
            )
        )

    def begin_deletion(self, operation: str, doomed: Sequence[str], tick: int) -> None:
        """An operation asks for the deletion of these snapshots."""
        self._doomed[operation] = doomed
        for one in doomed:
            if (found := self._all.get(one)) is not None:
                self._put(replace(found, state=State.DELETING, deletion_began_tick=tick))

    def end(self, operation: str, outcome: str, tick: int, snapshot: str | None) -> None:
        """An operation has ended; `snapshot` is the id of what it created, if it said one."""
        created, deleted = states_after(outcome)
        asked_for = self._all.get(operation)
        if asked_for is not None and asked_for.state is State.CREATING:
            is_live = created is State.LIVE
            known = snapshot if is_live else None
            self._put(replace(asked_for, state=created, snapshot=known, acknowledged_tick=tick if is_live else None))
        for one in self._doomed.pop(operation, ()):
            found = self._all.get(one)
            if found is None or found.state is not State.DELETING:
                continue
            began = None if deleted is State.LIVE else found.deletion_began_tick
            ended = tick if deleted is State.DELETED else None
            self._put(replace(found, state=deleted, deletion_began_tick=began, deletion_ended_tick=ended))

    def settle(self, settled: Iterable[Settled], tick: int) -> None:
        """A listing that ended at this moment has settled doubts: each at the next moment."""
        for moment, doubt in enumerate(settled, start=tick + 1):
            found = self._all[doubt.operation]
            if doubt.state is State.LIVE:
                is_first = found.acknowledged_tick is None
                self._put(
                    replace(
                        found,
                        state=State.LIVE,
                        snapshot=found.snapshot or doubt.snapshot,
                        adopted=found.adopted or is_first,
                        acknowledged_tick=moment if is_first else found.acknowledged_tick,
                        failed_entries=doubt.failed_entries,
                        deletion_began_tick=None,
                        deletion_ended_tick=None,
                    )
                )
            else:
                ended = moment if doubt.state is State.DELETED else None
                self._put(replace(found, state=doubt.state, deletion_ended_tick=ended))

    def _put(self, expectation: Expectation) -> None:
        self._all[expectation.operation] = expectation
        of_client = self._open.setdefault(expectation.client, {})
        if expectation.state in OPEN_STATES:
            of_client[expectation.operation] = expectation
        else:
            of_client.pop(expectation.operation, None)
        if expectation.snapshot is not None:
            self._by_snapshot.setdefault(expectation.snapshot, set()).add(expectation.operation)
