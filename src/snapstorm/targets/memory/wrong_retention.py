"""Planted defects of retention: what the simulated backup system keeps in place of what its policy says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from snapstorm.model.retention import Period, Retention, in_order, kept_by, moment_before, period_of

_LONGEST_FIRST = (Period.LATEST, Period.ANNUAL, Period.MONTHLY, Period.WEEKLY, Period.DAILY, Period.HOURLY)
"""The order in which Kopia looks at the kinds."""


def one_too_few(retention: Retention, taken_us: Mapping[str, int]) -> Collection[str]:
    """Of the snapshots that the policy keeps, the oldest expires, too."""
    kept = list(kept_by(retention, taken_us))
    return kept[:-1] if len(kept) > 1 else kept


def one_too_many(retention: Retention, taken_us: Mapping[str, int]) -> Collection[str]:
    """Of the snapshots that the policy does not keep, the latest stays."""
    kept = kept_by(retention, taken_us)
    return {*kept, *[snapshot for snapshot in in_order(taken_us) if snapshot not in kept][:1]}


def weeks_from_sunday(retention: Retention, taken_us: Mapping[str, int]) -> Collection[str]:
    """Weeks begin on Sunday, and are numbered within their calendar year."""

    def name(at_us: int, period: Period) -> object:
        return f"{_utc(at_us):%Y week %U}" if period is Period.WEEKLY else period_of(at_us, period)

    return _kept_by_names(retention, taken_us, name)


def weeks_like_months(retention: Retention, taken_us: Mapping[str, int]) -> Collection[str]:
    """Week 1 of a year has the id of its January, and whichever of the two comes second keeps nothing."""

    def name(at_us: int, period: Period) -> object:
        return period_of(at_us, period).name.replace("W", "")

    return _kept_by_names(retention, taken_us, name)


WRONG_RETENTIONS: Mapping[str, Callable[[Retention, Mapping[str, int]], Collection[str]]] = {
    "retention-ends-one-too-many": one_too_few,
    "retention-leaves-one": one_too_many,
    "retention-counts-weeks-from-sunday": weeks_from_sunday,
    "retention-mixes-weeks-and-months": weeks_like_months,
}
"""By the names of the defects."""


def _kept_by_names(
    retention: Retention, taken_us: Mapping[str, int], name_of: Callable[[int, Period], object]
) -> Collection[str]:
    """What a policy keeps whose periods have these names, with one table for the periods of all kinds."""
    policy, known, counts = retention.policy, set[object](), dict.fromkeys(Period, 0)
    kept, newest_us = set[str](), max(taken_us.values(), default=0)
    for number, snapshot in enumerate(in_order(taken_us)):
        for period in _LONGEST_FIRST:
            at_us = taken_us[snapshot]
            oldest_us = moment_before(newest_us, period, policy.count(period))
            name = str(number) if period is Period.LATEST else name_of(at_us, period)
            if name in known or counts[period] == policy.count(period) or (oldest_us is not None and at_us < oldest_us):
                continue
            known.add(name)
            counts[period] += 1
            kept.add(snapshot)
    return kept


def _utc(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)
