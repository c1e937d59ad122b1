"""What a retention policy keeps: the latest snapshot of each of the latest hours, days, weeks, months and years.

An oracle: it says which snapshots must stay and why, from the times alone at which they were taken. Weeks are those of
ISO 8601, from Monday; all times are UTC, in microseconds since 1970. Targets differ in what counts as one of the latest
periods, see `Retention`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

US_PER_SECOND = 1_000_000
US_PER_HOUR = 3_600 * US_PER_SECOND
US_PER_DAY = 24 * US_PER_HOUR
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_ORDINAL = date.max.toordinal()

Count = Annotated[int, Field(ge=0, le=1_000_000)]


class Period(StrEnum):
    """For how long one snapshot stands for all."""

    LATEST = "latest"
    """Each snapshot is a period of its own."""
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    ANNUAL = "annual"


class KeepPolicy(BaseModel):
    """How many periods of each kind keep a snapshot. All 0: everything is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latest: Count = 0
    hourly: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0
    annual: Count = 0

    def count(self, period: Period) -> int:
        """How many periods of this kind keep a snapshot."""
        return int(getattr(self, period.value))

    @property
    def keeps_all(self) -> bool:
        """Whether no snapshot is ever expired."""
        return not any(self.count(period) for period in Period)

    def __str__(self) -> str:
        """`daily 7, weekly 4`; `everything` if all is kept."""
        return ", ".join(f"{period} {self.count(period)}" for period in Period if self.count(period)) or "everything"


class Retention(BaseModel):
    """A policy, and how the target reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: KeepPolicy
    ends_at_latest: bool
    """N days are counted back from the latest snapshot, whether they have snapshots or not (Kopia, measured on 0.19.0
    and 0.23.1). Otherwise only days that have one are counted (restic, borg)."""


class PeriodId(NamedTuple):
    """One period: `weekly 2026-W01`."""

    period: Period
    name: str

    def __str__(self) -> str:
        return f"{self.period} {self.name}"


def kept_by(retention: Retention, taken_us: Mapping[str, int]) -> dict[str, tuple[PeriodId, ...]]:
    """The snapshots that a policy keeps, of all of one source, latest first, each with the periods that keep it.

    `taken_us` says when each snapshot was taken. Of two taken at the same time, the greater key counts as the later.
    Two properties hold, and `model.expiry` rests on them: what is kept stays kept when others are taken away, and what
    is not kept changes nothing for the others.
    """
    policy, latest_first = retention.policy, in_order(taken_us)
    if policy.keeps_all or not latest_first:
        return {snapshot: (PeriodId(Period.LATEST, str(n)),) for n, snapshot in enumerate(latest_first, start=1)}
    reasons: dict[str, list[PeriodId]] = {}
    newest_us = taken_us[latest_first[0]]
    for period in Period:
        count, ids = policy.count(period), set[PeriodId]()
        oldest_us = moment_before(newest_us, period, count) if retention.ends_at_latest else None
        for number, snapshot in enumerate(latest_first, start=1):
            at_us = taken_us[snapshot]
            if len(ids) == count or (oldest_us is not None and at_us < oldest_us):
                break
            found = period_of(at_us, period) if period is not Period.LATEST else PeriodId(period, str(number))
            if found not in ids:
                ids.add(found)
                reasons.setdefault(snapshot, []).append(found)
    return {snapshot: tuple(reasons[snapshot]) for snapshot in latest_first if snapshot in reasons}


def in_order(taken_us: Mapping[str, int]) -> list[str]:
    """The snapshots, latest first."""
    return sorted(taken_us, key=lambda snapshot: (taken_us[snapshot], snapshot), reverse=True)


def period_of(at_us: int, period: Period) -> PeriodId:
    """The hour, day, week, month or year that a moment is in."""
    return PeriodId(period, _NAMES[period](at_us))


def utc_text(at_us: int) -> str:
    """A moment as people read it: `2026-01-31T12:00:00Z`."""
    seconds = at_us // US_PER_SECOND % 86_400
    return f"{_day(at_us)}T{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


def _day(at_us: int) -> date:
    """Its day. What lies beyond the calendar is taken for its first or last day."""
    return date.fromordinal(min(max(1, _EPOCH_ORDINAL + at_us // US_PER_DAY), _LAST_ORDINAL))


def _hour_name(at_us: int) -> str:
    return f"{_day(at_us)}T{at_us // US_PER_HOUR % 24:02}"


def _iso_week_name(at_us: int) -> str:
    year, week, _ = _day(at_us).isocalendar()
    return f"{year:04}-W{week:02}"


_NAMES: Mapping[Period, Callable[[int], str]] = {
    Period.HOURLY: _hour_name,
    Period.DAILY: lambda at_us: f"{_day(at_us)}",
    Period.WEEKLY: _iso_week_name,
    Period.MONTHLY: lambda at_us: f"{_day(at_us):%Y-%m}",
    Period.ANNUAL: lambda at_us: f"{_day(at_us):%Y}",
}
"""What a period is called; two moments are of the same one if it has the same name."""


def moment_before(at_us: int, period: Period, count: int) -> int | None:
    """The moment so many periods before another; None for no bound.

    A day that a month does not have is counted on into the next month, as Go does.
    """
    match period:
        case Period.LATEST:
            return None
        case Period.HOURLY:
            return at_us - count * US_PER_HOUR
        case Period.DAILY:
            return at_us - count * US_PER_DAY
        case Period.WEEKLY:
            return at_us - 7 * count * US_PER_DAY
        case Period.MONTHLY:
            return _months_before(at_us, count)
        case Period.ANNUAL:
            return _months_before(at_us, 12 * count)


def _months_before(at_us: int, count: int) -> int | None:
    day = _day(at_us)
    year, month = divmod(12 * day.year + day.month - 1 - count, 12)
    if year < 1:
        return None
    ordinal = date(year, month + 1, 1).toordinal() + day.day - 1
    return (ordinal - _EPOCH_ORDINAL) * US_PER_DAY + at_us % US_PER_DAY
