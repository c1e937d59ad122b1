"""Layout: what is stored, looked at past the server in the target's own terms, while nobody is at work."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from snapstorm.errors import TargetError
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.abilities import ShowsLayout, SnapshotMarks
from snapstorm.model.expectations import Expectation
from snapstorm.model.expiry import may_have_ended, overstaying
from snapstorm.model.protocols import Server, TargetPlace
from snapstorm.model.seen import FailureSeen, IrregularitySeen, StoredSeen, StoredSnapshot
from snapstorm.testbed.machine_check import MachineCheck


class LayoutCheck:
    """Checks one run's repository, where that can be looked at."""

    def __init__(
        self, ledger: Ledger, place: TargetPlace, machine: MachineCheck, server: Server, checker: Checker
    ) -> None:
        self._ledger = ledger
        self._place = place
        self._machine = machine
        self._server = server
        self._checker = checker

    async def check(self) -> None:
        """Hold the layout against its rules, and the snapshots that are stored against those that were promised.

        For when every doubt is settled. What can't be looked at because the target fails is judged by `available`.
        """
        if not isinstance(self._server, ShowsLayout):
            return
        try:
            irregularities = await self._server.irregularities()
            stored = await self._server.stored_snapshots()
        except TargetError as error:
            self._machine.check(error)
            what = "the repository could not be looked at"
            self._checker.observe(FailureSeen(what=what, error=str(error), output=error.evidence))
            return
        for words in irregularities:
            self._checker.observe(IrregularitySeen(words=words))
        if stored is not None:
            self._compare(stored)

    def _compare(self, stored: Mapping[str, SnapshotMarks]) -> None:
        """The listing of snapshots is what clients are shown of what is stored: both must agree."""
        ledger = self._ledger
        live = {snapshot: (operation, client) for operation, client, snapshot in ledger.live_snapshots()}
        missing = [
            StoredSnapshot(snapshot, *live[snapshot], self._may_have_ended(live[snapshot][0]))
            for snapshot in live.keys() - stored.keys()
        ]
        deleted = list(self._deleted(stored.keys(), live.keys()))
        strangers = dict[str, str]()
        if self._place.is_exclusive:
            strangers = self._strangers({id_: marks for id_, marks in stored.items() if id_ not in live})
        self._checker.observe(StoredSeen(missing=missing, deleted=deleted, strangers=strangers))

    def _may_have_ended(self, operation: str) -> bool:
        """Whether the target's retention may have ended this live snapshot."""
        expiries = self._ledger.expiries
        if expiries.retention is None:
            return False
        (lost,) = self._ledger.expectations_of_operations([operation])
        ticks = expiries.creation_ticks(lost.client).get(lost.source, ())
        return may_have_ended(lost, expiries.of_source(lost.client, lost.source), ticks, self._ledger.next_tick())

    def _deleted(self, stored: Collection[str], live: Collection[str]) -> Iterator[StoredSnapshot]:
        """Those of the stored snapshots that must not be there."""
        ledger, retention = self._ledger, self._ledger.expiries.retention
        expired = list[Expectation]()
        for operation, client, snapshot in ledger.deleted_of(set(stored) - set(live)):
            (found,) = ledger.expectations_of_operations([operation])
            if found.is_expiry:
                expired.append(found)
            else:
                yield StoredSnapshot(snapshot, operation, client)
        if expired and retention is not None:
            sources = {(found.client, found.source) for found in expired}
            there = [one for source in sources for one in ledger.expiries.of_source(*source) if one.snapshot in stored]
            for one in overstaying(retention, [*there, *expired]):
                yield StoredSnapshot(one.snapshot or "", one.operation, one.client, is_by_retention=True)

    def _strangers(self, stored: Mapping[str, SnapshotMarks]) -> dict[str, str]:
        """What bears marks that no client of ours sets, which none of them is shown, and whose it is. What bears ours
        is judged where it is listed: it may be what was cut off, or of a run that the ledger does not know."""
        clients, testbed = self._ledger.clients(), self._place.testbed
        return {
            snapshot: f"{marks.client}, of {f'testbed {marks.testbed}' if marks.testbed else 'no testbed'}"
            for snapshot, marks in stored.items()
            if marks.client not in clients or marks.testbed != testbed
        }
