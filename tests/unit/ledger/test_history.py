"""What the ledger knows of the past: who is to be proven next, what has been proven, and what need not be kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapstorm.errors import TestbedError
from snapstorm.ledger.findings import Verification
from snapstorm.ledger.history import AgeBucket
from snapstorm.ledger.ledger import AskedSnapshot, CommandRow, IntendedEffect, Ledger, OperationIntent
from snapstorm.ledger.migrations import MIGRATIONS, SCHEMA_VERSION
from snapstorm.model.expectations import Settled, State
from snapstorm.model.guarantees import Guarantee, Violation
from snapstorm.model.manifest import Entry, EntryType, Manifest

CLIENT = "client-1@snapstorm"
OLD = "2026-01-01T00:00:00Z"
LATER = "2026-02-10T00:00:00Z"


def tree(mtime_ns: int) -> Manifest:
    return Manifest.of([Entry(b"", EntryType.DIRECTORY, 0o700, 0, 0, mtime_ns)])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def begin_run(ledger: Ledger, version: str, began_utc: str) -> int:
    target = json.dumps({"name": "kopia", "versions": [version]})
    return ledger.begin_run(seed=7, began_utc=began_utc, scenario="{}", target=target)


def do(
    ledger: Ledger,
    run: int,
    operation: str,
    action: str,
    outcome: str = "ok",
    options: str = "{}",
    **what: Any,
) -> None:
    """One operation, from its intent to its outcome."""
    effect = IntendedEffect(**what)  # creates, deletes or resolved
    ledger.begin_operation(OperationIntent(operation, run, CLIENT, 1, action, options, 0.0, effect))
    snapshot = f"k-{operation}" if "creates" in what and outcome == "ok" else None
    ledger.end_operation(operation, outcome=outcome, reason="", seconds=0.0, snapshot=snapshot)


def take(ledger: Ledger, run: int, operation: str, manifest: Manifest | None = None) -> None:
    do(ledger, run, operation, "snapshot-root", creates=AskedSnapshot("/data", "{}", manifest or tree(1)))


def delete(ledger: Ledger, run: int, operation: str, *of: str, outcome: str = "ok") -> None:
    do(ledger, run, operation, "delete-snapshot", outcome, deletes=of)


def verify(ledger: Ledger, run: int, of: str, at_utc: str, *, version: str = "new", is_equal: bool = True) -> None:
    operation = f"restore-{run}-{of}"
    do(ledger, run, operation, "restore-snapshot")
    versions = f"kopia {version}"
    ledger.add_verification(
        Verification(
            of,
            run,
            operation,
            True,
            is_equal,
            False,
            bytes=1,
            at_utc=at_utc,
            target_versions=versions,
            through="client",
        )
    )


def debts(ledger: Ledger, now_utc: str) -> dict[str, float]:
    return {live.operation: live.unproven.debt for live in ledger.history.live_snapshots(now_utc)}


def order(ledger: Ledger, now_utc: str) -> list[str]:
    return [operation for _, operation in ledger.history.sweep_order(now_utc)]


def test_what_was_never_verified_comes_first(ledger: Ledger) -> None:
    """Of two snapshots of one day, the one without an exact restore; a restore that differed proves nothing."""
    run = begin_run(ledger, "new", OLD)
    for operation in ("a", "b", "c"):
        take(ledger, run, operation)
    verify(ledger, run, "a", OLD)
    verify(ledger, run, "c", OLD, is_equal=False)
    assert order(ledger, OLD)[-1] == "a"
    assert debts(ledger, OLD)["b"] == debts(ledger, OLD)["c"] == 10


def test_debt_grows_with_collections_versions_and_days(ledger: Ledger) -> None:
    """Each of them since the last proof counts; those before it do not."""
    run = begin_run(ledger, "old", OLD)
    for operation in ("a", "b"):
        take(ledger, run, operation)
    do(ledger, run, "gc-1", "run-gc")
    for operation in ("a", "b"):
        verify(ledger, run, operation, OLD, version="old")
    assert set(debts(ledger, OLD).values()) == {0}
    do(ledger, run, "gc-2", "run-gc")
    do(ledger, run, "gc-3", "run-gc", outcome="failed")
    assert set(debts(ledger, OLD).values()) == {2}
    run = begin_run(ledger, "new", LATER)
    days = 40
    assert debts(ledger, LATER)["a"] == pytest.approx(2 + 5 + days + 0.1 * days)
    verify(ledger, run, "a", LATER)
    assert debts(ledger, LATER)["a"] == pytest.approx(0.1 * days)
    assert order(ledger, LATER) == ["b", "a"]


@pytest.mark.parametrize(
    ("options", "resolved", "counts"),
    [
        ("{}", {}, True),
        ('{"safety": "full"}', {}, True),
        ('{"kind": "quick"}', {}, False),
        ('{"kind": "full"}', {"kind": "full"}, True),
        ('{"kind": "random"}', {"kind": "quick"}, False),
        ('{"kind": "random"}', {"kind": "full"}, True),
    ],
)
def test_only_full_collections_count(ledger: Ledger, options: str, resolved: dict[str, str], *, counts: bool) -> None:
    """A quick one looks for no garbage, so it can lose nothing; older ledgers do not say which kind it was."""
    run = begin_run(ledger, "new", OLD)
    take(ledger, run, "a")
    verify(ledger, run, "a", OLD)
    do(ledger, run, "gc", "run-gc", options=options, resolved=resolved)
    assert debts(ledger, OLD)["a"] == (2 if counts else 0)


def test_survival_says_what_was_proven_by_age_and_by_version(ledger: Ledger) -> None:
    """Each snapshot counts once, by its last exact restore, also when it is deleted since."""
    run = begin_run(ledger, "old", OLD)
    for operation in ("a", "b", "c"):
        take(ledger, run, operation)
        verify(ledger, run, operation, OLD, version="old")
    run = begin_run(ledger, "new", LATER)
    verify(ledger, run, "a", LATER)
    verify(ledger, run, "b", LATER, is_equal=False)
    delete(ledger, run, "d", "a")
    tables = ledger.history.survival()
    assert {age: found.snapshots for age, found in tables.by_age.items()} == {AgeBucket.DAY: 2, AgeBucket.QUARTER: 1}
    assert {pair: found.snapshots for pair, found in tables.by_versions.items()} == {
        ("kopia old", "kopia old"): 2,
        ("kopia old", "kopia new"): 1,
    }
    assert (tables.total.snapshots, tables.total.last_utc) == (3, LATER)
    assert tables.total.days_max == pytest.approx(40)
    assert tables.versions == ["kopia new", "kopia old"]


@pytest.mark.parametrize(
    ("days", "bucket"), [(0, AgeBucket.DAY), (1, AgeBucket.DAY), (1.1, AgeBucket.WEEK), (366, AgeBucket.OLDER)]
)
def test_ages_fall_into_buckets(days: float, bucket: AgeBucket) -> None:
    """A bucket's limit belongs to it."""
    assert AgeBucket.of(days) is bucket


