"""What a retention policy keeps: the latest snapshot of each of the latest hours, days, weeks, months and years.

An oracle: it says which snapshots must stay and why, from their times alone. Weeks are those of ISO 8601, from Monday;
all times are UTC. Targets differ in what counts as one of the latest periods, see `kept_by`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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


class RetentionPolicy(BaseModel):
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


def kept_by(
    policy: RetentionPolicy, taken_ns: Mapping[str, int], *, ends_at_latest: bool
) -> dict[str, tuple[Period, ...]]:
    """The snapshots that a policy keeps, of all of one source, each with the periods for which it is kept.

    `taken_ns` holds when each snapshot was taken. Of two taken at the same time, the greater id counts as the later.

    With `ends_at_latest`, N days are counted back from the latest snapshot, whether they have snapshots or not (Kopia,
    `snapshot/policy/retention_policy.go`). Without, only days that have one are counted (restic, borg).
    """
    latest_first = sorted(taken_ns, key=lambda snapshot: (taken_ns[snapshot], snapshot), reverse=True)
    if policy.keeps_all or not latest_first:
        return dict.fromkeys(latest_first, (Period.LATEST,))
    reasons: dict[str, list[Period]] = {}
    newest = _utc(taken_ns[latest_first[0]])
    for period in Period:
        oldest = _back(newest, period, policy.count(period)) if ends_at_latest else None
        names = set[str]()
        for number, snapshot in enumerate(latest_first):
            at = _utc(taken_ns[snapshot])
            if len(names) == policy.count(period) or (oldest is not None and at < oldest):
                break
            name = str(number) if period is Period.LATEST else _NAMES[period](at)
            if name not in names:
                names.add(name)
                reasons.setdefault(snapshot, []).append(period)
    return {snapshot: tuple(reasons[snapshot]) for snapshot in latest_first if snapshot in reasons}


def _iso_week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year:04}-W{week:02}"


_NAMES: Mapping[Period, Callable[[datetime], str]] = {
    Period.HOURLY: lambda at: f"{at:%Y-%m-%dT%H}",
    Period.DAILY: lambda at: f"{at:%Y-%m-%d}",
    Period.WEEKLY: _iso_week,
    Period.MONTHLY: lambda at: f"{at:%Y-%m}",
    Period.ANNUAL: lambda at: f"{at:%Y}",
}
"""What a period is called; two times are of the same one if it has the same name."""


def _back(at: datetime, period: Period, count: int) -> datetime | None:
    """The time so many periods before another; None for no bound.

    A day that a month does not have is counted on into the next month, as Go does.
    """
    match period:
        case Period.LATEST:
            return None
        case Period.HOURLY:
            return at - timedelta(hours=count)
        case Period.DAILY:
            return at - timedelta(days=count)
        case Period.WEEKLY:
            return at - timedelta(weeks=count)
        case Period.MONTHLY:
            return _months_before(at, count)
        case Period.ANNUAL:
            return _months_before(at, 12 * count)


def _months_before(at: datetime, count: int) -> datetime | None:
    year, month = divmod(12 * at.year + at.month - 1 - count, 12)
    if year < 1:
        return None
    return at.replace(year=year, month=month + 1, day=1) + timedelta(days=at.day - 1)


def _utc(at_ns: int) -> datetime:
    seconds, rest_ns = divmod(at_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest_ns // 1000)
