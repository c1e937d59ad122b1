"""Known bugs of calendars and clocks: names of weeks and months, and snapshots that come from the future."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
from anyio.abc import SocketAttribute, SocketStream

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.retention import US_PER_SECOND, KeepPolicy, Period, Retention, kept_by
from snapstorm.runtime.clock import Clock
from snapstorm.targets.known_bug import KnownBug
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.command import Actor
from snapstorm.targets.kopia.discovery import find_kopia, find_testing_build
from snapstorm.targets.kopia.known_bugs.bench import MEASURED, Bench, words_of
from snapstorm.targets.kopia.known_bugs.shared_period_names import is_by_shared_names, left_after_each

_FIRST_WEEK = datetime(2025, 1, 5, 12, tzinfo=UTC)
_WEEKS = 52
_A_YEAR_OF_WEEKS = KeepPolicy(weekly=_WEEKS, monthly=12)
_A_USUAL_POLICY = KeepPolicy(latest=3, daily=30, weekly=8, monthly=12, annual=3)
_DAYS = 8
_DAYS_AHEAD = 700
_LOOPBACK = "127.0.0.1"
_REQUEST_BYTES_MAX = 1 << 16
_CLOCK_VALID_NS = 3_600_000_000_000
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
    bench = replace(bench, program=find_kopia(find_testing_build(bench.program.version)))
    async with _serve_clock(0) as now, _serve_clock(_DAYS_AHEAD) as later:
        today, ahead = (bench.through("env", f"KOPIA_FAKE_CLOCK_ENDPOINT={clock}") for clock in (now, later))
        actor = await today.create_repository()
        tree = await today.write_tree("source", count=1, size_bytes=100)
        doomed = await ahead.take_snapshot(actor, tree.directory)
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


@asynccontextmanager
async def _serve_clock(days_ahead: int) -> AsyncIterator[str]:
    """The address of a clock that is so many days ahead, as builds for virtual time ask for it."""
    clock = Clock()

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive(_REQUEST_BYTES_MAX)
            at = datetime.fromisoformat(clock.utc()) + timedelta(days=days_ahead)
            body = json.dumps({"time": f"{at:%FT%T}Z", "validFor": _CLOCK_VALID_NS})
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send(f"{head}{body}".encode())

    async with await anyio.create_tcp_listener(local_host=_LOOPBACK) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - nothing of Django's
        yield f"http://{_LOOPBACK}:{port}"
        group.cancel_scope.cancel()


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
