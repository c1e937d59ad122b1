"""The ledger: the durable memory of a testbed.

The intent of each operation is durable before it starts, its outcome when it ends, so that a death of this process at
any point loses nothing: the next run finds the open intents and resolves them. SQLite in WAL mode with
`synchronous=FULL` gives exactly that. Calls are synchronous: a commit costs a fraction of a millisecond, less than a
hop to a thread.

Memory stays flat as history grows: what is asked of the ledger is asked by query, never held.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from snapstorm.errors import TestbedError
from snapstorm.ledger.clock_records import ClockRecords
from snapstorm.ledger.compaction import Dropped, compact
from snapstorm.ledger.effects import Effect
from snapstorm.ledger.expectation_rows import insert_expectation, read_expectations
from snapstorm.ledger.expected_snapshots import ExpectedSnapshots
from snapstorm.ledger.expiries import Expiries
from snapstorm.ledger.fault_records import Injuries
from snapstorm.ledger.findings import Findings
from snapstorm.ledger.gaps import Gaps
from snapstorm.ledger.history import History
from snapstorm.ledger.migrations import SCHEMA_VERSION
from snapstorm.ledger.observed import Observations
from snapstorm.ledger.opening import migrate, refuse_what_is_not_ours, translated, up_to_date_copy
from snapstorm.ledger.samples import Samples
from snapstorm.ledger.upkeep_rows import UpkeepRows
from snapstorm.model import snapshot_states
from snapstorm.model.expectations import State
from snapstorm.model.expiry import TakingSpan
from snapstorm.model.manifest import Manifest


class AskedSnapshot(NamedTuple):
    """A snapshot that an operation asks for."""

    source: str
    capabilities: str
    """As JSON."""
    manifest: Manifest


@dataclass(frozen=True)
class IntendedEffect:
    """What an operation is about to do."""

    resolved: Mapping[str, Any] = field(default_factory=dict)
    """What was drawn and chosen for it."""
    creates: AskedSnapshot | None = None
    deletes: Sequence[str] = ()
    """The expectations (by operation) whose deletion it asks for."""
    taking: TakingSpan | None = None
    """When the snapshot that it creates will be dated. The target's retention, if it has one, acts by that."""


NO_EFFECT = IntendedEffect()

MAY_EXPIRE = "may_expire"
"""In what was resolved for a creation: the snapshots that the target's retention may end because of it."""


@dataclass(frozen=True)
class OperationIntent:
    """An operation that is about to begin, with all that it may change."""

    operation: str
    run: int
    client: str
    step: int
    action: str
    options: str
    """As JSON."""
    began_seconds: float
    effect: IntendedEffect = NO_EFFECT
    is_own: bool = False
    """Snapstorm itself asks for it, not a client."""


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


