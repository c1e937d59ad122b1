"""Layout: what is stored, looked at past the server in the target's own terms, while nobody is at work."""

from __future__ import annotations

from snapstorm.engine.checker import Checker
from snapstorm.engine.run import Run
from snapstorm.errors import TargetError
from snapstorm.model.abilities import ShowsLayout
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import Server


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

    def _compare(self, stored: frozenset[str]) -> None:
        """The listing of snapshots is what clients are shown of what is stored: both must agree."""
        live = {snapshot: (operation, client) for operation, client, snapshot in self._run.ledger.live_snapshots()}
        for snapshot in live.keys() - stored:
            operation, client = live[snapshot]
            self._checker.report(
                Guarantee.ACKNOWLEDGED_STAYS_LISTED,
                f"snapshot {snapshot} was acknowledged, its deletion was never asked for, and it is not among the "
                "manifests in the repository",
                client=client,
                snapshot=snapshot,
                expectation=operation,
            )
        for operation, client, snapshot in self._run.ledger.deleted_of(stored - live.keys()):
            self._checker.report(
                Guarantee.DELETED_STAYS_GONE,
                f"snapshot {snapshot} is among the manifests in the repository although its deletion was acknowledged",
                client=client,
                snapshot=snapshot,
                expectation=operation,
            )
