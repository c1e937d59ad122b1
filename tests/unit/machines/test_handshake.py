"""What differs between a machine and the coordinator is told line by line, and its clock is read well."""

from __future__ import annotations

import msgspec
import pytest
from tests.clock import SteppedClock

from snapstorm.machines.handshake import differences, measure_clock, own_hello
from snapstorm.machines.wire import PROTOCOL

pytestmark = pytest.mark.anyio


def test_equal_machines_have_no_differences() -> None:
    """Whatever else a machine says of itself."""
    assert not differences(own_hello("b", "1", {"kopia": "x", "uid": "0"}), own_hello("", "", {"kopia": "x"}))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"protocol": 99}, f"the protocol of machines is 99 there and {PROTOCOL} at the coordinator"),
        ({"snapstorm": "9.9"}, "snapstorm is 9.9 there and "),
        ({"python": "3.99"}, "Python is 3.99 there and 3."),
        ({"distributed": "1.0"}, "distributed is 1.0 there and "),
        ({"facts": {}}, "kopia is nothing there and x at the coordinator"),
        ({"facts": {"kopia": "y"}}, "kopia is y there and x at the coordinator"),
    ],
)
def test_each_difference_is_one_line(change: dict[str, object], line: str) -> None:
    """With both values."""
    theirs = msgspec.structs.replace(own_hello("b", "1", {"kopia": "x"}), **change)
    (found,) = differences(theirs, own_hello("", "", {"kopia": "x"}))
    assert found.startswith(line)


class MachineClock(SteppedClock):
    """Wall time that goes on with the seconds."""

    def wall_ns(self) -> int:
        return round(self.seconds * 1e9)


async def test_the_quickest_reading_counts_and_says_how_uncertain_it_is() -> None:
    """The true offset lies within the half of the round trip."""
    clock = MachineClock()
    ways = iter([(0.5, 0.1), (0.010, 0.002), (0.3, 0.3), (0.2, 0.9), (1.0, 0.0)])

    async def read() -> int:
        there, back = next(ways)
        clock.seconds += there
        theirs = clock.wall_ns() + 7_000_000_000
        clock.seconds += back
        return theirs

    reading = await measure_clock(read, clock)
    assert reading.uncertain_ns == pytest.approx(6_000_000, abs=2)
    assert abs(reading.ahead_ns - 7_000_000_000) <= reading.uncertain_ns
