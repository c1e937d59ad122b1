"""What was collected, and what must be left: by ticks, so that no clock matters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.ledger.ledger import AskedSnapshot, IntendedEffect, Ledger, OperationIntent
from snapstorm.model.manifest import Entry, EntryType, Manifest


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3")
    opened.begin_virtual_time(0)
    opened.begin_run(seed=1, began_utc="2026-11-29T12:00:00Z", scenario="{}", target="{}")
    yield opened
    opened.close()


def tree(number: int) -> Manifest:
    return Manifest((Entry(b"", EntryType.DIRECTORY, 0o700 + number, 0, 0, 0),))


def do(ledger: Ledger, operation: str, action: str, effect: IntendedEffect, outcome: str = "ok") -> int:
    """Ask for something. Returns when it had ended."""
    ledger.begin_operation(OperationIntent(operation, 1, "me", 1, action, "{}", 0.5, effect))
    ledger.end_operation(operation, outcome=outcome, reason="", seconds=0.1, snapshot=f"s-{operation}")
    return ledger.next_tick()


def create(ledger: Ledger, number: int, outcome: str = "ok") -> int:
    asked = AskedSnapshot("/data", "{}", tree(number))
    return do(ledger, f"c{number}", "snapshot-root", IntendedEffect(creates=asked), outcome)


def test_the_trees_of_all_that_was_there_are_known(ledger: Ledger) -> None:
    """Also of what was deleted since, and of what may have come in part; in virtual time the ledger keeps these."""
    for number in (1, 2, 3):
        create(ledger, number)
    before = do(ledger, "d1", "delete-snapshot", IntendedEffect(deletes=["c1"]))
    after = do(ledger, "d2", "delete-snapshot", IntendedEffect(deletes=["c2"]))
    last = create(ledger, 4, "failed")
    digests = {number: tree(number).digest for number in (1, 2, 3, 4)}
    assert set(ledger.trees_since(0) or ()) == set(digests.values())
    assert set(ledger.trees_since(before) or ()) == {digests[2], digests[3], digests[4]}
    assert set(ledger.trees_since(after) or ()) == {digests[3], digests[4]}
    assert ledger.trees_since(last) == [digests[3]]
    assert ledger.manifest(digests[1]) == tree(1)


def test_a_tree_that_is_gone_is_not_passed_over(ledger: Ledger) -> None:
    create(ledger, 1)
    do(ledger, "d1", "delete-snapshot", IntendedEffect(deletes=["c1"]))
    ledger._connection.execute("DELETE FROM manifests")
    assert ledger.trees_since(0) is None
    assert ledger.trees_since(ledger.next_tick()) == []


def test_collections_are_told_with_their_kind_and_outcome(ledger: Ledger) -> None:
    do(ledger, "g1", "run-gc", IntendedEffect({"kind": "quick"}))
    do(ledger, "g2", "run-gc", IntendedEffect({"kind": "full"}), "failed")
    rows = ledger.collections()
    assert [(row.kind, row.outcome, row.run, row.began_seconds) for row in rows] == [
        ("quick", "ok", 1, 0.5),
        ("full", "failed", 1, 0.5),
    ]
    assert rows[0].began_tick < rows[1].began_tick


def test_faults_that_found_nothing_to_break_are_left_out(ledger: Ledger) -> None:
    for key, outcome in (("a", "healed"), ("b", "nothing: nobody asked"), ("c", "it could not be done")):
        number = ledger.begin_fault(1, key, tick=ledger.next_tick(), began_seconds=0.0)
        ledger.end_fault(number, outcome, tick=ledger.next_tick(), ended_seconds=1.0)
    ledger.begin_fault(1, "d", tick=ledger.next_tick(), began_seconds=2.0)
    assert ledger.faults_ever() == {"a", "c", "d"}