def test_a_manifest_goes_with_the_last_snapshot_that_has_it(ledger: Ledger) -> None:
    """A manifest that two snapshots share is stored once, and kept until both are deleted."""
    run = begin_run(ledger, "new", OLD)
    shared, own = tree(1), tree(2)
    for operation, manifest in (("a", shared), ("b", shared), ("c", own)):
        take(ledger, run, operation, manifest)
    delete(ledger, run, "d1", "a", "c")
    assert ledger.manifest(shared.digest) == shared
    with pytest.raises(TestbedError):
        ledger.manifest(own.digest)
    delete(ledger, run, "d2", "b", outcome="unknown")
    assert ledger.manifest(shared.digest) == shared
    ledger.settle([Settled("b", State.DELETED)])
    with pytest.raises(TestbedError):
        ledger.manifest(shared.digest)


def test_an_older_ledger_is_brought_up_to_date(tmp_path: Path) -> None:
    """A ledger of the first schema keeps all it holds; the manifests of deleted snapshots go."""
    path = tmp_path / "old.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(MIGRATIONS[0])
    connection.executescript(
        """
        PRAGMA application_id = 0x534E4150; PRAGMA user_version = 1;
        INSERT INTO runs VALUES (1, 7, '2026-01-01T00:00:00Z', NULL, NULL, '{}', '{"name": "kopia"}', NULL);
        INSERT INTO manifests VALUES ('m1', x'00'), ('m2', x'00');
        INSERT INTO operations (id, run, client, step, action, options, began_tick, began_seconds)
            VALUES ('a', 1, 'c', 1, 'snapshot-root', '{}', 1, 0.0), ('b', 1, 'c', 2, 'snapshot-root', '{}', 2, 0.0);
        INSERT INTO expectations (operation, client, source, manifest, capabilities, state, began_tick, snapshot)
            VALUES ('a', 'c', '/d', 'm1', '{}', 'live', 1, 'k1'), ('b', 'c', '/d', 'm2', '{}', 'deleted', 2, 'k2');
        INSERT INTO verifications VALUES (1, 'a', 1, NULL, 1, 1, 0, 5, '2026-01-02T00:00:00Z', 'kopia');
        """
    )
    connection.close()
    opened = Ledger.open(path)
    (live,) = opened.history.live_snapshots("2026-01-02T00:00:00Z")
    assert (live.snapshot, live.verification, live.verified_through) == ("k1", 1, "")
    assert opened.count_states()[State.DELETED] == 1
    opened.close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT digest FROM manifests").fetchall() == [("m1",)]
        assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


