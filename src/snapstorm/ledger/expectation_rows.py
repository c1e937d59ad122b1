"""Expectations as rows of the ledger: read, and stored as the state machine has made them."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec.structs import astuple

from snapstorm.model.expectations import Expectation, State

_FIELDS = Expectation.__struct_fields__
"""In the ledger, the columns of the same names."""
_CONSTANT = 5
"""So many of them, from the first, never change."""
_COLUMNS = ", ".join(_FIELDS)
_INSERT = f"INSERT INTO expectations ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"
_UPDATE = f"UPDATE expectations SET {' = ?, '.join(_FIELDS[_CONSTANT:])} = ? WHERE operation = ?"

Execute: TypeAlias = Callable[[str, Sequence[object]], object]
"""Executes a statement within a transaction."""

_SHARED = [_FIELDS.index(name) for name in ("client", "source", "capabilities")]
_FLAGS = [_FIELDS.index(name) for name in ("adopted", "is_promise_in_doubt", "is_expiry")]
_STATE = _FIELDS.index("state")
_STATES = {state.value: state for state in State}


def read_expectations(connection: sqlite3.Connection, where: str, values: Sequence[object] = ()) -> list[Expectation]:
    """The expectations for which this condition holds; it may go on with an order and a limit.

    Of a hundred thousand, all but a few share their client, source and capabilities: the same text once for all.
    """
    found: list[Expectation] = []
    for row in connection.execute(f"SELECT {_COLUMNS} FROM expectations WHERE {where}", values):
        fields = list(row)
        for place in _SHARED:
            fields[place] = sys.intern(fields[place])
        for place in _FLAGS:
            fields[place] = bool(fields[place])
        fields[_STATE] = _STATES[fields[_STATE]]
        found.append(Expectation(*fields))
    return found


def insert_expectation(run: Execute, expectation: Expectation) -> None:
    """Store one that is new."""
    run(_INSERT, astuple(expectation))


def update_expectation(run: Execute, expectation: Expectation) -> None:
    """Store what has become of one."""
    run(_UPDATE, (*astuple(expectation)[_CONSTANT:], expectation.operation))
