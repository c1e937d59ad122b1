"""Layout: what is stored, looked at past the server in the target's own terms, while nobody is at work."""

from __future__ import annotations

from collections.abc import Mapping

from snapstorm.errors import TargetError
from snapstorm.guarantees.checker import Checker
from snapstorm.model.abilities import ShowsLayout, SnapshotMarks
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import Server
from snapstorm.testbed.context import Run


class LayoutCheck:
    """Checks one run's repository, where that can be looked at."""

    def __init__(self, run: Run, server: Server, checker: Checker) -> None:
        self._run = run
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
            self._run.check_machine(error)
            words = f"the repository could not be looked at although no fault was active: {error}"
            self._checker.report(Guarantee.AVAILABLE, words, texts={"output.txt": error.evidence})
            return
        for words in irregularities:
            self._checker.report(Guarantee.LAYOUT_IS_SOUND, words, snapshot=words, fingerprint=words)
        if stored is not None:
            self._compare(stored)

    def _compare(self, stored: Mapping[str, SnapshotMarks]) -> None:
        """The listing of snapshots is what clients are shown of what is stored: both must agree."""
        live = {snapshot: (operation, client) for operation, client, snapshot in self._run.ledger.live_snapshots()}
        for snapshot in live.keys() - stored.keys():
            operation, client = live[snapshot]
            self._checker.report(
                Guarantee.ACKNOWLEDGED_STAYS_LISTED,
                f"snapshot {snapshot} was acknowledged, its deletion was never asked for, and it is not among the "
                "manifests in the repository",
                client=client,
                snapshot=snapshot,
                expectation=operation,
            )
        for operation, client, snapshot in self._run.ledger.deleted_of(stored.keys() - live.keys()):
            self._checker.report(
                Guarantee.DELETED_STAYS_GONE,
                f"snapshot {snapshot} is among the manifests in the repository although its deletion was acknowledged",
                client=client,
                snapshot=snapshot,
                expectation=operation,
            )
        if self._run.place.is_exclusive:
            self._report_strangers({id_: marks for id_, marks in stored.items() if id_ not in live})

    def _report_strangers(self, stored: Mapping[str, SnapshotMarks]) -> None:
        """What bears marks that no client of ours sets is shown to none of them. What bears ours is judged where it is
        listed: it may be what was cut off, or of a run that the ledger does not know."""
        clients, testbed = self._run.ledger.clients(), self._run.place.testbed
        for snapshot, marks in stored.items():
            if marks.client not in clients or marks.testbed != testbed:
                whose = f"{marks.client}, of {f'testbed {marks.testbed}' if marks.testbed else 'no testbed'}"
                self._checker.report(
                    Guarantee.NOTHING_UNREQUESTED,
                    f"snapshot {snapshot} is among the manifests in the repository, but no client asked for it: it is "
                    f"one of {whose}",
                    snapshot=snapshot,
                )
