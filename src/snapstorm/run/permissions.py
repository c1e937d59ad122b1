"""Rights: what a client may not do where somebody else decides that, found out by trying.

Whether a client may delete can't be asked for: who may do what is shown to administrators only. So each client takes a
small snapshot of its own for this and deletes it. Where that is refused, as it is to clients with access APPEND, the
snapshot stays, is restored and compared like any other, and its deletion is tried again at the end: then it must be
refused again. The next run uses it, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from snapstorm.actions.own_operations import OwnOperations
from snapstorm.actions.possible import Refusals
from snapstorm.errors import AccessDenied
from snapstorm.guarantees.checker import Checker
from snapstorm.model.expectations import Expectation
from snapstorm.model.manifest import path_as_text
from snapstorm.model.seen import LetInSeen
from snapstorm.model.work import WorkKind
from snapstorm.testbed.context import RunContext

_TREE = "rights"


@dataclass(frozen=True)
class Rights:
    """The rights of the clients of one run."""

    run: RunContext
    own_operations: OwnOperations
    refusals: Refusals
    checker: Checker
    without: list[str] = field(init=False, default_factory=list)
    """Clients that may not delete."""

    async def find_out(self, client: str) -> None:
        """Find out whether a client may delete its snapshots. Where it may not, what needs that is not drawn."""
        if not self.checker.settings.are_set_by_others or client in self.without:
            return
        tried = self._tried(client) or await self._take(client)
        if tried is None:
            return  # It could not be taken, which was judged.
        if isinstance(await self.own_operations.try_to_delete(client, tried), AccessDenied):
            self.without.append(client)
            self.refusals.forbid_deletions(client, "this client may not delete snapshots")
            self.run.note(
                f"{client} may not delete snapshots: it does no deletions and no expiries, and at the end of the run a "
                "deletion must be refused"
            )

    async def try_all(self) -> None:
        """A deletion by a client that may not delete must be refused."""
        for client in self.without:
            tried = self._tried(client)
            if tried is None:
                continue
            failure = await self.own_operations.try_to_delete(client, tried)
            if isinstance(failure, AccessDenied):
                self.run.tally.refused[WorkKind.DELETION] = self.run.tally.refused.get(WorkKind.DELETION, 0) + 1
            elif failure is None:
                words = (
                    f"{client} was let delete snapshot {tried.snapshot}, which had been refused when the run began; if "
                    "you have given it that right meanwhile, run again"
                )
                seen = LetInSeen(client=client, words=words, snapshot=tried.snapshot, expectation=tried.operation)
                self.checker.observe(seen)

    def _tried(self, client: str) -> Expectation | None:
        """The snapshot on which this was tried before, if it is still there."""
        return self.run.ledger.latest_live(client, path_as_text(self.own_operations.tree_of_ours(client, _TREE)))

    async def _take(self, client: str) -> Expectation | None:
        text = "snapstorm deletes the snapshot of this to find out whether it may\n"
        await self.own_operations.try_to_snapshot(client, _TREE, text)
        return self._tried(client)
