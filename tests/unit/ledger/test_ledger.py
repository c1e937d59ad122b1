"""The ledger keeps every intent and outcome, and refuses what is not its own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.errors import TestbedError
from snapstorm.ledger.ledger import AskedSnapshot, IntendedEffect, Ledger, OperationIntent
from snapstorm.ledger.migrations import SCHEMA_VERSION
from snapstorm.model.expectations import Settled, State
from snapstorm.model.guarantees import OVERSTAYED, Guarantee, Violation
from snapstorm.model.manifest import Entry, EntryType, Manifest

CLIENT = "client-1@snapstorm"
TREE = Manifest.of([Entry(b"", EntryType.DIRECTORY, 0o700, 0, 0, 1)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(path)
    opened.begin_run(seed=7, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
    yield opened
    opened.close()


def begin_creation(ledger: Ledger, operation: str) -> None:
    effect = IntendedEffect(creates=AskedSnapshot("/data", "{}", TREE))
    ledger.begin_operation(OperationIntent(operation, 1, CLIENT, 1, "snapshot-root", "{}", 0.0, effect))


def begin_deletion(ledger: Ledger, operation: str, *of: str) -> None:
    effect = IntendedEffect(deletes=of)
    ledger.begin_operation(OperationIntent(operation, 1, CLIENT, 2, "delete-snapshot", "{}", 0.0, effect))


def end(ledger: Ledger, operation: str, outcome: str, snapshot: str | None = None) -> None:
    ledger.end_operation(operation, outcome=outcome, reason="", seconds=0.1, snapshot=snapshot)


def state_of(ledger: Ledger, operation: str) -> State:
    return ledger.expectations_of_operations([operation])[0].state


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("ok", State.LIVE), ("failed", State.ABSENT), ("unknown", State.CREATION_IN_DOUBT)],
)
def test_what_becomes_of_a_creation(ledger: Ledger, outcome: str, state: State) -> None:
    """Only an acknowledged creation is live; only one that the target denies is absent."""
    begin_creation(ledger, "a")
    assert state_of(ledger, "a") is State.CREATING
    end(ledger, "a", outcome, "k1" if outcome == "ok" else None)
    assert state_of(ledger, "a") is state


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("ok", State.DELETED), ("failed", State.LIVE), ("unknown", State.DELETION_IN_DOUBT)],
)
def test_what_becomes_of_a_deletion(ledger: Ledger, outcome: str, state: State) -> None:
    """A deletion that failed leaves the snapshot expected; one that is unknown leaves it in doubt."""
    begin_creation(ledger, "a")
    end(ledger, "a", "ok", "k1")
    begin_deletion(ledger, "b", "a")
    assert state_of(ledger, "a") is State.DELETING
    end(ledger, "b", outcome)
    assert state_of(ledger, "a") is state


def test_a_reopened_ledger_goes_on_with_later_ticks(ledger: Ledger, path: Path) -> None:
    """Moments of a later run come after all moments of earlier ones."""
    begin_creation(ledger, "a")
    end(ledger, "a", "ok", "k1")
    last = ledger.next_tick()
    ledger.close()
    again = Ledger.open(path)
    assert again.next_tick() >= last
    assert again.expectations(CLIENT, {State.LIVE})[0].acknowledged_tick is not None
    again.close()


def test_open_operations_of_a_killed_run_become_doubts(ledger: Ledger, path: Path) -> None:
    """A creation and a deletion that were open when the process died are in doubt afterwards, none is lost."""
    begin_creation(ledger, "a")
    end(ledger, "a", "ok", "k1")
    begin_deletion(ledger, "b", "a")
    begin_creation(ledger, "c")
    ledger.close()
    again = Ledger.open(path)
    assert set(again.interrupt_open_operations()) == {"b", "c"}
    assert state_of(again, "a") is State.DELETION_IN_DOUBT
    assert state_of(again, "c") is State.CREATION_IN_DOUBT
    assert again.interrupt_open_operations() == []
    again.close()


def test_a_listing_settles_doubts_durably(ledger: Ledger) -> None:
    """A creation found in a listing is live under its id, and remembered as adopted."""
    begin_creation(ledger, "a")
    end(ledger, "a", "unknown")
    ledger.settle([Settled("a", State.LIVE, "k7")])
    found = ledger.expectation_of_snapshot("k7")
    assert found is not None
    assert (found.state, found.adopted, found.operation) == (State.LIVE, True, "a")


def test_a_deletion_that_did_not_happen_leaves_the_snapshot_as_it_was(ledger: Ledger) -> None:
    """A snapshot found again after a doubtful deletion is live, not adopted, and may be deleted again."""
    begin_creation(ledger, "a")
    end(ledger, "a", "ok", "k1")
    begin_deletion(ledger, "b", "a")
    end(ledger, "b", "unknown")
    ledger.settle([Settled("a", State.LIVE, "k1")])
    found = ledger.expectations_of_operations(["a"])[0]
    assert (found.state, found.adopted, found.deletion_began_tick) == (State.LIVE, False, None)
    begin_deletion(ledger, "c", "a")
    end(ledger, "c", "ok")
    assert state_of(ledger, "a") is State.DELETED


def test_manifests_are_stored_once(ledger: Ledger, path: Path) -> None:
    """Two snapshots of the same tree share one stored manifest, which comes back equal."""
    begin_creation(ledger, "a")
    begin_creation(ledger, "b")
    assert ledger.manifest(TREE.digest) == TREE
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM manifests").fetchone() == (1,)
    connection.close()


def test_what_has_stayed_too_long_is_not_lost(ledger: Ledger) -> None:
    """So it is still looked for where it was promised."""
    begin_creation(ledger, "a")
    left = Violation(Guarantee.KEPT_AS_PROMISED, "left", CLIENT, "k1")
    assert ledger.accept(ledger.add_violation(1, left, "a", OVERSTAYED), "known")
    assert ledger.accepted_losses() == frozenset()


def test_an_accepted_violation_is_known_for_the_same_snapshot_only(ledger: Ledger) -> None:
    """Accepting one loss does not hide another one, nor another guarantee about the same snapshot."""
    begin_creation(ledger, "a")
    lost = Violation(Guarantee.ACKNOWLEDGED_STAYS_LISTED, "lost", CLIENT, "k1")
    number = ledger.add_violation(1, lost, "a", "gone")
    assert not ledger.is_accepted(lost.guarantee, "a", "k1", "gone")
    assert ledger.accepted_losses() == frozenset()
    assert ledger.accept(number, "disk was replaced")
    assert ledger.accepted_losses() == {"a"}
    assert ledger.is_accepted(lost.guarantee, "a", "k1", "gone")
    assert not ledger.is_accepted(lost.guarantee, "a", "k1", "another file of it")
    assert not ledger.is_accepted(lost.guarantee, "b", "k2", "gone")
    assert not ledger.is_accepted(Guarantee.RESTORED_EXACTLY, "a", "k1", "gone")
    assert not ledger.accept(number + 1, "no such number")


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 100, b"\0" * 4096])
def test_a_file_that_is_no_database_is_refused_unchanged(path: Path, content: bytes) -> None:
    """A foreign file in the ledger's place gives one clear line, and keeps every byte."""
    path.write_bytes(content)
    with pytest.raises(TestbedError, match="damaged|no ledger"):
        Ledger.open(path)
    assert path.read_bytes() == content


