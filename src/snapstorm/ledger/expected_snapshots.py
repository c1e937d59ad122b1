"""What the ledger expects of each snapshot, as `model.snapshot_states` says, and what was in it."""

from __future__ import annotations

import operator
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from snapstorm.errors import TestbedError
from snapstorm.ledger.clock_records import OFFSET_FACT
from snapstorm.ledger.compaction import COMPACTED_TICK
from snapstorm.ledger.effects import Effects
from snapstorm.ledger.expectation_rows import read_expectations
from snapstorm.ledger.manifests import ManifestCache
from snapstorm.ledger.promise_rows import Promises
from snapstorm.model import snapshot_states
from snapstorm.model.expectations import Expectation, Settled, State
from snapstorm.model.manifest import Manifest, decode_manifest


class ExpectedSnapshots(Promises):
    """The part of the ledger that holds expectations and their manifests."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._effects = Effects()
        self._manifests = ManifestCache()
        self._is_only_writer = False
        self._tick = self._recorded_tick()

    def _recorded_tick(self) -> int:
        """The latest tick of all that is recorded."""
        row = self._one(
            "SELECT max(coalesce(max(began_tick), 0), coalesce(max(ended_tick), 0)) FROM operations"
            " UNION ALL SELECT max(coalesce(max(acknowledged_tick), 0), coalesce(max(deletion_ended_tick), 0))"
            " FROM expectations UNION ALL SELECT max(coalesce(max(began_tick), 0), coalesce(max(ended_tick), 0))"
            " FROM faults ORDER BY 1 DESC LIMIT 1"
        )
        return max(int(row[0]), int(self.fact(COMPACTED_TICK) or 0))

    def clients_with_expectations(self) -> list[str]:
        """Clients that have ever asked for a snapshot: also of a deleted one it is promised that it stays gone."""
        rows = self._connection.execute("SELECT DISTINCT client FROM expectations ORDER BY client")
        return [row[0] for row in rows]

    def next_tick(self) -> int:
        """The next moment in the order of events of this testbed."""
        self._tick += 1
        return self._tick

    def settle(self, settled: Iterable[Settled]) -> None:
        """Record what a listing settled."""
        self._effects.live_counts.clear()
        with self._transaction() as run:
            for doubt in settled:
                for doubted in read_expectations(self._connection, "operation = ?", [doubt.operation]):
                    self._change_expectation(run, doubted, snapshot_states.settle(doubted, doubt, self.next_tick()))
                if doubt.state is not State.LIVE:
                    self._collect_manifests("operation", doubt.operation)

    def taint(self, operation: str, fault: int) -> None:
        """Record that a snapshot was taken while storage was damaged."""
        self._change_all("operation = ?", [operation], lambda found: snapshot_states.taint(found, fault))

    def taint_all(self, fault: int) -> None:
        """Record that what this fault has done to the storage may have cost any live snapshot something."""
        self._change_all("state = ?", [State.LIVE.value], lambda found: snapshot_states.taint(found, fault))

    def end_taint(self, operation: str) -> None:
        """Record that a snapshot is whole, whatever had damaged the storage when it was taken."""
        self._change_all("operation = ? AND tainted_by IS NOT NULL", [operation], snapshot_states.end_taint)

    def doubt_promises(self, client: str, after_tick: int) -> None:
        """Record that what was to be kept of this client's trees is not known for the snapshots begun since then."""
        self._change_all("client = ? AND began_tick > ?", [client, after_tick], snapshot_states.doubt_promise)

    def _change_all(self, where: str, values: Sequence[object], change: Callable[[Expectation], Expectation]) -> None:
        """Store what becomes of the expectations for which this condition holds."""
        with self._transaction() as run:
            for found in read_expectations(self._connection, where, values):
                self._change_expectation(run, found, change(found))

    def expectations(
        self, client: str | None = None, states: Iterable[State] = (), source: str | None = None
    ) -> list[Expectation]:
        """Expectations in the order in which their creations began, narrowed by client, states and source."""
        wanted = sorted(states)
        clauses, values = ["1"], list[str]()
        if client is not None:
            clauses.append("client = ?")
            values.append(client)
        if wanted:
            clauses.append(f"state IN ({', '.join('?' * len(wanted))})")
            values.extend(wanted)
        if source is not None:
            clauses.append("source = ?")
            values.append(source)
        found = read_expectations(self._connection, " AND ".join(clauses), values)
        # Sorted here: SQLite would copy each row for it, twice the time for a hundred thousand (measured).
        return sorted(found, key=operator.attrgetter("began_tick"))

    def count_live(self, client: str, source: str | None = None) -> int:
        """How many live snapshots a client has, of one source or of all."""
        known = self._effects.live_counts.setdefault(client, {})
        if source in known:
            return known[source]
        clause, values = ("AND source = ?", [source]) if source is not None else ("", [])
        row = self._one(
            f"SELECT count(*) FROM expectations WHERE client = ? AND state = ? {clause}", [client, State.LIVE, *values]
        )
        if self._is_only_writer:
            known[source] = int(row[0])
        return int(row[0])

    def live_operations(self) -> list[tuple[str, str]]:
        """All live snapshots as (client, operation), in the order in which they were begun."""
        rows = self._connection.execute(
            "SELECT client, operation FROM expectations WHERE state = ? ORDER BY began_tick", (State.LIVE,)
        )
        return list(rows)

    def live_snapshots(self) -> Iterator[tuple[str, str, str]]:
        """All live snapshots as (operation, client, id)."""
        return self._connection.execute(
            "SELECT operation, client, snapshot FROM expectations WHERE state = ?", (State.LIVE,)
        )

    def deleted_of(self, snapshots: Iterable[str]) -> list[tuple[str, str, str]]:
        """Of these ids, the snapshots whose deletion was acknowledged, as (operation, client, id)."""
        found = (
            self._connection.execute(
                "SELECT operation, client, snapshot FROM expectations WHERE snapshot = ? AND state = ?",
                (snapshot, State.DELETED),
            ).fetchone()
            for snapshot in snapshots
        )
        return [row for row in found if row is not None]

    def count_live_unverified(self, client: str | None, run_number: int) -> int:
        """How many live snapshots of a client, or of all, this run has not restored exactly."""
        clause, values = ("", []) if client is None else ("AND client = ?", [client])
        row = self._one(
            "SELECT count(*) FROM expectations WHERE state = ? AND operation NOT IN"
            f" (SELECT expectation FROM verifications WHERE run = ? AND is_whole AND is_equal) {clause}",
            [State.LIVE, run_number, *values],
        )
        return int(row[0])

    def live_at(self, client: str, index: int) -> Expectation:
        """A client's live snapshot at this position, in the order in which their creations began."""
        where = "client = ? AND state = ? ORDER BY began_tick LIMIT 1 OFFSET ?"
        (found,) = read_expectations(self._connection, where, (client, State.LIVE, index))
        return found

    def expectations_of_operations(self, operations: Iterable[str]) -> list[Expectation]:
        """The expectations that these operations asked for; unknown operations have none."""
        return [
            found
            for operation in operations
            for found in read_expectations(self._connection, "operation = ?", (operation,))
        ]

    def is_id_of_another(self, snapshot: str, operation: str) -> bool:
        """Whether the target has given this id to a snapshot of another operation before."""
        row = self._connection.execute(
            "SELECT 1 FROM expectations WHERE snapshot = ? AND operation != ?", (snapshot, operation)
        ).fetchone()
        return row is not None

    def expectation_of_snapshot(self, snapshot: str) -> Expectation | None:
        """The expectation of the snapshot with this id, the newest if the target gave the id out twice."""
        latest = "snapshot = ? ORDER BY began_tick DESC LIMIT 1"
        return next(iter(read_expectations(self._connection, latest, (snapshot,))), None)

    def count_states(self) -> dict[State, int]:
        """How many snapshots there are in each state, over the testbed's whole life."""
        rows = dict(self._connection.execute("SELECT state, count(*) FROM expectations GROUP BY state").fetchall())
        return {state: int(rows.get(state, 0)) for state in State}

    def manifest(self, digest: str) -> Manifest:
        """A stored manifest."""
        remembered = self._manifests.get(digest)
        if remembered is not None:
            return remembered
        row = self._one("SELECT encoded FROM manifests WHERE digest = ?", (digest,))
        try:
            manifest = decode_manifest(zlib.decompress(row[0]))
        except (zlib.error, ValueError) as error:
            raise TestbedError(f"the ledger is damaged: manifest {digest} can't be read ({error})") from error
        if manifest.digest != digest:
            raise TestbedError(f"the ledger is damaged: manifest {digest} is not what was stored")
        self._manifests.add(manifest)
        return manifest

    def latest_manifest(self, client: str, source: str) -> Manifest | None:
        """What a client's tree was when its latest live snapshot was taken; None without one."""
        latest = self.latest_live(client, source)
        return None if latest is None else self.manifest(latest.manifest)

    def latest_live(self, client: str, source: str | None = None) -> Expectation | None:
        """A client's latest live snapshot, of one source or of all."""
        clause, values = ("", []) if source is None else ("AND source = ?", [source])
        where = f"client = ? AND state = ? {clause} ORDER BY began_tick DESC LIMIT 1"
        return next(iter(read_expectations(self._connection, where, (client, State.LIVE, *values))), None)

    def _collect_manifests(self, column: str, operation: str) -> None:
        """Drop the manifests of snapshots that are deleted, as far as no other snapshot shares them, unless the storage
        still has them in its history, or how much it may hold is judged by them, as in virtual time."""
        if self.keeps_history or self.fact(OFFSET_FACT) is not None:
            return
        gone = self._connection.execute(
            f"DELETE FROM manifests WHERE digest IN (SELECT manifest FROM expectations WHERE {column} = ?)"
            " AND NOT EXISTS (SELECT 1 FROM expectations WHERE manifest = digest AND state != ?) RETURNING digest",
            (operation, State.DELETED),
        ).fetchall()
        for (digest,) in gone:
            self._manifests.discard(digest)

    def _store_manifest(self, manifest: Manifest) -> None:
        self._manifests.add(manifest)
        known = self._connection.execute("SELECT 1 FROM manifests WHERE digest = ?", (manifest.digest,)).fetchone()
        if known is None:
            self._connection.execute(
                "INSERT INTO manifests VALUES (?, ?)", (manifest.digest, zlib.compress(manifest.encoded, 1))
            )