def test_compacting_drops_steps_of_old_runs_and_nothing_that_was_promised(ledger: Ledger) -> None:
    """Expectations, proofs that count, collections and a run with a violation stay; the last runs stay whole."""
    for number in range(1, 5):
        run = begin_run(ledger, "new", OLD)
        take(ledger, run, f"s{number}")
        do(ledger, run, f"write-{number}", "write-random-files")
        do(ledger, run, f"gc-{number}", "run-gc")
        verify(ledger, run, "s1", OLD)
        ledger.add_commands([CommandRow(run, f"write-{number}", "[]", 0.0, 1.0, 0, False)])
    delete(ledger, 1, "d", "s2")
    ledger.add_violation(2, Violation(Guarantee.AVAILABLE, "failed"), None, "")
    before = (debts(ledger, LATER), order(ledger, LATER), ledger.count_states(), ledger.history.survival())
    dropped = ledger.compact(keep_runs=1)
    assert (dropped.commands, dropped.verifications) == (2, 2)
    assert dropped.operations == 4  # The writes of runs 1 and 3, and the restores whose proofs were superseded.
    assert before == (debts(ledger, LATER), order(ledger, LATER), ledger.count_states(), ledger.history.survival())
    assert [action.id for action in ledger.record.last_operations(2, 10, CLIENT)] == [
        "s2",
        "write-2",
        "gc-2",
        "restore-2-s1",
    ]
    assert [action.id for action in ledger.record.last_operations(3, 10, CLIENT)] == ["s3", "gc-3"]
    assert ledger.compact(keep_runs=1).operations == 0


def test_ticks_go_on_after_compacting(tmp_path: Path) -> None:
    """A ledger that was compacted and opened again gives out no tick twice."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path)
    for _ in range(3):
        run = begin_run(ledger, "new", OLD)
        do(ledger, run, f"write-{run}", "write-random-files")
    begin_run(ledger, "new", OLD)
    tick = ledger.next_tick()
    ledger.compact(keep_runs=1)
    ledger.close()
    again = Ledger.open(path)
    assert again.next_tick() >= tick
    again.close()
