"""Known bugs of calendars and clocks: names of weeks and months, and snapshots that come from the future."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.gateway.app import serving
from snapstorm.gateway.storage import Clocks
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.retention import US_PER_SECOND, KeepPolicy, Period, Retention, kept_by
from snapstorm.runtime.clock import NS_PER_SECOND, Clock, VirtualClock
from snapstorm.targets.known_bug import KnownBug
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.command import COMMAND_CLOCK_SECONDS, Actor
from snapstorm.targets.kopia.discovery import find_testing_build
from snapstorm.targets.kopia.known_bugs.bench import MEASURED, Bench, words_of
from snapstorm.targets.kopia.known_bugs.shared_period_names import is_by_shared_names, left_after_each

_FIRST_WEEK = datetime(2025, 1, 5, 12, tzinfo=UTC)
_WEEKS = 52
_A_YEAR_OF_WEEKS = KeepPolicy(weekly=_WEEKS, monthly=12)
_A_USUAL_POLICY = KeepPolicy(latest=3, daily=30, weekly=8, monthly=12, annual=3)
_DAYS = 8
_DAYS_AHEAD = 700
_DAY_NS = 86_400 * NS_PER_SECOND
_AHEAD = "ahead"
"""The actor whose clock is ahead."""
_SHOWN = 3


async def _take_a_year_of_weeks(bench: Bench) -> str | None:
    days = [_FIRST_WEEK + timedelta(weeks=number) for number in range(_WEEKS)]
    left = await _days_left(bench, _A_YEAR_OF_WEEKS, days)
    taken = [(f"{day:%F}", round(day.timestamp()) * US_PER_SECOND) for day in days]
    if len(left) == len(kept_by(Retention(policy=_A_YEAR_OF_WEEKS, ends_at_latest=True), dict(taken))):
        return None
    lost = [day for day, _ in taken if day not in left]
    if left != left_after_each(_A_YEAR_OF_WEEKS, taken):
        raise HarnessError(f"shared names of weeks and months don't explain what retention let go: {', '.join(lost)}")
    return (
        f"{len(left)} of {_WEEKS} weekly snapshots are left under --keep-weekly={_WEEKS} --keep-monthly=12; gone are "
        f"those of {', '.join(lost)}: just the weeks whose ISO number is that of a month"
    )


async def _take_one_from_the_future(bench: Bench) -> str | None:
    today = datetime.fromisoformat(Clock().utc()).replace(microsecond=0)
    days = [today - timedelta(days=number) for number in reversed(range(_DAYS))]
    left = await _days_left(bench, _A_USUAL_POLICY, [*days, today + timedelta(days=_DAYS_AHEAD)])
    lost = [f"{day:%F}" for day in days if f"{day:%F}" not in left]
    if not lost:
        return None
    return (
        f"of {_DAYS} daily snapshots under --keep-daily=30 --keep-latest=3, {_DAYS - len(lost)} are left after one "
        f"that is dated {_DAYS_AHEAD} days ahead; gone are those of {', '.join(lost[:_SHOWN])} and so on"
    )


async def _days_left(bench: Bench, policy: KeepPolicy, days: Sequence[datetime]) -> list[str]:
    """Take a snapshot dated to each of these days, and return the days of those that are left, the oldest first.

    Kopia names days in the machine's time zone.
    """
    bench = bench.through("env", "TZ=UTC")
    actor = await bench.create_repository()
    counts = [f"--keep-{period}={policy.count(period)}" for period in Period]
    await bench.ask(actor, "policy", "set", "--global", *counts)
    tree = await bench.write_tree("source", count=1, size_bytes=100)
    for day in days:
        at = f"{day:%F %T} UTC"
        await bench.take_snapshot(actor, tree.directory, f"--start-time={at}", f"--end-time={at}")
    listed = await bench.ask(actor, "snapshot", "list", "--all", "--json", "--show-identical")
    return sorted(entry["startTime"][:10] for entry in json.loads(listed.stdout))


async def _delete_one_from_the_future(bench: Bench) -> str | None:
    """The clock of the build for virtual time can be set."""
    testing = replace(bench, program=find_testing_build(bench.program))
    real = Clock()
    clock = VirtualClock(real, real.wall_ns(), {_AHEAD: _DAYS_AHEAD * _DAY_NS})
    clocks = Clocks.following(clock)
    with serving(bench.directory / "clocks", clocks) as told:
        today = replace(testing, clock_url=told.clock_url("today", COMMAND_CLOCK_SECONDS))
        actor = await today.create_repository()
        ahead = replace(actor, clock_url=told.clock_url(_AHEAD, COMMAND_CLOCK_SECONDS))
        tree = await today.write_tree("source", count=1, size_bytes=100)
        doomed = await today.take_snapshot(ahead, tree.directory)
        deleted = await today.kopia.delete_snapshot(actor, doomed)
        if deleted.exit_code != 0:
            raise HarnessError(f"`snapshot delete` is refused: {words_of(deleted)}")
        if not await _is_listed(today, actor, doomed):
            return None
    return (
        f"snapshot {doomed}, taken by a client whose clock was {_DAYS_AHEAD} days ahead, is still listed after "
        "`snapshot delete` by one whose clock is right ended with status 0"
    )


async def _is_listed(bench: Bench, actor: Actor, snapshot: str) -> bool:
    listed = await bench.kopia.list_snapshots(actor)
    answers.check(listed, "snapshot list", OperationFailed)
    return snapshot in {entry.id for entry in snapshot_answers.read_listing(listed)}


BUGS = (
    KnownBug(
        key="weeks-expire",
        title="retention takes an ISO week for a month, and lets its snapshot go (also #5096, #2964)",
        provoked=f"{_WEEKS} snapshots a week apart, from {_FIRST_WEEK:%F} on, under --keep-weekly={_WEEKS} "
        "--keep-monthly=12.",
        guarantee=Guarantee.KEPT_AS_PROMISED,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_take_a_year_of_weeks,
        predicts=is_by_shared_names,
    ),
    KnownBug(
        key="future-expires",
        title="one snapshot from the future lets retention expire all but the latest",
        provoked=f"{_DAYS} daily snapshots, then one that is dated {_DAYS_AHEAD} days ahead.",
        guarantee=Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_take_one_from_the_future,
    ),
    KnownBug(
        key="3736",
        title="a snapshot from the future can't be deleted",
        provoked=f"A client whose clock is {_DAYS_AHEAD} days ahead takes a snapshot; one whose clock is right deletes "
        "it. On the build for virtual time, whose clock can be set.",
        guarantee=Guarantee.DELETED_STAYS_GONE,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_delete_one_from_the_future,
    ),
)
