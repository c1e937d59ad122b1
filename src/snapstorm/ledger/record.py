"""The record of a run: its operations and commands, with times and results. For evidence, judging again, and replay.

Read only; no decision of a run depends on it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COLUMNS = (
    "id", "client", "step", "action", "options", "resolved", "began_tick", "began_seconds", "ended_tick", "seconds",
    "outcome", "reason", "is_own",
)  # fmt: skip


@dataclass(frozen=True)
class RecordedOperation:
    """One operation as the ledger has it."""

    id: str
    client: str
    step: int
    action: str
    options: dict[str, Any]
    resolved: dict[str, Any]
    """The choices that the action left open."""
    began_tick: int
    began_seconds: float
    """On the clock of its run."""
    ended_tick: int | None
    seconds: float | None
    """How long it took; None while it runs, and if a killed run left it open."""
    outcome: str | None
    reason: str
    is_own: bool
    """Requested by snapstorm itself, not as a step of a client."""

    @property
    def ended_seconds(self) -> float | None:
        """When it ended, on the clock of its run."""
        return None if self.seconds is None else self.began_seconds + self.seconds


@dataclass(frozen=True)
class RecordedCommand:
    """A command that was run for the target."""

    argv: list[str]
    directory: str | None
    operation: str | None
    snapshot: str | None
    """The id of the snapshot, if its operation was to take one; `manifest` and `source` likewise."""
    manifest: str | None
    source: str | None
    exit_code: int | None


class Record:
    """Reads the operations and commands of a ledger's runs."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, number: int) -> dict[str, Any] | None:
        """A run's own row: seed, times, verdict, and scenario, target and summary as values; None if there is none."""
        columns = ("number", "seed", "began_utc", "ended_utc", "verdict", "scenario", "target", "summary")
        row = self._connection.execute(f"SELECT {', '.join(columns)} FROM runs WHERE number = ?", (number,)).fetchone()
        if row is None:
            return None
        values = dict(zip(columns, row, strict=True))
        return values | {name: json_value(values[name]) for name in ("scenario", "target", "summary")}

    def operation(self, operation: str) -> RecordedOperation | None:
        return next(self._operations("WHERE id = ?", operation), None)

    def operations(self, run_number: int) -> Iterator[RecordedOperation]:
        """All operations of a run, in the order in which they began."""
        return self._operations("WHERE run = ? ORDER BY began_tick", run_number)

    def open_operations(self, run_number: int) -> Iterator[RecordedOperation]:
        """The operations of a run that have not ended: those under way, or, of a killed run, when it was killed."""
        return self._operations("WHERE run = ? AND outcome IS NULL ORDER BY began_tick", run_number)

    def last_operations(self, run_number: int, limit: int, client: str | None = None) -> list[RecordedOperation]:
        """The last operations of a run, of one client or of all, in the order in which they began."""
        which = "WHERE run = ? AND (? IS NULL OR client = ?) ORDER BY began_tick DESC LIMIT ?"
        return list(self._operations(which, run_number, client, client, limit))[::-1]

    def operations_between(self, run_number: int, seconds: tuple[float, float], limit: int) -> list[RecordedOperation]:
        """Operations at work at some time between two moments on the run's clock; if there are too many, the last
        ones."""
        found = self._operations(
            "WHERE run = ? AND began_seconds <= ? AND (outcome IS NULL OR began_seconds + seconds >= ?)"
            " ORDER BY began_tick DESC LIMIT ?",
            run_number,
            seconds[1],
            seconds[0],
            limit,
        )
        return list(found)[::-1]

    def count_operations(self, run_number: int) -> int:
        row = self._connection.execute("SELECT count(*) FROM operations WHERE run = ?", (run_number,)).fetchone()
        return int(row[0])

    def commands(self, run_number: int) -> Iterator[RecordedCommand]:
        """The commands of a run in the order in which they began, each with the snapshot that it was to take."""
        rows = self._connection.execute(
            "SELECT c.argv, c.directory, c.operation, e.snapshot, e.manifest, e.source, c.exit_code FROM commands c"
            " LEFT JOIN expectations e ON e.operation = c.operation WHERE c.run = ? ORDER BY c.began_seconds, c.number",
            (run_number,),
        )
        for argv, *rest in rows:
            yield RecordedCommand(json.loads(argv), *rest)

    def has_manifest(self, digest: str) -> bool:
        """Whether a manifest is still stored. Those of deleted snapshots are dropped."""
        found = self._connection.execute("SELECT 1 FROM manifests WHERE digest = ?", (digest,)).fetchone()
        return found is not None

    def _operations(self, which: str, *values: object) -> Iterator[RecordedOperation]:
        query = f"SELECT {', '.join(_COLUMNS)} FROM operations {which}"
        for row in self._connection.execute(query, values):
            found: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
            found["options"], found["resolved"] = json.loads(found["options"]), json.loads(found["resolved"])
            found["is_own"] = bool(found["is_own"])
            yield RecordedOperation(**found)


def json_value(text: str | None) -> Any:
    """The JSON value in a column; the text itself if it is not JSON. A scenario is JSON within JSON."""
    try:
        found = json.loads(text or "null")
        return json_value(found) if isinstance(found, str) else found
    except ValueError:
        return text
