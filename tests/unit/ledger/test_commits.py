"""Changes that become durable together."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from snapstorm.errors import TestbedError
from snapstorm.ledger.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger.open(path)) as opened:
        yield opened


def on_disk(path: Path, name: str) -> bool:
    """Whether somebody else sees a fact."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return other.execute("SELECT 1 FROM facts WHERE name = ?", (name,)).fetchone() is not None


def set_later(ledger: Ledger, name: str) -> None:
    with ledger.committing_later():
        ledger.set_fact(name, "x")


def test_what_many_change_at_once_is_one_commit(ledger: Ledger, path: Path) -> None:
    """Each returns when its own change is durable, not before."""
    statements: list[str] = []
    ledger._connection.set_trace_callback(statements.append)

    async def change(name: str) -> None:
        set_later(ledger, name)
        assert not on_disk(path, name)
        await ledger.committed()
        assert on_disk(path, name)

    async def change_all() -> None:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(change, f"fact-{number}")

    anyio.run(change_all)
    assert statements.count("COMMIT") == 1


def test_a_change_that_is_durable_at_once_takes_the_waiting_ones_along(ledger: Ledger, path: Path) -> None:
    """And whoever waits is not told of any harm."""
    set_later(ledger, "waiting")
    ledger.set_fact("at-once", "x")
    assert on_disk(path, "waiting")
    assert on_disk(path, "at-once")
    anyio.run(ledger.committed)


def test_who_is_cancelled_leaves_nothing_uncommitted(ledger: Ledger, path: Path) -> None:
    """A run that is interrupted has its last outcomes on the disk."""

    async def change_and_be_cancelled() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            set_later(ledger, "last")
            await ledger.committed()
        assert scope.cancelled_caught

    anyio.run(change_and_be_cancelled)
    assert on_disk(path, "last")


def test_all_who_wait_are_told_when_their_changes_are_undone(ledger: Ledger, path: Path) -> None:
    """One change that fails undoes those of others that were to be committed with it."""
    told: list[str] = []

    async def change(name: str) -> None:
        set_later(ledger, name)
        try:
            await ledger.committed()
        except TestbedError:
            told.append(name)

    async def fail() -> None:
        with pytest.raises(TestbedError), ledger.committing_later():
            ledger.set_fact(object(), "bad")  # type: ignore[arg-type] # SQLite can't hold that.

    async def change_all() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(change, "a")
            group.start_soon(change, "b")
            group.start_soon(fail)

    anyio.run(change_all)
    assert sorted(told) == ["a", "b"]
    assert not on_disk(path, "a")
    ledger.set_fact("later", "x")
    assert on_disk(path, "later")
