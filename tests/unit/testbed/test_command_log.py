"""Commands are evidence until their operation is judged, and recorded for replay; those before the run are dropped."""

from __future__ import annotations

import pytest
from tests.clock import SteppedClock
from tests.unit.one_run import new_context

from snapstorm.runtime.process import CompletedCommand, on_behalf_of
from snapstorm.testbed.command_log import BUFFERED_MAX, WATCHED_SECONDS, CommandLog
from snapstorm.testbed.context import RunContext

pytestmark = pytest.mark.anyio


def ended(run: RunContext, *left_files: str) -> CompletedCommand:
    """A command that has just ended."""
    return CompletedCommand(
        argv=("true",),
        env={},
        exit_code=0,
        stdout=b"",
        stderr=b"",
        began_seconds=run.began_seconds,
        seconds=0.5,
        left_files=left_files,
    )


def recorded(run: RunContext) -> int:
    (count,) = run.ledger._connection.execute("SELECT count(*) FROM commands").fetchone()
    return int(count)


def test_those_before_the_run_are_dropped() -> None:
    """They belong to no run that could be replayed."""
    run, log = new_context(), CommandLog()
    with log.around_command():
        log(ended(run))
    log.begin(run, is_watched=False)
    log.write()
    assert recorded(run) == 0


def test_they_are_written_together() -> None:
    """A commit for each would cost more than it is worth."""
    run, log = new_context(), CommandLog()
    log.begin(run, is_watched=False)
    for _ in range(BUFFERED_MAX - 1):
        log(ended(run))
    assert recorded(run) == 0
    log(ended(run))
    assert recorded(run) == BUFFERED_MAX


async def test_while_somebody_watches_they_are_written_soon() -> None:
    """What the page shows comes from the ledger."""
    clock = SteppedClock()
    run, log = new_context(clock=clock), CommandLog()
    log.begin(run, is_watched=True)
    log(ended(run))
    assert recorded(run) == 0
    await clock.sleep(2 * WATCHED_SECONDS)
    log(ended(run))
    assert recorded(run) == 2


def test_each_is_kept_for_its_operation() -> None:
    """And what it has left behind, until that is judged."""
    run, log = new_context(), CommandLog()
    log.begin(run, is_watched=False)
    token = on_behalf_of.set("r1-c-1")
    log(ended(run, "kt-1"))
    on_behalf_of.reset(token)
    log(ended(run))
    assert [command.left_files for command in log.by_operation["r1-c-1"]] == [("kt-1",)]
    assert len(log.leaving) == 1
