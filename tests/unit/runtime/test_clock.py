"""Virtual time goes on as real time does, jumps when it is told to, and never stands still or goes back."""

from __future__ import annotations

import pytest
from tests.clock import SteppedClock

from snapstorm.runtime.clock import NS_PER_SECOND, Clock, VirtualClock, rfc3339_of, utc_of

START_NS = 1_640_995_200 * NS_PER_SECOND
"""2022-01-01T00:00:00Z"""


def test_the_target_of_a_run_in_real_time_lives_by_the_machines_clock() -> None:
    clock = Clock()
    assert clock.wall_ns() <= clock.virtual_ns("anybody") <= clock.wall_ns()


def test_virtual_time_is_its_beginning_and_what_has_passed_since() -> None:
    """Real time counts as it passes; a jump counts at once."""
    real = SteppedClock()
    clock = VirtualClock(real, START_NS)
    real.go_on_to(real.seconds + 1.5)
    assert clock.virtual_ns() == START_NS + 1_500_000_000
    clock.advance(86_400 * NS_PER_SECOND)
    real.go_on_to(real.seconds + 0.5)
    assert clock.virtual_ns() == START_NS + 86_402 * NS_PER_SECOND
    assert clock.virtual_utc() == "2022-01-02T00:00:02Z"


def test_virtual_time_never_stands_still() -> None:
    """Two looks at it, one right after the other, differ once real time has passed between them."""
    clock = VirtualClock(Clock(), START_NS)
    first = clock.virtual_ns()
    while (later := clock.virtual_ns()) == first:
        pass
    assert later > first


def test_each_actor_has_a_clock_of_its_own() -> None:
    """One may be ahead, another behind; those of others are right."""
    real = SteppedClock()
    clock = VirtualClock(real, START_NS, {"ahead": 5, "behind": -7})
    assert [clock.virtual_ns(actor) - START_NS for actor in ("ahead", "behind", "another", "")] == [5, -7, 0, 0]


def test_all_other_time_stays_real() -> None:
    """Time-outs and durations are not virtual."""
    real = SteppedClock()
    clock = VirtualClock(real, START_NS)
    before = clock.monotonic_seconds()
    clock.advance(NS_PER_SECOND * 1_000)
    assert clock.monotonic_seconds() == before
    assert abs(clock.wall_ns() - Clock().wall_ns()) < 60 * NS_PER_SECOND


@pytest.mark.parametrize("by_ns", [0, -1])
def test_time_does_not_go_back(by_ns: int) -> None:
    with pytest.raises(ValueError, match="only goes forward"):
        VirtualClock(SteppedClock(), START_NS).advance(by_ns)


def test_moments_are_written_as_programs_read_them() -> None:
    assert rfc3339_of(START_NS + 1) == "2022-01-01T00:00:00.000000001Z"
    assert utc_of(START_NS + 999_999_999) == "2022-01-01T00:00:00Z"
