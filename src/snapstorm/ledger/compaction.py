"""Compaction: drops the records of old runs that no later run, sweep, replay or reader needs, and frees their space.

Every expectation stays, even that of a deleted snapshot: it must stay gone for as long as the testbed lives. So do all
violations with the history of their runs, every verification that counts, and every garbage collection.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from snapstorm.model.actions import RunGc

DROPPED_OPERATIONS = "dropped_operations_of_run_"
"""Prefix of the facts that hold how many operations of a run were dropped; the run's number follows."""
COMPACTED_TICK = "compacted_tick"
"""The fact that holds the latest tick at the time of the last compaction."""

_OLD_RUNS = """
    CREATE TEMP TABLE old_runs AS
    SELECT number FROM runs
    WHERE number NOT IN (SELECT number FROM runs ORDER BY number DESC LIMIT ?)
    AND number NOT IN (SELECT run FROM violations)
"""

_DROP_COMMANDS = "DELETE FROM commands WHERE run IN old_runs"

_DROP_VERIFICATIONS = """
    DELETE FROM verifications WHERE run IN old_runs AND is_equal
    AND number NOT IN (SELECT last_verification FROM expectations WHERE last_verification IS NOT NULL)
"""

_DROP_OPERATIONS = """
    DELETE FROM operations WHERE run IN old_runs AND outcome IS NOT NULL AND action != ?
    AND id NOT IN (SELECT operation FROM expectations)
    AND id NOT IN (SELECT deletion_operation FROM expectations WHERE deletion_operation IS NOT NULL)
    AND id NOT IN (SELECT operation FROM verifications WHERE operation IS NOT NULL)
"""

_COUNT_OPERATIONS = "SELECT run, count(*) FROM operations WHERE run IN old_runs GROUP BY run"

_ADD_TO_FACT = """
    INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + ?
"""

_DROP_SAMPLES = "DELETE FROM samples WHERE run IN old_runs"

_DROP_OBSERVATIONS = """
    DELETE FROM observations WHERE operation IN (SELECT id FROM operations WHERE run IN old_runs)
"""

_DROP_MANIFESTS = """
    DELETE FROM manifests WHERE NOT EXISTS (
        SELECT 1 FROM expectations e LEFT JOIN operations o ON o.id = e.deletion_operation
        WHERE e.manifest = digest AND NOT (e.state = 'deleted' AND o.run IN old_runs)
    )
"""

_DROP_FAULTS = """
    DELETE FROM faults WHERE run IN old_runs AND outcome IS NOT NULL
    AND number NOT IN (SELECT tainted_by FROM expectations WHERE tainted_by IS NOT NULL)
"""


@dataclass(frozen=True)
class Dropped:
    """How many rows of old runs were dropped."""

    commands: int
    verifications: int
    operations: int


def compact(connection: sqlite3.Connection, keep_runs: int, tick: int) -> Dropped:
    """Drop what is not needed of all but the last `keep_runs` runs, and give the space back to the disk.

    `tick` is the latest tick that was given out; the row that holds it may be among those that are dropped. Raises
    sqlite3.Error. All rows are dropped in one transaction.
    """
    connection.execute("DROP TABLE IF EXISTS temp.old_runs")
    connection.execute(_OLD_RUNS, (keep_runs,))
    connection.execute("BEGIN IMMEDIATE")
    try:
        for query in (_DROP_MANIFESTS, _DROP_FAULTS, _DROP_SAMPLES, _DROP_OBSERVATIONS):
            connection.execute(query)
        before = dict(connection.execute(_COUNT_OPERATIONS))
        dropped = Dropped(
            commands=connection.execute(_DROP_COMMANDS).rowcount,
            verifications=connection.execute(_DROP_VERIFICATIONS).rowcount,
            operations=connection.execute(_DROP_OPERATIONS, (RunGc.key,)).rowcount,
        )
        after = dict(connection.execute(_COUNT_OPERATIONS))
        for run, count in before.items():
            if gone := count - after.get(run, 0):
                connection.execute(_ADD_TO_FACT, (f"{DROPPED_OPERATIONS}{run}", str(gone), gone))
        connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (COMPACTED_TICK, str(tick)))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return dropped
