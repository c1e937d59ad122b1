"""Silence of the other side is told from time in which this process stood still."""

from __future__ import annotations

from tests.clock import SteppedClock

from snapstorm.machines.liveness import Liveness


def passing(clock: SteppedClock, liveness: Liveness, seconds: float) -> bool:
    """Let time pass, asking as often as is agreed. Returns whether the other side counted as lost."""
    end = clock.seconds + seconds
    was_lost = False
    while clock.seconds < end:
        clock.seconds += liveness.interval_seconds
        was_lost |= liveness.is_lost()
    return was_lost


def test_silence_for_longer_than_agreed_is_a_loss() -> None:
    """And not sooner; each sign of life counts anew."""
    clock = SteppedClock()
    liveness = Liveness(15.0, clock)
    assert not passing(clock, liveness, 14)
    liveness.hear()
    assert not passing(clock, liveness, 14)
    assert passing(clock, liveness, 4)


def test_time_in_which_this_process_was_stopped_is_no_silence() -> None:
    """Everybody would be lost after a coordinator was suspended. Silence from then on counts."""
    clock = SteppedClock()
    liveness = Liveness(15.0, clock)
    clock.seconds += 1000
    assert not liveness.is_lost()
    assert not passing(clock, liveness, 10)
    assert passing(clock, liveness, 10)


def test_enough_signs_fit_into_the_time() -> None:
    """One that is late does not matter, however short the time is."""
    for seconds in (0.5, 3.0, 15.0, 60.0):
        assert 0 < Liveness(seconds, SteppedClock()).interval_seconds <= seconds / 5