def test_a_foreign_database_is_refused_unchanged(path: Path) -> None:
    """Another program's SQLite file is not migrated."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(TestbedError, match="no ledger of snapstorm"):
        Ledger.open(path)
    assert path.read_bytes() == before


def test_a_newer_ledger_is_refused_unchanged(ledger: Ledger, path: Path) -> None:
    """A ledger that a newer version wrote says so, and is not touched."""
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(TestbedError, match="newer snapstorm"):
        Ledger.open(path)


def test_what_was_committed_survives_kill_9(path: Path) -> None:
    """A process that is killed right after `begin_operation` returned leaves the intent in the ledger."""
    program = f"""
        import os, signal
        from pathlib import Path
        from snapstorm.ledger.ledger import AskedSnapshot, IntendedEffect, OperationIntent, Ledger
        from snapstorm.model.manifest import Entry, EntryType, Manifest
        ledger = Ledger.open(Path({str(path)!r}))
        ledger.begin_run(seed=1, began_utc="", scenario="{{}}", target="{{}}")
        tree = Manifest.of([Entry(b"", EntryType.DIRECTORY, 0o700, 0, 0, 1)])
        effect = IntendedEffect(creates=AskedSnapshot("/data", "{{}}", tree))
        ledger.begin_operation(OperationIntent("a", 1, "c", 1, "snapshot-root", "{{}}", 0.0, effect))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, timeout=30, check=False)
    assert killed.returncode == -9
    ledger = Ledger.open(path)
    assert ledger.interrupt_open_operations() == ["a"]
    assert state_of(ledger, "a") is State.CREATION_IN_DOUBT
    ledger.close()


def test_every_client_that_ever_had_a_snapshot_is_looked_at(ledger: Ledger) -> None:
    """Also of a deleted snapshot something is promised: that it stays gone."""
    begin_creation(ledger, "a")
    end(ledger, "a", "ok", "k1")
    begin_deletion(ledger, "b", "a")
    end(ledger, "b", "ok")
    assert ledger.clients_with_expectations() == [CLIENT]


def test_an_id_that_was_given_twice_is_noticed(ledger: Ledger) -> None:
    """The id of another operation's snapshot is not a new one's."""
    begin_creation(ledger, "a")
    end(ledger, "a", "ok", "k1")
    assert not ledger.is_id_of_another("k1", "a")
    assert ledger.is_id_of_another("k1", "b")


def test_a_damaged_manifest_is_never_judged_by(ledger: Ledger, path: Path) -> None:
    """What is stored under a digest must have that digest."""
    begin_creation(ledger, "a")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE manifests SET encoded = x'789c030000000001'")
    connection.close()
    with contextlib.closing(Ledger.open(path)) as reopened, pytest.raises(TestbedError, match="damaged"):
        reopened.manifest(TREE.digest)


def test_a_fact_may_be_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    """It is read back as the same path."""
    path = os.fsdecode(b"/r\xff\xc3\x95")
    with contextlib.closing(Ledger.open(tmp_path / "ledger.sqlite3")) as ledger:
        ledger.set_fact("repository", path)
        ledger.set_fact("words", "Õ")
        assert (ledger.fact("repository"), ledger.fact("words")) == (path, "Õ")
