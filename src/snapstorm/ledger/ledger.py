"""The ledger: the durable memory of a testbed.

The intent of each operation is durable before it starts, its outcome when it ends, so that a death of this process at
any point loses nothing: the next run finds the open intents and resolves them. SQLite in WAL mode with
`synchronous=FULL` gives exactly that. Calls are synchronous: a commit costs a fraction of a millisecond, less than a
hop to a thread.

Memory stays flat as history grows: what is asked of the ledger is asked by query, never held.
"""

from __future__ import annotations

import json
import operator
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from snapstorm.errors import TestbedError
from snapstorm.ledger.compaction import COMPACTED_TICK, Dropped, compact
from snapstorm.ledger.effects import Effect, Effects
from snapstorm.ledger.fault_records import Injuries
from snapstorm.ledger.findings import Findings
from snapstorm.ledger.gaps import Gaps
from snapstorm.ledger.history import History
from snapstorm.ledger.manifests import ManifestCache
from snapstorm.ledger.migrations import SCHEMA_VERSION
from snapstorm.ledger.observed import Observations
from snapstorm.ledger.opening import migrate, refuse_what_is_not_ours, translated
from snapstorm.ledger.run_rows import RunRows
from snapstorm.ledger.samples import Samples
from snapstorm.model.expectations import Expectation, Settled, State, states_after
from snapstorm.model.manifest import Manifest, decode_manifest

_EXPECTATION_COLUMNS = (
    "operation, client, source, manifest, capabilities, state, began_tick, snapshot, acknowledged_tick, adopted, "
    "deletion_began_tick, deletion_ended_tick, tainted_by, failed_entries, is_promise_in_doubt"
)


@dataclass(frozen=True)
class OpenOperation:
    """An operation whose intent is durable and whose outcome is not: what a crash left."""

    id: str
    client: str
    action: str


@dataclass(frozen=True)
class PastAction:
    """One line of a client's history, for the small program that a violation prints."""

    id: str
    client: str
    action: str
    options: dict[str, Any]
    resolved: dict[str, Any]
    outcome: str | None


class CommandRow(NamedTuple):
    """A finished command, for benchmarks and replay; no verdict rests on it."""

    run: int
    operation: str | None
    """For which it ran; None for the target's own set-up."""
    argv: str
    """As JSON. Holds no secret."""
    began_seconds: float
    """From the beginning of the run."""
    seconds: float
    exit_code: int | None
    timed_out: bool
    directory: str | None = None
    """In which it ran: whose configuration it used."""


