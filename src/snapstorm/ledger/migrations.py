"""The ledger's schema, as numbered migrations. A released migration is never edited; a new one is added below it."""

from __future__ import annotations

APPLICATION_ID = 0x534E4150
"""Marks a SQLite file as a ledger of ours ("SNAP")."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY,
        seed INTEGER NOT NULL,
        began_utc TEXT NOT NULL,
        ended_utc TEXT,
        verdict TEXT,
        scenario TEXT NOT NULL,
        target TEXT NOT NULL,
        summary TEXT
    );
    CREATE TABLE clients (name TEXT PRIMARY KEY, first_run INTEGER NOT NULL REFERENCES runs) WITHOUT ROWID;
    CREATE TABLE manifests (digest TEXT PRIMARY KEY, encoded BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE operations (
        id TEXT PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        client TEXT NOT NULL,
        step INTEGER NOT NULL,
        action TEXT NOT NULL,
        options TEXT NOT NULL,
        resolved TEXT NOT NULL DEFAULT '{}',
        began_tick INTEGER NOT NULL,
        began_seconds REAL NOT NULL,
        ended_tick INTEGER,
        seconds REAL,
        outcome TEXT,
        reason TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX operations_by_run ON operations (run, began_tick);
    CREATE INDEX open_operations ON operations (id) WHERE outcome IS NULL;
    CREATE TABLE expectations (
        operation TEXT PRIMARY KEY REFERENCES operations (id),
        client TEXT NOT NULL,
        source TEXT NOT NULL,
        manifest TEXT NOT NULL REFERENCES manifests (digest),
        capabilities TEXT NOT NULL,
        state TEXT NOT NULL,
        began_tick INTEGER NOT NULL,
        snapshot TEXT,
        acknowledged_tick INTEGER,
        adopted INTEGER NOT NULL DEFAULT 0,
        deletion_operation TEXT,
        deletion_began_tick INTEGER,
        deletion_ended_tick INTEGER
    );
    CREATE INDEX expectations_by_client ON expectations (client, state, began_tick);
    CREATE INDEX expectations_by_snapshot ON expectations (snapshot);
    CREATE TABLE verifications (
        number INTEGER PRIMARY KEY,
        expectation TEXT NOT NULL REFERENCES expectations (operation),
        run INTEGER NOT NULL REFERENCES runs,
        operation TEXT,
        is_whole INTEGER NOT NULL,
        is_equal INTEGER NOT NULL,
        is_narrowed INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        at_utc TEXT NOT NULL,
        target_versions TEXT NOT NULL
    );
    CREATE INDEX verifications_by_expectation ON verifications (expectation, run);
    CREATE TABLE violations (
        number INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        guarantee TEXT NOT NULL,
        client TEXT,
        snapshot TEXT,
        expectation TEXT,
        operation TEXT,
        path TEXT,
        detail TEXT NOT NULL,
        evidence TEXT,
        fingerprint TEXT NOT NULL DEFAULT '',
        accepted_reason TEXT
    );
    CREATE TABLE commands (
        number INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        operation TEXT,
        argv TEXT NOT NULL,
        began_seconds REAL NOT NULL,
        seconds REAL NOT NULL,
        exit_code INTEGER,
        timed_out INTEGER NOT NULL
    );
    CREATE INDEX commands_by_run ON commands (run);
    """,
    # Manifests of deleted snapshots are dropped, so expectations refer to theirs without a foreign key. SQLite can drop
    # a foreign key only by creating the table again.
    """
    CREATE TABLE new_expectations (
        operation TEXT PRIMARY KEY REFERENCES operations (id),
        client TEXT NOT NULL,
        source TEXT NOT NULL,
        manifest TEXT NOT NULL,
        capabilities TEXT NOT NULL,
        state TEXT NOT NULL,
        began_tick INTEGER NOT NULL,
        snapshot TEXT,
        acknowledged_tick INTEGER,
        adopted INTEGER NOT NULL DEFAULT 0,
        deletion_operation TEXT,
        deletion_began_tick INTEGER,
        deletion_ended_tick INTEGER,
        last_verification INTEGER
    );
    INSERT INTO new_expectations SELECT e.*, (
        SELECT max(v.number) FROM verifications v WHERE v.expectation = e.operation AND v.is_whole AND v.is_equal
    ) FROM expectations e;
    DROP TABLE expectations;
    ALTER TABLE new_expectations RENAME TO expectations;
    CREATE INDEX expectations_by_client ON expectations (client, state, began_tick);
    CREATE INDEX expectations_by_state ON expectations (state);
    CREATE INDEX expectations_by_snapshot ON expectations (snapshot);
    CREATE INDEX expectations_by_manifest ON expectations (manifest);
    CREATE INDEX expectations_by_deletion ON expectations (deletion_operation) WHERE deletion_operation IS NOT NULL;
    CREATE INDEX collections ON operations (ended_tick) WHERE action = 'run-gc' AND outcome = 'ok';
    ALTER TABLE verifications ADD COLUMN through TEXT NOT NULL DEFAULT '';
    DELETE FROM manifests WHERE digest NOT IN (
        SELECT manifest FROM expectations WHERE state NOT IN ('deleted', 'absent')
    );
    """,
    """
    CREATE TABLE faults (
        number INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        key TEXT NOT NULL,
        details TEXT NOT NULL DEFAULT '{}',
        began_tick INTEGER NOT NULL,
        began_seconds REAL NOT NULL,
        ended_tick INTEGER,
        ended_seconds REAL,
        outcome TEXT
    );
    CREATE INDEX faults_by_run ON faults (run);
    CREATE INDEX open_faults ON faults (number) WHERE outcome IS NULL;
    ALTER TABLE expectations ADD COLUMN tainted_by INTEGER REFERENCES faults (number);
    """,
    # The directory of a command tells whose configuration it used; replaying it needs that.
    "ALTER TABLE commands ADD COLUMN directory TEXT",
    "ALTER TABLE expectations ADD COLUMN failed_entries INTEGER NOT NULL DEFAULT 0",
    # For reports, replay and judging again. `is_own`: requested by snapstorm itself, not as a step of a client. Samples
    # are measurements during a run; observations are what the target showed, on which judging is based.
    """
    ALTER TABLE operations ADD COLUMN is_own INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE violations ADD COLUMN at_seconds REAL;
    CREATE TABLE samples (
        run INTEGER NOT NULL REFERENCES runs,
        at_seconds REAL NOT NULL,
        name TEXT NOT NULL,
        value REAL NOT NULL
    );
    CREATE INDEX samples_by_run ON samples (run, at_seconds);
    CREATE TABLE observations (
        operation TEXT PRIMARY KEY REFERENCES operations (id),
        kind TEXT NOT NULL,
        encoded BLOB NOT NULL
    ) WITHOUT ROWID;
    """,
    # The snapshot was taken while somebody changed the policies, so it is unknown which part of the tree was to be
    # kept.
    "ALTER TABLE expectations ADD COLUMN is_promise_in_doubt INTEGER NOT NULL DEFAULT 0",
    # Virtual time: when a run began in it, in nanoseconds since 1970 (NULL: the run was in real time), each jump, and
    # how far the clocks of clients were ahead.
    """
    ALTER TABLE runs ADD COLUMN virtual_began_ns INTEGER;
    CREATE TABLE clock_jumps (
        number INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        at_seconds REAL NOT NULL,
        by_ns INTEGER NOT NULL
    );
    CREATE INDEX clock_jumps_by_run ON clock_jumps (run, at_seconds);
    CREATE TABLE clock_skews (
        run INTEGER NOT NULL REFERENCES runs,
        client TEXT NOT NULL,
        ahead_ns INTEGER NOT NULL,
        PRIMARY KEY (run, client)
    ) WITHOUT ROWID;
    """,
    # When the target says that it took the snapshot, by which its retention goes; and whether it was the retention that
    # ended it, not a deletion.
    """
    ALTER TABLE expectations ADD COLUMN taken_us INTEGER;
    ALTER TABLE expectations ADD COLUMN is_expiry INTEGER NOT NULL DEFAULT 0;
    """,
    # Events of a storage that keeps a history of its writes: the latest when a run began, when an intent became
    # durable, and when an outcome did; and from which event to which it is promised that a snapshot is there.
    """
    ALTER TABLE runs ADD COLUMN began_event INTEGER;
    ALTER TABLE operations ADD COLUMN began_event INTEGER;
    ALTER TABLE operations ADD COLUMN ended_event INTEGER;
    CREATE TABLE promises (
        expectation TEXT NOT NULL REFERENCES expectations (operation),
        first_event INTEGER NOT NULL,
        last_event INTEGER
    );
    CREATE INDEX promises_by_expectation ON promises (expectation);
    """,
)

SCHEMA_VERSION = len(MIGRATIONS)