class Ledger(ClockRecords, ExpectedSnapshots, Findings, Injuries, Observations, Samples, UpkeepRows):
    """One testbed's ledger. Use `Ledger.open`; every method that changes something is durable when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.history = History(connection)
        self.gaps = Gaps(connection, on_change=self._effects.live_counts.clear)
        self.expiries = Expiries(
            connection, knows_all=lambda: not self.gaps.unknown_runs(), change=self._change_expectation
        )

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
        """Open the ledger at `path` for reading only, also while a run writes to it. Raises TestbedError.

        Of an older ledger a copy in memory is read, as it is now: the ledger itself stays as it is.
        """
        version = refuse_what_is_not_ours(path)
        if version == 0:
            raise TestbedError(f"the ledger {path} is just being made; try again in a moment")
        try:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            return cls(connection if version == SCHEMA_VERSION else up_to_date_copy(connection))
        except sqlite3.Error as error:
            raise translated(error, path) from error

    def close(self) -> None:
        """Close the ledger. What was committed stays."""
        self._connection.close()

    @property
    def position(self) -> tuple[int, int]:
        """How far the testbed has come: its last run, and the last moment in it that is recorded."""
        return int(self._one("SELECT coalesce(max(number), 0) FROM runs")[0]), self._recorded_tick()

    # Runs and clients.

    def begin_run(self, *, seed: int, began_utc: str, scenario: str, target: str) -> int:
        """Record a new run and return its number. `scenario` and `target` are JSON."""
        with self._transaction() as run:
            number = max(run("SELECT coalesce(max(number), 0) + 1 FROM runs").fetchone()[0], self.gaps.next_run())
            run(
                "INSERT INTO runs (number, seed, began_utc, scenario, target, began_event) VALUES (?, ?, ?, ?, ?, ?)",
                (number, seed, began_utc, scenario, target, self.storage_event()),
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

    # Operations and their expectations.

    def begin_operation(self, intent: OperationIntent) -> int:
        """Make the intent of an operation durable, with all that it may change; return the tick at which it begins."""
        tick, operation, client, effect = self.next_tick(), intent.operation, intent.client, intent.effect
        resolved, doomed = dict(effect.resolved), list[str]()
        if effect.creates is not None:
            doomed = list(self.expiries.doomed(client, effect.creates.source, effect.taking))
        if doomed:
            resolved[MAY_EXPIRE] = doomed
        with self._transaction() as run:
            run(
                "INSERT INTO operations (id, run, client, step, action, options, resolved, began_tick, began_seconds,"
                " is_own, began_event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    operation,
                    intent.run,
                    client,
                    intent.step,
                    intent.action,
                    intent.options,
                    json.dumps(resolved),
                    tick,
                    intent.began_seconds,
                    intent.is_own,
                    self.storage_event(),
                ),
            )
            source = effect.creates and effect.creates.source
            is_expiring = source is not None and self.expiries.retention is not None
            self._effects.begin(operation, Effect(client, source, bool(effect.deletes) or is_expiring))
            if effect.creates is not None:
                source, capabilities, manifest = effect.creates
                self._store_manifest(manifest)
                creating = snapshot_states.begin_creation(
                    operation,
                    client=client,
                    source=source,
                    manifest=manifest.digest,
                    capabilities=capabilities,
                    tick=tick,
                )
                insert_expectation(run, creating)
            for expectation in self.expectations_of_operations(effect.deletes):
                deleting = snapshot_states.begin_deletion(expectation, operation, tick)
                self._change_expectation(run, expectation, deleting)
            self.expiries.begin(run, operation, doomed, tick)
        return tick

    def end_operation(
        self,
        operation: str,
        *,
        outcome: str,
        reason: str,
        seconds: float,
        snapshot: str | None = None,
        taken_us: int | None = None,
    ) -> None:
        """Make the outcome of an operation durable, with what follows for its snapshots.

        `outcome` `ok` makes what it created live (as `snapshot`, taken at `taken_us`) and what it deleted deleted;
        every other outcome leaves both in doubt, except `failed`, `locked` and `no_op`, by which the target says that
        nothing happened. What a creation has let expire follows from `taken_us`.
        """
        tick = self.next_tick()
        with self._transaction() as run:
            run(
                "UPDATE operations SET outcome = ?, reason = ?, seconds = ?, ended_tick = ?, ended_event = ?"
                " WHERE id = ?",
                (outcome, reason, seconds, tick, self.storage_event(), operation),
            )
            effect = self._effects.end(operation, is_ok=outcome == "ok")
            if effect.source is not None:
                for creating in self.expectations_of_operations([operation]):
                    created = snapshot_states.end_creation(creating, outcome, tick, snapshot, taken_us)
                    self._change_expectation(run, creating, created)
                    self.expiries.end(run, created, outcome, tick)
            if effect.deletes:
                doomed = "deletion_operation = ? AND state = ?"
                for deleting in read_expectations(self._connection, doomed, (operation, State.DELETING)):
                    self._change_expectation(run, deleting, snapshot_states.end_deletion(deleting, outcome, tick))
                self._collect_manifests("deletion_operation", operation)

    def interrupt_open_operations(self) -> list[str]:
        """Turn what a killed run left open into doubt, and say which operations. For use when no process of it is
        left."""
        found = [row[0] for row in self._connection.execute("SELECT id FROM operations WHERE outcome IS NULL")]
        for operation in found:
            self.end_operation(operation, outcome="unknown", reason="snapstorm was killed while it ran", seconds=0.0)
        return found

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