class Ledger(Findings, Injuries, Observations, Samples, RunRows):
    """One testbed's ledger. Use `Ledger.open`; every method that changes something is durable when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._effects = Effects()
        self._manifests = ManifestCache()
        self._is_only_writer = False
        self.history = History(connection)
        self.gaps = Gaps(connection, on_change=self._effects.forget_counts)
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

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open the ledger at `path`, make it if it is not there, and bring an older one up to date.

        Raises TestbedError for a file that is no ledger of ours, is damaged, or was written by a newer version;
        such a file is not changed.
        """
        if path.exists():
            refuse_what_is_not_ours(path)
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            ledger = cls(connection)
        except sqlite3.Error as error:
            raise translated(error, path) from error
        ledger._is_only_writer = True
        return ledger

    @classmethod
    def open_to_read(cls, path: Path) -> Ledger:
        """Open the ledger at `path` for reading only, also while a run writes to it. Raises TestbedError."""
        version = refuse_what_is_not_ours(path)
        if version < SCHEMA_VERSION:
            raise TestbedError(f"the ledger {path} is just being made, or is older; a run on it brings it up to date")
        try:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            return cls(connection)
        except sqlite3.Error as error:
            raise translated(error, path) from error

    def close(self) -> None:
        """Close the ledger. What was committed stays."""
        self._connection.close()

    @property
    def position(self) -> tuple[int, int]:
        """How far the testbed has come: its last run, and the last moment in it that is recorded."""
        return int(self._one("SELECT coalesce(max(number), 0) FROM runs")[0]), self._recorded_tick()

    def next_tick(self) -> int:
        """The next moment in the order of events of this testbed."""
        self._tick += 1
        return self._tick

    # Runs and clients.

    def begin_run(self, *, seed: int, began_utc: str, scenario: str, target: str) -> int:
        """Record a new run and return its number. `scenario` and `target` are JSON."""
        with self._transaction() as run:
            number = max(run("SELECT coalesce(max(number), 0) + 1 FROM runs").fetchone()[0], self.gaps.next_run())
            run(
                "INSERT INTO runs (number, seed, began_utc, scenario, target) VALUES (?, ?, ?, ?, ?)",
                (number, seed, began_utc, scenario, target),
            )
        return int(number)

    def end_run(self, number: int, *, ended_utc: str, verdict: str, summary: str) -> None:
        with self._transaction() as run:
            run(
                "UPDATE runs SET ended_utc = ?, verdict = ?, summary = ? WHERE number = ?",
                (ended_utc, verdict, summary, number),
            )

    def runs(self, last: int | None = None) -> list[dict[str, Any]]:
        """The last runs, or all, oldest first: number, seed, times, verdict (None for one that was killed)."""
        columns = ("number", "seed", "began_utc", "ended_utc", "verdict", "scenario", "target", "summary")
        rows = self._connection.execute(
            f"SELECT {', '.join(columns)} FROM runs ORDER BY number DESC LIMIT ?", (-1 if last is None else last,)
        ).fetchall()
        return [dict(zip(columns, row, strict=True)) for row in reversed(rows)]

    def has_run(self, number: int) -> bool:
        """Whether there has been a run of this number."""
        found = self._connection.execute("SELECT 1 FROM runs WHERE CAST(number AS TEXT) = ?", (str(number),))
        return found.fetchone() is not None  # As text, because a number that was typed may be any.

    def target_versions(self) -> set[str]:
        """Every version of the target that a run on this testbed has had."""
        rows = self._connection.execute("SELECT DISTINCT target FROM runs")
        return {version for row in rows for version in json.loads(row[0]).get("versions", ())}

    def count_runs(self) -> int:
        """How many runs there have been."""
        return int(self._one("SELECT count(*) FROM runs")[0])

    def last_moment_utc(self) -> str | None:
        """The latest time at which a run began or ended; None before the first."""
        row = self._one("SELECT max(max(began_utc, coalesce(ended_utc, ''))) FROM runs")
        return None if row[0] is None else str(row[0])

    def add_clients(self, names: Sequence[str], run_number: int) -> None:
        with self._transaction() as run:
            for name in names:
                run("INSERT INTO clients VALUES (?, ?) ON CONFLICT DO NOTHING", (name, run_number))

    def clients(self) -> frozenset[str]:
        """All clients that were ever let in."""
        return frozenset(row[0] for row in self._connection.execute("SELECT name FROM clients"))

    def clients_with_expectations(self) -> list[str]:
        """Clients that have ever asked for a snapshot: also of a deleted one it is promised that it stays gone."""
        rows = self._connection.execute("SELECT DISTINCT client FROM expectations ORDER BY client")
        return [row[0] for row in rows]

    # Operations and their expectations.

    def begin_operation(
        self,
        *,
        operation: str,
        run_number: int,
        client: str,
        step: int,
        action: str,
        options: str,
        began_seconds: float,
        resolved: Mapping[str, Any] | None = None,
        creates: tuple[str, str, Manifest] | None = None,
        deletes: Sequence[str] = (),
        is_own: bool = False,
    ) -> int:
        """Make the intent of an operation durable, with all that it may change; return the tick at which it begins.

        `creates` is (source, capabilities as JSON, manifest) of the snapshot that it asks for; `deletes` are the
        expectations (by operation) whose deletion it asks for. `is_own`: snapstorm itself asks for it, not a client.
        """
        tick = self.next_tick()
        self._effects.begin(operation, Effect(client, creates[0] if creates else None, bool(deletes)))
        with self._transaction() as run:
            run(
                "INSERT INTO operations (id, run, client, step, action, options, resolved, began_tick, began_seconds,"
                " is_own) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    operation,
                    run_number,
                    client,
                    step,
                    action,
                    options,
                    json.dumps(resolved or {}),
                    tick,
                    began_seconds,
                    is_own,
                ),
            )
            if creates is not None:
                source, capabilities, manifest = creates
                self._store_manifest(manifest)
                run(
                    "INSERT INTO expectations (operation, client, source, manifest, capabilities, state, began_tick)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (operation, client, source, manifest.digest, capabilities, State.CREATING, tick),
                )
            for expectation in deletes:
                run(
                    "UPDATE expectations SET state = ?, deletion_operation = ?, deletion_began_tick = ?"
                    " WHERE operation = ?",
                    (State.DELETING, operation, tick, expectation),
                )
        return tick

    def end_operation(
        self, operation: str, *, outcome: str, reason: str, seconds: float, snapshot: str | None = None
    ) -> None:
        """Make the outcome of an operation durable, with what follows for its snapshots.

        `outcome` `ok` makes what it created live (as `snapshot`) and what it deleted deleted; every other outcome
        leaves both in doubt, except `failed` and `no_op`, by which the target says that nothing happened.
        """
        tick = self.next_tick()
        created, deleted = states_after(outcome)
        effect = self._effects.end(operation, is_ok=outcome == "ok")
        with self._transaction() as run:
            run(
                "UPDATE operations SET outcome = ?, reason = ?, seconds = ?, ended_tick = ? WHERE id = ?",
                (outcome, reason, seconds, tick, operation),
            )
            if effect.creates:
                run(
                    "UPDATE expectations SET state = ?, snapshot = ?, acknowledged_tick = ? WHERE operation = ?",
                    (created, snapshot, tick if created is State.LIVE else None, operation),
                )
            if effect.deletes:
                self._end_deletion(operation, deleted, tick)

    def _end_deletion(self, operation: str, deleted: State, tick: int) -> None:
        self._connection.execute(
            "UPDATE expectations SET state = ?, deletion_ended_tick = ?,"
            " deletion_began_tick = CASE WHEN ? THEN NULL ELSE deletion_began_tick END"
            " WHERE deletion_operation = ? AND state = ?",
            (deleted, tick if deleted is State.DELETED else None, deleted is State.LIVE, operation, State.DELETING),
        )
        self._collect_manifests("deletion_operation", operation)

    def interrupt_open_operations(self) -> list[OpenOperation]:
        """Turn what a killed run left open into doubt, and say what it was. For use when no process of it is left."""
        rows = self._connection.execute("SELECT id, client, action FROM operations WHERE outcome IS NULL").fetchall()
        for operation, _, _ in rows:
            self.end_operation(operation, outcome="unknown", reason="snapstorm was killed while it ran", seconds=0.0)
        return [OpenOperation(*row) for row in rows]

    def settle(self, settled: Iterable[Settled]) -> None:
        """Record what a listing settled."""
        self._effects.forget_counts()
        with self._transaction() as run:
            for doubt in settled:
                tick = self.next_tick()
                if doubt.state is State.LIVE:
                    # Coming back from doubt about its deletion keeps when it was acknowledged, if it ever was.
                    run(
                        "UPDATE expectations SET state = ?, snapshot = coalesce(snapshot, ?),"
                        " adopted = (adopted OR acknowledged_tick IS NULL),"
                        " acknowledged_tick = coalesce(acknowledged_tick, ?), failed_entries = ?,"
                        " deletion_operation = NULL, deletion_began_tick = NULL, deletion_ended_tick = NULL"
                        " WHERE operation = ?",
                        (State.LIVE, doubt.snapshot, tick, doubt.failed_entries, doubt.operation),
                    )
                else:
                    run(
                        "UPDATE expectations SET state = ?, deletion_ended_tick = ? WHERE operation = ?",
                        (doubt.state, tick if doubt.state is State.DELETED else None, doubt.operation),
                    )
                    self._collect_manifests("operation", doubt.operation)

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
            clauses.append(f"state IN ({_marks(wanted)})")
            values.extend(wanted)
        if source is not None:
            clauses.append("source = ?")
            values.append(source)
        rows = self._connection.execute(
            f"SELECT {_EXPECTATION_COLUMNS} FROM expectations WHERE {' AND '.join(clauses)}", values
        )
        # Sorted here: SQLite would copy each row for it, twice the time for a hundred thousand (measured).
        return sorted((_expectation(row) for row in rows), key=operator.attrgetter("began_tick"))

    def count_live(self, client: str, source: str | None = None) -> int:
        """How many live snapshots a client has, of one source or of all."""
        known = self._effects.live(client, source)
        if known is not None:
            return known
        clause, values = ("AND source = ?", [source]) if source is not None else ("", [])
        row = self._one(
            f"SELECT count(*) FROM expectations WHERE client = ? AND state = ? {clause}", [client, State.LIVE, *values]
        )
        if self._is_only_writer:
            self._effects.keep_live(client, source, int(row[0]))
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

    def count_live_unverified(self, client: str, run_number: int) -> int:
        """How many live snapshots of a client this run has not restored exactly."""
        row = self._one(
            "SELECT count(*) FROM expectations WHERE client = ? AND state = ? AND operation NOT IN"
            " (SELECT expectation FROM verifications WHERE run = ? AND is_whole AND is_equal)",
            (client, State.LIVE, run_number),
        )
        return int(row[0])

    def live_at(self, client: str, index: int) -> Expectation:
        """A client's live snapshot at this position, in the order in which their creations began."""
        row = self._one(
            f"SELECT {_EXPECTATION_COLUMNS} FROM expectations WHERE client = ? AND state = ?"
            " ORDER BY began_tick LIMIT 1 OFFSET ?",
            (client, State.LIVE, index),
        )
        return _expectation(row)

    def expectations_of_operations(self, operations: Iterable[str]) -> list[Expectation]:
        """The expectations that these operations asked for; unknown operations have none."""
        found = list[Expectation]()
        for operation in operations:
            row = self._connection.execute(
                f"SELECT {_EXPECTATION_COLUMNS} FROM expectations WHERE operation = ?", (operation,)
            ).fetchone()
            if row is not None:
                found.append(_expectation(row))
        return found

    def is_id_of_another(self, snapshot: str, operation: str) -> bool:
        """Whether the target has given this id to a snapshot of another operation before."""
        row = self._connection.execute(
            "SELECT 1 FROM expectations WHERE snapshot = ? AND operation != ?", (snapshot, operation)
        ).fetchone()
        return row is not None

    def expectation_of_snapshot(self, snapshot: str) -> Expectation | None:
        """The expectation of the snapshot with this id, the newest if the target gave the id out twice."""
        row = self._connection.execute(
            f"SELECT {_EXPECTATION_COLUMNS} FROM expectations WHERE snapshot = ? ORDER BY began_tick DESC LIMIT 1",
            (snapshot,),
        ).fetchone()
        return None if row is None else _expectation(row)

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

    def latest_live(self, client: str, source: str) -> Expectation | None:
        """A client's latest live snapshot of this source."""
        row = self._connection.execute(
            f"SELECT {_EXPECTATION_COLUMNS} FROM expectations WHERE client = ? AND state = ? AND source = ?"
            " ORDER BY began_tick DESC LIMIT 1",
            (client, State.LIVE, source),
        ).fetchone()
        return _expectation(row) if row else None

    def doubt_promises(self, client: str, after_tick: int) -> None:
        """Record that what was to be kept of this client's trees is not known for the snapshots begun since then."""
        with self._transaction() as run:
            run(
                "UPDATE expectations SET is_promise_in_doubt = 1 WHERE client = ? AND began_tick > ?",
                (client, after_tick),
            )

    def last_actions(self, run_number: int, client: str, limit: int) -> list[PastAction]:
        """The client's last actions in this run, oldest first."""
        rows = self._connection.execute(
            "SELECT id, client, action, options, resolved, outcome FROM operations WHERE run = ? AND client = ?"
            " ORDER BY began_tick DESC LIMIT ?",
            (run_number, client, limit),
        ).fetchall()
        return [
            PastAction(row[0], row[1], row[2], json.loads(row[3]), json.loads(row[4]), row[5]) for row in reversed(rows)
        ]

    def add_commands(self, commands: Iterable[CommandRow]) -> None:
        """Record finished commands."""
        with self._transaction() as run:
            for command in commands:
                run(
                    "INSERT INTO commands (run, operation, argv, began_seconds, seconds, exit_code, timed_out,"
                    " directory) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    command,
                )

    def compact(self, keep_runs: int) -> Dropped:
        """Drop what is not needed any more of all but the last runs, and give its room back to the disk.

        Raises NoSpaceError where there is not room enough for a second ledger, which that needs.
        """
        try:
            return compact(self._connection, keep_runs, self._tick)
        except sqlite3.Error as error:
            raise translated(error, None) from error

    def _collect_manifests(self, column: str, operation: str) -> None:
        """Drop the manifests of snapshots that are deleted, as far as no other snapshot shares them."""
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


_STATES = {state.value: state for state in State}


def _expectation(row: Sequence[Any]) -> Expectation:
    """Of a hundred thousand, all but a few share their client, source and capabilities: the same text once for all."""
    return Expectation(
        operation=row[0],
        client=sys.intern(row[1]),
        source=sys.intern(row[2]),
        manifest=row[3],
        capabilities=sys.intern(row[4]),
        state=_STATES[row[5]],
        began_tick=row[6],
        snapshot=row[7],
        acknowledged_tick=row[8],
        adopted=bool(row[9]),
        deletion_began_tick=row[10],
        deletion_ended_tick=row[11],
        tainted_by=row[12],
        failed_entries=row[13],
        is_promise_in_doubt=bool(row[14]),
    )


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
