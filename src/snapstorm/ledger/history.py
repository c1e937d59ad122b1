"""A testbed's past as the ledger knows it: which snapshots were proven when, how, and by which versions.

Everything here only reads. Rows are passed on as they come, so memory does not grow with the history.
"""

from __future__ import annotations

import bisect
import functools
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from snapstorm.model.actions import RunGc
from snapstorm.model.expectations import State
from snapstorm.model.restore_debt import Unproven

_SECONDS_PER_DAY = 86_400.0

_JULIAN_DAY_OF_UNIX_EPOCH = 2_440_587.5

_BEGAN_JULIAN = f"""
    o.began_seconds / 86400.0 + CASE WHEN r.virtual_began_ns IS NULL THEN julianday(r.began_utc) ELSE
        {_JULIAN_DAY_OF_UNIX_EPOCH} + (r.virtual_began_ns + (
            SELECT coalesce(sum(j.by_ns), 0) FROM clock_jumps j
            WHERE j.run = r.number AND j.at_seconds <= o.began_seconds
        )) / 86400e9 END
"""
"""The Julian day on which an operation `o` of a run `r` began, in the time that the run lived in."""

_LIVE_SNAPSHOTS = f"""
    SELECT e.client, e.operation, e.snapshot, e.source,
           {_BEGAN_JULIAN}, o.run,
           v.number, v.run, v.at_utc, v.target_versions, v.through,
           coalesce(vo.ended_tick, vo.began_tick, e.acknowledged_tick, e.began_tick)
    FROM expectations e
    JOIN operations o ON o.id = e.operation
    JOIN runs r ON r.number = o.run
    LEFT JOIN verifications v ON v.number = e.last_verification
    LEFT JOIN operations vo ON vo.id = v.operation
    WHERE e.state = ?
"""

_SURVIVALS = f"""
    SELECT o.run, v.target_versions,
           julianday(v.at_utc) - ({_BEGAN_JULIAN}) AS age_days, count(*), max(v.at_utc)
    FROM expectations e
    JOIN verifications v ON v.number = e.last_verification
    JOIN operations o ON o.id = e.operation
    JOIN runs r ON r.number = o.run
    GROUP BY o.run, v.target_versions, v.run, CASE WHEN r.virtual_began_ns IS NULL THEN 0 ELSE o.began_seconds END
"""

_COLLECTIONS = """
    SELECT ended_tick FROM operations WHERE action = ? AND outcome = 'ok'
    AND coalesce(json_extract(resolved, '$.kind'), json_extract(options, '$.kind'), 'full') = 'full'
    ORDER BY ended_tick
"""


@dataclass(frozen=True)
class LiveSnapshot:
    """One live snapshot, and when and how it was last proven."""

    client: str
    operation: str
    snapshot: str | None
    source: str
    taken_days: float
    """When it was taken, in days since 1970."""
    taken_run: int
    verification: int | None
    verified_run: int | None
    verified_utc: str | None
    verified_versions: str | None
    verified_through: str | None
    unproven: Unproven


class AgeBucket(StrEnum):
    """How old a snapshot was when it was restored."""

    DAY = "up to a day"
    WEEK = "up to a week"
    MONTH = "up to 30 days"
    QUARTER = "up to 90 days"
    YEAR = "up to a year"
    OLDER = "older"

    @classmethod
    def of(cls, days: float) -> AgeBucket:
        limits = (1, 7, 30, 90, 365)
        return list(cls)[bisect.bisect_left(limits, days)]


@dataclass(frozen=True)
class Survival:
    """Snapshots that were restored exactly."""

    snapshots: int
    days_max: float
    """The greatest age of one of them when it was restored."""
    last_utc: str

    def plus(self, other: Survival) -> Survival:
        return Survival(
            self.snapshots + other.snapshots,
            max(self.days_max, other.days_max),
            max(self.last_utc, other.last_utc),
        )


