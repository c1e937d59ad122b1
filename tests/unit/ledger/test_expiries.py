"""What may expire is durable before it does, so that a kill at any moment gives up nothing that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstorm.ledger.ledger import AskedSnapshot, IntendedEffect, Ledger, OperationIntent
from snapstorm.model.expectations import Settled, State
from snapstorm.model.expiry import TakingSpan
from snapstorm.model.manifest import Manifest
from snapstorm.model.retention import US_PER_DAY, KeepPolicy, Retention

CLIENT = "client-1@snapstorm"
DAY_0 = 20_000 * US_PER_DAY
TREE = Manifest(())


@pytest.fixture
def ledger(scratch: Path) -> Iterator[Ledger]:
    opened = Ledger.open(scratch / "ledger.sqlite3")
    opened.begin_run(seed=1, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
    opened.expiries.set_retention(Retention(policy=KeepPolicy(latest=2), ends_at_latest=True))
    yield opened
    opened.close()


def begin(ledger: Ledger, operation: str, day: int, source: str = "/data") -> None:
    asked = AskedSnapshot(source, "{}", TREE)
    taking = TakingSpan(DAY_0 + day * US_PER_DAY, DAY_0 + day * US_PER_DAY + 1)
    ledger.begin_operation(
        OperationIntent(
            operation=operation,
            run=1,
            client=CLIENT,
            step=1,
            action="snapshot-root",
            options="{}",
            began_seconds=0.0,
            effect=IntendedEffect({}, creates=asked, taking=taking),
        )
    )


def end(ledger: Ledger, operation: str, day: int, outcome: str = "ok") -> None:
    taken_us = DAY_0 + day * US_PER_DAY
    ledger.end_operation(
        operation, outcome=outcome, reason="", seconds=0.1, snapshot=f"k-{operation}", taken_us=taken_us
    )


def take(ledger: Ledger, operation: str, day: int, source: str = "/data") -> None:
    begin(ledger, operation, day, source)
    end(ledger, operation, day)


def states(ledger: Ledger) -> dict[str, str]:
    return {found.operation: found.state.value for found in ledger.expectations()}


def test_what_is_not_kept_expires_with_the_acknowledgement(ledger: Ledger) -> None:
    for day, operation in enumerate("abc"):
        take(ledger, operation, day)
    assert states(ledger) == {"a": "deleted", "b": "live", "c": "live"}
    assert ledger.expiries.count() == 1
    assert ledger.count_live(CLIENT) == 2


def test_it_is_durable_before_the_creation_begins(ledger: Ledger, scratch: Path) -> None:
    """Also for those who only read, and with the operation that is the reason."""
    take(ledger, "a", 0)
    take(ledger, "b", 1)
    begin(ledger, "c", 2)
    reader = Ledger.open_to_read(scratch / "ledger.sqlite3")
    assert states(reader) == {"a": "deleting", "b": "live", "c": "creating"}
    recorded = reader.record.operation("c")
    assert recorded is not None
    assert recorded.resolved == {"may_expire": ["a"]}
    reader.close()


def test_a_killed_run_leaves_doubt_which_a_listing_settles(ledger: Ledger, scratch: Path) -> None:
    """In both directions; only what the policy may have dropped is in doubt."""
    take(ledger, "a", 0)
    take(ledger, "b", 1)
    begin(ledger, "c", 2)
    ledger.close()
    again = Ledger.open(scratch / "ledger.sqlite3")
    assert again.interrupt_open_operations() == ["c"]
    assert states(again) == {"a": "deletion-in-doubt", "b": "live", "c": "creation-in-doubt"}
    again.settle([Settled("a", State.LIVE, "k-a"), Settled("c", State.ABSENT)])
    assert states(again) == {"a": "live", "b": "live", "c": "absent"}
    assert not again.expectations_of_operations("a")[0].is_expiry
    take(again, "d", 3)
    assert states(again)["a"] == "deleted"
    again.close()


def test_one_that_is_adopted_is_dated_by_the_listing(ledger: Ledger) -> None:
    take(ledger, "a", 0)
    begin(ledger, "b", 1)
    end(ledger, "b", 1, "unknown")
    ledger.settle([Settled("b", State.LIVE, "k-b", 0, DAY_0 - US_PER_DAY)])
    take(ledger, "c", 2)
    assert states(ledger) == {"a": "live", "b": "deleted", "c": "live"}


def test_a_doubt_that_turns_out_gone_counts_as_expired(ledger: Ledger) -> None:
    for day, operation in enumerate("ab"):
        take(ledger, operation, day)
    begin(ledger, "c", 2)
    end(ledger, "c", 2, "unknown")
    ledger.settle([Settled("a", State.DELETED, "k-a"), Settled("c", State.LIVE, "k-c", 0, DAY_0 + 2 * US_PER_DAY)])
    assert ledger.expiries.count() == 1


def test_other_sources_are_left_alone(ledger: Ledger) -> None:
    for day in range(3):
        take(ledger, f"a{day}", day)
        take(ledger, f"b{day}", day, "/data/part")
    assert [name for name, state in states(ledger).items() if state == "deleted"] == ["a0", "b0"]


def test_trees_of_expired_snapshots_are_dropped(ledger: Ledger) -> None:
    """As those of deleted ones, unless another snapshot shares them."""
    for day in range(3):
        take(ledger, f"a{day}", day)
    assert ledger.record.has_manifest(TREE.digest)


def test_without_a_retention_nothing_expires(scratch: Path) -> None:
    opened = Ledger.open(scratch / "other.sqlite3")
    opened.begin_run(seed=1, began_utc="2026-01-01T00:00:00Z", scenario="{}", target="{}")
    for day in range(5):
        take(opened, f"a{day}", day)
    assert set(states(opened).values()) == {"live"}
    assert opened.expiries.count() == 0
    opened.close()


def test_the_retention_is_remembered(ledger: Ledger, scratch: Path) -> None:
    reader = Ledger.open_to_read(scratch / "ledger.sqlite3")
    assert reader.expiries.retention == ledger.expiries.retention
    reader.close()
