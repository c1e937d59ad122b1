"""The ledger knows from which event of the storage to which a snapshot is promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.ledger.test_ledger import CLIENT, begin_creation, begin_deletion, end

from snapstorm.ledger.ledger import AskedSnapshot, IntendedEffect, Ledger, OperationIntent
from snapstorm.model.expectations import Settled, State
from snapstorm.model.manifest import Entry, EntryType, Manifest


class Storage:
    """Counts events."""

    event: int | None = 0


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def ledger(tmp_path: Path, storage: Storage) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3")
    opened.storage_event = lambda: storage.event
    opened.begin_run(seed=7, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
    yield opened
    opened.close()


def spans(ledger: Ledger) -> list[tuple[str, int, int | None]]:
    return [(span.expectation.operation, span.first_event, span.last_event) for span in ledger.promise_spans()]


def create(ledger: Ledger, storage: Storage, operation: str, began: int, ended: int) -> None:
    storage.event = began
    begin_creation(ledger, operation)
    storage.event = ended
    end(ledger, operation, "ok", f"snapshot of {operation}")


def test_a_promise_begins_with_the_answer_and_ends_with_the_question(ledger: Ledger, storage: Storage) -> None:
    create(ledger, storage, "r1-a-1", 5, 9)
    assert spans(ledger) == [("r1-a-1", 9, None)]
    storage.event = 12
    begin_deletion(ledger, "r1-a-2", "r1-a-1")
    storage.event = 15
    end(ledger, "r1-a-2", "ok")
    assert spans(ledger) == [("r1-a-1", 9, 12)]


def test_a_failed_deletion_begins_a_new_promise(ledger: Ledger, storage: Storage) -> None:
    create(ledger, storage, "r1-a-1", 5, 9)
    storage.event = 12
    begin_deletion(ledger, "r1-a-2", "r1-a-1")
    storage.event = 15
    end(ledger, "r1-a-2", "failed")
    assert spans(ledger) == [("r1-a-1", 9, 12), ("r1-a-1", 15, None)]


def test_a_doubt_is_no_promise_before_a_listing_settles_it(ledger: Ledger, storage: Storage) -> None:
    begin_creation(ledger, "r1-a-1")
    storage.event = 7
    end(ledger, "r1-a-1", "unknown")
    assert spans(ledger) == []
    storage.event = 11
    ledger.settle([Settled("r1-a-1", State.LIVE, "s1")])
    assert spans(ledger) == [("r1-a-1", 11, None)]


def test_a_killed_run_promises_no_more_than_it_was_told(ledger: Ledger, storage: Storage) -> None:
    """Its open deletion was asked for; its open creation never acknowledged."""
    create(ledger, storage, "r1-a-1", 5, 9)
    storage.event = 12
    begin_deletion(ledger, "r1-a-2", "r1-a-1")
    begin_creation(ledger, "r1-a-3")
    storage.event = 40
    ledger.interrupt_open_operations()
    assert spans(ledger) == [("r1-a-1", 9, 12)]


def test_a_deletion_that_is_known_afterwards_counts_from_when_its_operation_began(
    ledger: Ledger, storage: Storage
) -> None:
    """A creation that expires others has asked for that when it began."""
    create(ledger, storage, "r1-a-1", 5, 9)
    storage.event = 20
    tree = Manifest.of([Entry(b"", EntryType.DIRECTORY, 0o700, 0, 0, 2)])
    effect = IntendedEffect(creates=AskedSnapshot("/data", "{}", tree), deletes=("r1-a-1",))
    ledger.begin_operation(OperationIntent("r1-a-2", 1, CLIENT, 2, "snapshot-root", "{}", 0.0, effect))
    storage.event = 30
    end(ledger, "r1-a-2", "ok", "s2")
    assert spans(ledger) == [("r1-a-1", 9, 20), ("r1-a-2", 30, None)]


def test_without_a_history_nothing_is_recorded(ledger: Ledger, storage: Storage) -> None:
    storage.event = None
    begin_creation(ledger, "r1-a-1")
    end(ledger, "r1-a-1", "ok", "s1")
    assert spans(ledger) == []


def test_a_gap_ends_all_promises_with_the_last_event_that_is_known(ledger: Ledger, storage: Storage) -> None:
    """Runs that the ledger does not know may have deleted everything since."""
    create(ledger, storage, "r1-a-1", 5, 9)
    create(ledger, storage, "r1-a-2", 10, 14)
    storage.event = 99
    ledger.gaps.begin(2, ledger.next_tick(), may_have_deleted=True)
    assert spans(ledger) == [("r1-a-1", 9, 14), ("r1-a-2", 14, 14)]


def test_the_tree_of_a_deleted_snapshot_is_kept_as_long_as_the_storage_has_it(ledger: Ledger, storage: Storage) -> None:
    create(ledger, storage, "r1-a-1", 5, 9)
    digest = ledger.expectations()[0].manifest
    begin_deletion(ledger, "r1-a-2", "r1-a-1")
    end(ledger, "r1-a-2", "ok")
    assert ledger.record.has_manifest(digest)
    ledger.begin_run(seed=8, began_utc="2026-01-02T00:00:00Z", scenario="{}", target="{}")
    ledger.compact(1)
    assert not ledger.record.has_manifest(digest)


def test_the_events_of_a_run_end_where_the_next_one_begins(ledger: Ledger, storage: Storage) -> None:
    assert ledger.events_of_run(1) == (0, None)
    storage.event = 50
    ledger.begin_run(seed=8, began_utc="2026-01-02T00:00:00Z", scenario="{}", target="{}")
    assert ledger.events_of_run(1) == (0, 50)
    storage.event = None
    ledger.begin_run(seed=9, began_utc="2026-01-03T00:00:00Z", scenario="{}", target="{}")
    assert ledger.events_of_run(3) is None


def test_who_was_at_work_is_told(ledger: Ledger, storage: Storage) -> None:
    create(ledger, storage, "r1-a-1", 5, 9)
    assert [one.id for event in (4, 5, 9, 10) for one in ledger.operations_at_event(event)] == ["r1-a-1", "r1-a-1"]
