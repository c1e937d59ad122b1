"""Each moment of a run belongs to one kind of work."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from snapstorm.runtime.meter import Meter, Work


class Time:
    now = 100.0

    def seconds(self) -> float:
        return self.now


def test_each_second_belongs_to_the_first_kind_that_is_busy() -> None:
    """What is done beside the target is not what the run waits for; all kinds add up to the whole."""
    time = Time()
    meter = Meter(time.seconds)
    time.now += 1  # Nothing is done.
    with meter.busy[Work.SCANNING]:
        time.now += 2
        with meter.busy[Work.TARGET], meter.busy[Work.TARGET]:
            time.now += 4
        time.now += 8
    with ExitStack() as stack:
        stack.enter_context(meter.busy[Work.LEDGER])
        time.now += 16
        with meter.busy[Work.WRITING]:
            stack.close()
            time.now += 32
    seconds = meter.seconds_by_work
    assert {work: value for work, value in seconds.items() if value} == {
        Work.WAITING: 1,
        Work.SCANNING: 10,
        Work.TARGET: 4,
        Work.LEDGER: 16,
        Work.WRITING: 32,
    }
    assert sum(seconds.values()) == time.now - 100


def test_work_that_fails_has_ended() -> None:
    """Whatever ends it."""
    time = Time()
    meter = Meter(time.seconds)
    with pytest.raises(ValueError, match="broken"), meter.busy[Work.WRITING]:
        raise ValueError("broken")
    time.now += 5
    assert meter.seconds_by_work[Work.WAITING] == 5
