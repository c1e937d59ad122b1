"""Rows about collections of garbage, and about what these must leave."""

from __future__ import annotations

from typing import NamedTuple

from snapstorm.ledger.transactions import LedgerBase
from snapstorm.model.actions import RunGc
from snapstorm.model.expectations import State

_NEEDED_SINCE = """
    SELECT DISTINCT e.manifest, m.digest IS NOT NULL FROM expectations e LEFT JOIN manifests m ON m.digest = e.manifest
    WHERE e.state NOT IN (?, ?) OR max(e.began_tick, coalesce(e.deletion_ended_tick, 0)) >= ?
"""


class CollectionRow(NamedTuple):
    """One collection that was asked for."""

    began_tick: int
    run: int
    began_seconds: float
    """From the beginning of the run."""
    kind: str
    """`full` or `quick`."""
    outcome: str | None


class UpkeepRows(LedgerBase):
    """The part of the ledger that knows what was collected, and what must be left."""

    def collections(self) -> list[CollectionRow]:
        """All collections that were ever asked for, in the order in which they began."""
        rows = self._connection.execute(
            "SELECT began_tick, run, began_seconds, coalesce(json_extract(resolved, '$.kind'), 'full'), outcome"
            " FROM operations WHERE action = ? ORDER BY began_tick",
            (RunGc.key,),
        )
        return [CollectionRow(*row) for row in rows]

    def trees_since(self, tick: int) -> list[str] | None:
        """The digests of the trees of all snapshots that were there since this tick, or may have been, also in part.
        None where one of these trees is not known any more."""
        rows = self._connection.execute(_NEEDED_SINCE, (State.DELETED, State.ABSENT, tick)).fetchall()
        return [digest for digest, _ in rows] if all(is_known for _, is_known in rows) else None

    def faults_ever(self) -> set[str]:
        """The keys of all faults that have broken something in this testbed."""
        # The storm says behind it why.
        rows = self._connection.execute(
            "SELECT DISTINCT key FROM faults WHERE coalesce(outcome, '') NOT LIKE 'nothing:%'"
        )
        return {key for (key,) in rows}
