"""Opens a ledger file: refuses foreign files, migrates an older ledger, and translates SQLite's errors."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from snapstorm.errors import NoSpaceError, TestbedError
from snapstorm.ledger.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION


def refuse_what_is_not_ours(path: Path) -> int:
    """Check the file before anything is changed, because opening it for writing would already modify a foreign file.
    Returns the version of the schema."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(error, path) from error
    if application != APPLICATION_ID and not (application == 0 and version == 0 and tables == 0):
        raise TestbedError(f"{path} is a SQLite file, but no ledger of snapstorm; choose another testbed")
    if version > SCHEMA_VERSION:
        raise TestbedError(
            f"{path} was written by a newer snapstorm (schema {version}, this one knows {SCHEMA_VERSION}); "
            "use that version, or another testbed"
        )
    return int(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a ledger up to date, one numbered step after the other."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        # One transaction with the version number, so a crash in between leaves the older schema intact.
        connection.executescript(
            f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; {statements};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )


def up_to_date_copy(older: sqlite3.Connection) -> sqlite3.Connection:
    """A copy in memory of an older ledger, brought up to date. Closes what it copies."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        older.backup(copy)
    finally:
        older.close()
    migrate(copy)
    return copy


def translated(error: sqlite3.Error, path: Path | None) -> TestbedError | NoSpaceError:
    """An error of SQLite as one of ours: what is wrong with the ledger, and what to do."""
    where = f"the ledger {path}" if path else "the ledger"
    text = str(error)
    if "full" in text:
        return NoSpaceError(f"{where} could not be written: the disk is full; free some space and run again")
    if "locked" in text:
        return TestbedError(f"{where} is in use by another program")
    if "not a database" in text or "malformed" in text:
        return TestbedError(
            f"{where} is damaged ({text}); `snapstorm recover` puts a copy in its place, if there is one"
        )
    return TestbedError(f"{where} could not be used: {text}")
