"""Which moments of a run are tried, and what is promised there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.exploration.repositories import make_history, promise

from snapstorm.exploration.plan import RunEvents, make_plan

WRITES = [(f"key {number}", b"x") for number in range(1, 41)]
ALL = RunEvents(0, None)


@pytest.mark.parametrize("every", [1, 3, 7, 100])
def test_each_so_many_th_write_is_a_point_and_so_is_the_last(tmp_path: Path, every: int) -> None:
    plan = make_plan(make_history(tmp_path, *WRITES), [promise("s", 0)], ALL, every)
    assert sorted(point.count for point in plan.points) == list(range(40, 0, -every))[::-1]


def test_points_are_spread_from_the_beginning_on(tmp_path: Path) -> None:
    """An exploration that is cut off has seen something of everything."""
    plan = make_plan(make_history(tmp_path, *WRITES), [promise("s", 0)], ALL, 1)
    first = sorted(point.count for point in plan.points[:10])
    assert max(later - one for one, later in zip([0, *first], first, strict=False)) <= 8
    assert len({point.count for point in plan.points}) == 40


def test_only_the_writes_of_the_run_are_points(tmp_path: Path) -> None:
    plan = make_plan(make_history(tmp_path, *WRITES), [promise("s", 0)], RunEvents(100, 200), 1)
    assert sorted(point.count for point in plan.points) == list(range(11, 21))


def test_without_a_promise_there_is_nothing_to_lose(tmp_path: Path) -> None:
    plan = make_plan(make_history(tmp_path, *WRITES), [promise("s", 95, 205)], ALL, 1)
    assert sorted(point.count for point in plan.points) == list(range(9, 21))
    assert plan.without_promise == 28


def test_a_point_promises_what_was_promised_at_any_time_until_the_next_write(tmp_path: Path) -> None:
    """The storage was the same all that time. What a crash leaves of writes under way is looked at the end of it."""
    spans = [promise("before", 0, 93), promise("between", 95, 97), promise("after", 98)]
    plan = make_plan(make_history(tmp_path, *WRITES), spans, ALL, 1)
    (point,) = [point for point in plan.points if point.count == 9]
    assert (point.event, point.until_event) == (90, 99)
    assert [one.snapshot for one in point.promised] == ["before", "between", "after"]
    assert [one.snapshot for one in point.promised_last] == ["after"]


def test_what_was_dropped_is_left_out_and_counted(tmp_path: Path) -> None:
    plan = make_plan(make_history(tmp_path, *WRITES, whole_from=100), [promise("s", 0)], ALL, 1)
    assert sorted(point.count for point in plan.points) == list(range(10, 41))
    assert plan.dropped == 9


def test_after_a_lie_nothing_is_promised(tmp_path: Path) -> None:
    """The storage has acknowledged what it has not kept: no target can make up for it."""
    plan = make_plan(make_history(tmp_path, *WRITES, lied_from=105), [promise("s", 0)], ALL, 1)
    assert sorted(point.count for point in plan.points) == list(range(1, 10))
    assert plan.after_lies == 31


@pytest.mark.parametrize(("misled_from", "counts"), [(None, []), (105, range(1, 10)), (1000, range(1, 41))])
def test_what_a_fault_may_have_spoiled_was_promised_before_any_had_struck(
    misled_from: int | None, counts: Sequence[int], tmp_path: Path
) -> None:
    """A collection under a fault taints all that is live, also what was taken long before."""
    span = promise("s", 0)
    tainted = span._replace(expectation=replace(span.expectation, tainted_by=1))
    plan = make_plan(make_history(tmp_path, *WRITES, misled_from=misled_from), [tainted], ALL, 1)
    assert sorted(point.count for point in plan.points) == list(counts)
