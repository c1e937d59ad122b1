"""The past of a bucket: each prefix of its writes, and what a crash could have left of those under way."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from snapstorm.gateway.bucket import Bucket
from snapstorm.gateway.contents import Content
from snapstorm.gateway.past import BucketPast
from snapstorm.gateway.write_log import Write


def write(key: str, arrived: int, applied: int, acknowledged: int | None, *, is_there: bool = True) -> Write:
    content = Content(b"%016d" % applied, 0, 1) if is_there else None
    return Write(arrived, applied, acknowledged, applied, "someone", key, content, 0)


def keys(bucket: Bucket) -> set[str]:
    return set(bucket.objects)


def crash_states(past: BucketPast, count: int) -> list[tuple[frozenset[str], frozenset[str]]]:
    """By the keys of writes that came early and that were lost, all that a hundred draws give."""
    found = (past.crash_state(count, random.Random(seed)) for seed in range(100))
    return [(frozenset(w.key for w in one.early), frozenset(w.key for w in one.lost)) for one in found if one]


@st.composite
def logs(draw: st.DrawFn) -> Sequence[Write]:
    """A log of requests that overlap."""
    requests = draw(st.integers(1, 6))
    steps = [number for number in range(requests) for _ in range(3)]
    order = draw(st.permutations(steps))
    events: dict[int, list[int]] = {number: [] for number in range(requests)}
    for event, number in enumerate(order, start=1):
        events[number].append(event)
    found = [
        write(draw(st.sampled_from("abc")), *events[number], is_there=draw(st.booleans())) for number in range(requests)
    ]
    return sorted(found, key=lambda one: one.applied)


@given(logs(), st.lists(st.integers(0, 6)))
def test_each_prefix_is_what_its_writes_make(log: Sequence[Write], counts: list[int]) -> None:
    """In whichever order they are asked for."""
    past = BucketPast(log, 100)
    for count in counts:
        assert past.bucket_after(count).objects == Bucket(log[:count]).objects


def test_a_state_lasts_until_right_before_the_next_write() -> None:
    past = BucketPast([write("a", 1, 2, 3), write("b", 4, 9, 10)], 40)
    assert [past.events_after(count) for count in (0, 1, 2)] == [(0, 1), (2, 8), (9, 40)]


def test_a_write_under_way_may_have_come_already() -> None:
    past = BucketPast([write("a", 1, 2, 3), write("b", 4, 9, 10)], 40)
    assert set(crash_states(past, 1)) == {(frozenset("b"), frozenset())}
    assert past.under_way(8) == [past.writes[1]]
    assert past.under_way(3) == []


def test_a_write_that_was_answered_is_never_lost() -> None:
    past = BucketPast([write("a", 1, 2, 3), write("b", 4, 5, 6)], 40)
    assert all(not lost for _, lost in crash_states(past, 1))
    assert crash_states(past, 2) == []


def test_a_write_that_was_not_answered_yet_may_be_lost() -> None:
    past = BucketPast([write("a", 1, 2, 3), write("b", 4, 6, 8), write("c", 5, 7, 9)], 7)
    assert {lost for _, lost in crash_states(past, 3)} == {frozenset("b"), frozenset("c"), frozenset("bc")}


def test_a_lost_overwrite_leaves_what_was_there() -> None:
    past = BucketPast([write("a", 1, 2, 3), write("a", 4, 5, 9)], 5)
    found = next(filter(None, (past.crash_state(2, random.Random(seed)) for seed in range(100))))
    assert found.bucket.objects["a"].at_ns == 2


def test_a_write_that_somebody_may_have_seen_is_kept() -> None:
    """`b` was applied before `c` arrived. Whoever asked for `c` may have seen `b`, and `c` was answered."""
    past = BucketPast([write("b", 1, 2, 20), write("c", 3, 4, 5)], 10)
    assert crash_states(past, 2) == []


def test_a_write_whose_answer_is_not_on_record_is_kept() -> None:
    """Its answer may have been lost with the gateway, after it was sent."""
    past = BucketPast([write("a", 1, 2, None)], 10)
    assert crash_states(past, 1) == []


@given(logs(), st.integers(0, 6), st.integers(0, 99))
def test_whatever_is_drawn_is_a_state_that_s3_allows(log: Sequence[Write], count: int, seed: int) -> None:
    """All answered writes are there, in order for each key; nothing is that had not arrived; and no write that is kept
    arrived after one was applied that is not."""
    count = min(count, len(log))
    past = BucketPast(log, 100)
    _, event = past.events_after(count)
    found = past.crash_state(count, random.Random(seed))
    if found is None:
        return
    kept = [one for one in log[:count] if one not in found.lost] + list(found.early)
    assert found.bucket.objects == Bucket(kept).objects
    answered = [one for one in log if one.acknowledged is not None and one.acknowledged <= event]
    assert all(one in kept for one in answered)
    assert all(one.arrived <= event for one in kept)
    assert not any(one.arrived > lost.applied for lost in found.lost for one in kept)