@dataclass(frozen=True)
class SurvivalTables:
    """What has been proven, by the age of the snapshots and by versions of the target."""

    by_age: dict[AgeBucket, Survival]
    by_versions: dict[tuple[str, str], Survival]
    """By (version that took the snapshot, version that last restored it)."""

    def add(self, age: AgeBucket, versions: tuple[str, str], found: Survival) -> None:
        self.by_age[age] = found.plus(self.by_age[age]) if age in self.by_age else found
        self.by_versions[versions] = found.plus(self.by_versions[versions]) if versions in self.by_versions else found

    @property
    def total(self) -> Survival:
        """The sum over all of them."""
        return functools.reduce(Survival.plus, self.by_age.values(), Survival(0, 0.0, ""))

    @property
    def versions(self) -> list[str]:
        """Every version, with the target's name, that took or restored one of the snapshots."""
        return sorted({one for pair in self.by_versions for versions in pair for one in _each_version(versions)})


class History:
    """Reads a testbed's past from an open ledger's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def live_snapshots(self, now_utc: str) -> Iterator[LiveSnapshot]:
        """Every live snapshot, in no particular order."""
        collections = self._collection_ticks()
        versions_since = self._other_versions_since()
        now_days = _days(now_utc)
        rows = self._connection.execute(_LIVE_SNAPSHOTS, (State.LIVE,))
        for client, operation, snapshot, source, taken_julian, taken_run, *verified, proven_tick in rows:
            verification, verified_run, verified_utc, verified_versions, through = verified
            is_verified = verification is not None
            taken_days = taken_julian - _JULIAN_DAY_OF_UNIX_EPOCH
            since_days = _days(verified_utc) if is_verified else taken_days
            unproven = Unproven(
                is_verified=is_verified,
                versions=versions_since[verified_run if is_verified else taken_run],
                collections=len(collections) - bisect.bisect_right(collections, proven_tick),
                days_since=max(0.0, now_days - since_days),
                age_days=max(0.0, now_days - taken_days),
            )
            yield LiveSnapshot(
                client,
                operation,
                snapshot,
                source,
                taken_days,
                taken_run,
                verification,
                verified_run,
                verified_utc,
                verified_versions,
                through,
                unproven,
            )

    def sweep_order(self, now_utc: str) -> list[tuple[str, str]]:
        """All live snapshots as (client, operation), the greatest restore debt first; if equal, those not verified for
        longest."""
        found = [
            (-live.unproven.debt, live.verification or 0, live.taken_days, live.client, live.operation)
            for live in self.live_snapshots(now_utc)
        ]
        found.sort()
        return [(row[3], row[4]) for row in found]

    def survival(self) -> SurvivalTables:
        """What has been proven of all snapshots, live or deleted since. Each counts by its last exact restore."""
        versions_by_run = self._versions_by_run()
        tables = SurvivalTables({}, {})
        for run_number, restored_by, age_days, snapshots, last_utc in self._connection.execute(_SURVIVALS):
            found = Survival(snapshots, max(0.0, age_days), last_utc)
            tables.add(AgeBucket.of(found.days_max), (versions_by_run[run_number], restored_by), found)
        return tables

    def _collection_ticks(self) -> list[int]:
        """The ticks of full garbage collections, in order."""
        return [row[0] for row in self._connection.execute(_COLLECTIONS, (RunGc.key,))]

    def _versions_by_run(self) -> dict[int, str]:
        """The target of each run, as its name and versions."""
        rows = self._connection.execute("SELECT number, target FROM runs ORDER BY number")
        return {number: _versions_of(json.loads(target)) for number, target in rows}

    def _other_versions_since(self) -> dict[int, int]:
        """For each run, how many targets of other versions have run on the testbed after it."""
        later: set[str] = set()
        found = dict[int, int]()
        for number, versions in reversed(self._versions_by_run().items()):
            found[number] = len(later - {versions})
            later.add(versions)
        return found


def _each_version(versions: str) -> list[str]:
    """The single versions: `kopia 0.19.0 0.23.1`, the target of a run of several versions, gives two."""
    name, *each = versions.split(" ")
    return [f"{name} {version}" for version in each] or [name]


def _versions_of(target: Mapping[str, Any]) -> str:
    return " ".join((target.get("name", "?"), *target.get("versions", ())))


def _days(utc: str) -> float:
    """A time in days since 1970."""
    return datetime.fromisoformat(utc).timestamp() / _SECONDS_PER_DAY
