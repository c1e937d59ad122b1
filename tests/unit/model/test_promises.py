"""What a storage must hold at which event."""

from __future__ import annotations

from msgspec.structs import replace

from snapstorm.model.expectations import Expectation, State
from snapstorm.model.promises import PromiseSpan, promised

LIVE = Expectation("r1-a-1", "a@s", "/data", "digest", "{}", State.LIVE, 1, snapshot="s1")


def operations(*spans: PromiseSpan, event: int, until: int | None = None) -> list[str]:
    return [one.operation for one in promised(spans, event, until)]


def test_a_snapshot_is_promised_from_its_acknowledgement_until_its_deletion_is_asked_for() -> None:
    span = PromiseSpan(LIVE, 10, 20)
    assert [event for event in range(30) if operations(span, event=event)] == list(range(10, 21))


def test_without_a_deletion_it_is_promised_for_good() -> None:
    assert operations(PromiseSpan(LIVE, 10, None), event=10**9) == [LIVE.operation]


def test_a_deletion_that_did_nothing_leaves_a_gap() -> None:
    """While it was asked for, nobody could say whether the snapshot was there."""
    spans = PromiseSpan(LIVE, 10, 20), PromiseSpan(LIVE, 25, None)
    assert [event for event in range(30) if not operations(*spans, event=event)] == [*range(10), *range(21, 25)]


def test_over_a_stretch_without_writes_each_promise_counts_once() -> None:
    """What was promised at any event in it: the storage was the same all the time."""
    other = replace(LIVE, operation="r1-b-1")
    spans = PromiseSpan(LIVE, 10, 12), PromiseSpan(LIVE, 14, None), PromiseSpan(other, 15, None)
    assert operations(*spans, event=11, until=15) == [LIVE.operation, other.operation]
    assert operations(*spans, event=13, until=13) == []


def test_what_a_fault_may_have_spoiled_is_not_promised() -> None:
    spoiled, unclear = replace(LIVE, tainted_by=3), replace(LIVE, is_promise_in_doubt=True)
    assert operations(PromiseSpan(spoiled, 1, None), PromiseSpan(unclear, 1, None), event=5) == []
