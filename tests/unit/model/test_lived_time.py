"""From moments of a run to virtual ones, over jumps."""

from __future__ import annotations

import pytest

from snapstorm.model.lived_time import ClockJump, LivedTime

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


@pytest.mark.parametrize(
    ("seconds", "days", "rest_seconds"), [(0.0, 0, 0), (1.5, 0, 1.5), (2.0, 1, 2), (3.0, 1, 3), (4.0, 31, 4)]
)
def test_a_jump_counts_from_its_moment_on(seconds: float, days: int, rest_seconds: float) -> None:
    lived = LivedTime(5, (ClockJump(2.0, DAY_NS), ClockJump(4.0, 30 * DAY_NS)))
    assert lived.at_ns(seconds) == 5 + days * DAY_NS + round(rest_seconds * SECOND_NS)


def test_the_days_lived_are_those_that_passed() -> None:
    lived = LivedTime(5, (ClockJump(1.0, 2 * DAY_NS),))
    assert lived.lived_days(43_200.0) == 2.5
    assert LivedTime(5).lived_days(0.0) == 0.0


def test_clocks_are_ahead_behind_or_right() -> None:
    lived = LivedTime(5, (), {"a": 5_000, "b": -7_000})
    assert [lived.ahead_us(client) for client in "abc"] == [5, -7, 0]
