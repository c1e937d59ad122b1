"""What the ledger has of one run: for doing it again, and for telling of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from snapstorm.errors import TestbedError


@dataclass(frozen=True)
class PastRun:
    """One run as it was begun and ended."""

    number: int
    seed: int
    scenario: str
    """As JSON, or in words where it was none."""
    target: dict[str, Any]
    verdict: str | None
    """None for a run that was killed, or that is going on."""


class PastOperation(NamedTuple):
    """An operation that a client's step has begun."""

    id: str
    client: str
    step: int
    action: str
    options: dict[str, Any]
    resolved: dict[str, Any]
    began_tick: int
    ended_tick: int | None


class PastFault(NamedTuple):
    """A fault, and when it began to strike."""

    key: str
    number: int
    """Among the faults of its run, from 1."""
    began_tick: int


class PastCommand(NamedTuple):
    """A command that the target's programs were given."""

    argv: list[str]
    directory: str | None
    operation: str | None
    snapshot: str | None
    """Of the operation, if it was to take one: its id."""
    manifest: str | None
    source: str | None
    exit_code: int | None


class Past:
    """Reads single runs from an open ledger's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, number: int) -> PastRun:
        """A run by its number. Raises TestbedError for one that there is not."""
        row = self._connection.execute(
            "SELECT number, seed, scenario, target, verdict FROM runs WHERE number = ?", (number,)
        ).fetchone()
        if row is None:
            raise TestbedError(f"the testbed has no run {number}; `snapstorm history` lists them")
        return PastRun(row[0], row[1], row[2], json.loads(row[3]), row[4])

    def client_operations(self, run_number: int) -> Iterator[PastOperation]:
        """What the clients of a run asked for, without what snapstorm itself did, in the order in which it began."""
        rows = self._connection.execute(
            "SELECT id, client, step, action, options, resolved, began_tick, ended_tick FROM operations"
            " WHERE run = ? AND NOT is_own ORDER BY began_tick",
            (run_number,),
        )
        for row in rows:
            identity, client, step, action, options, resolved, began, ended = row
            yield PastOperation(identity, client, step, action, json.loads(options), json.loads(resolved), began, ended)

    def faults(self, run_number: int) -> list[PastFault]:
        """The faults of a run, in order."""
        rows = self._connection.execute(
            "SELECT key, began_tick FROM faults WHERE run = ? ORDER BY number", (run_number,)
        )
        return [PastFault(key, number, tick) for number, (key, tick) in enumerate(rows, start=1)]

    def violated_guarantees(self, run_number: int) -> dict[str, int | None]:
        """Which guarantees a run has found violated, each with the tick at which the operation began that first
        showed it; None where no operation of a client did."""
        rows = self._connection.execute(
            "SELECT v.guarantee, min(CASE WHEN o.is_own THEN NULL ELSE o.began_tick END),"
            " sum(o.is_own OR o.id IS NULL) FROM violations v LEFT JOIN operations o ON o.id = v.operation"
            " WHERE v.run = ? AND v.accepted_reason IS NULL GROUP BY v.guarantee ORDER BY min(v.number)",
            (run_number,),
        )
        return {guarantee: None if by_own else tick for guarantee, tick, by_own in rows}

    def restores(self, run_number: int) -> int:
        """How many restores a run made, snapstorm's own included."""
        row = self._connection.execute(
            "SELECT count(*) FROM operations WHERE run = ? AND action LIKE 'restore-%'", (run_number,)
        ).fetchone()
        return int(row[0])

    def commands(self, run_number: int) -> Iterator[PastCommand]:
        """The commands of a run in the order in which they began, each with the snapshot that it took."""
        rows = self._connection.execute(
            "SELECT c.argv, c.directory, c.operation, e.snapshot, e.manifest, e.source, c.exit_code FROM commands c"
            " LEFT JOIN expectations e ON e.operation = c.operation WHERE c.run = ? ORDER BY c.began_seconds, c.number",
            (run_number,),
        )
        for argv, *rest in rows:
            yield PastCommand(json.loads(argv), *rest)

    def violating_operations(self, run_number: int) -> set[str]:
        """The operations that have shown a violation."""
        rows = self._connection.execute(
            "SELECT operation FROM violations WHERE run = ? AND operation IS NOT NULL", (run_number,)
        )
        return {row[0] for row in rows}
