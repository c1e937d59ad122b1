"""Expectations as rows of the ledger: read, and stored as the state machine has made them."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from snapstorm.model.expectations import Expectation, State

_COLUMNS = (
    "operation, client, source, manifest, capabilities, state, began_tick, snapshot, acknowledged_tick, adopted, "
    "deletion_operation, deletion_began_tick, deletion_ended_tick, tainted_by, failed_entries, is_promise_in_doubt"
)
_INSERT = f"INSERT INTO expectations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = (
    "UPDATE expectations SET state = ?, snapshot = ?, acknowledged_tick = ?, adopted = ?, deletion_operation = ?,"
    " deletion_began_tick = ?, deletion_ended_tick = ?, tainted_by = ?, failed_entries = ?, is_promise_in_doubt = ?"
    " WHERE operation = ?"
)

Execute: TypeAlias = Callable[[str, Sequence[object]], object]
"""Executes a statement within a transaction."""

_STATES = {state.value: state for state in State}


def read_expectations(
    connection: sqlite3.Connection, where: str, values: Sequence[object] = ()
) -> Iterator[Expectation]:
    """The expectations for which this condition holds; it may go on with an order and a limit."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM expectations WHERE {where}", values)
    return map(_expectation, rows)


def insert_expectation(run: Execute, expectation: Expectation) -> None:
    """Store one that is new."""
    run(
        _INSERT,
        (
            expectation.operation,
            expectation.client,
            expectation.source,
            expectation.manifest,
            expectation.capabilities,
            expectation.state,
            expectation.began_tick,
            *_what_changes(expectation),
        ),
    )


def update_expectation(run: Execute, expectation: Expectation) -> None:
    """Store what has become of one."""
    run(_UPDATE, (expectation.state, *_what_changes(expectation), expectation.operation))


def _what_changes(expectation: Expectation) -> tuple[object, ...]:
    """What may be another in each state, in the order of the columns."""
    return (
        expectation.snapshot,
        expectation.acknowledged_tick,
        expectation.adopted,
        expectation.deletion_operation,
        expectation.deletion_began_tick,
        expectation.deletion_ended_tick,
        expectation.tainted_by,
        expectation.failed_entries,
        expectation.is_promise_in_doubt,
    )


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
        deletion_operation=row[10],
        deletion_began_tick=row[11],
        deletion_ended_tick=row[12],
        tainted_by=row[13],
        failed_entries=row[14],
        is_promise_in_doubt=bool(row[15]),
    )
