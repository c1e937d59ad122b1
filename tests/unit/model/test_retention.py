"""What a policy keeps is what its words say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from snapstorm.model.retention import KeepPolicy, Period, PeriodId, Retention, kept_by, period_of, utc_text

START = datetime(2025, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALL = {period.value: 1 for period in Period}


def taken(*times: datetime) -> dict[str, int]:
    return {f"{time:%Y-%m-%d %H:%M:%S}": round(time.timestamp()) * 10**6 for time in times}


def every(step: timedelta, count: int, start: datetime = START) -> dict[str, int]:
    return taken(*(start + step * number for number in range(count)))


def kept_of(
    policy: KeepPolicy, taken_us: dict[str, int], *, ends_at_latest: bool = True
) -> dict[str, tuple[PeriodId, ...]]:
    return kept_by(Retention(policy=policy, ends_at_latest=ends_at_latest), taken_us)


def test_a_year_of_weeks_and_its_months() -> None:
    """What Kopia up to 0.23.1 does not do: it takes ISO week 1 for January."""
    kept = kept_of(KeepPolicy(weekly=52, monthly=12), every(7 * DAY, 52))
    assert len(kept) == 52
    assert sum(reason.period is Period.MONTHLY for reasons in kept.values() for reason in reasons) == 12


def test_no_two_periods_have_the_same_id() -> None:
    """Week 1 of 2026 is no January of 2026, whatever a target calls them."""
    ids = {period_of(at_us, period) for at_us in every(DAY, 800).values() for period in Period if period != "latest"}
    assert len({str(one) for one in ids}) == len(ids)
    assert str(period_of(taken(datetime(2025, 12, 31, tzinfo=UTC)).popitem()[1], Period.WEEKLY)) == "weekly 2026-W01"


def test_of_each_day_the_latest_is_kept() -> None:
    kept = kept_of(KeepPolicy(daily=2), every(timedelta(hours=8), 9), ends_at_latest=False)
    assert list(kept) == ["2025-01-08 04:00:00", "2025-01-07 20:00:00"]


def test_the_reasons_name_the_periods() -> None:
    kept = kept_of(KeepPolicy(**ALL), taken(START))
    words = [
        "latest 1",
        "hourly 2025-01-05T12",
        "daily 2025-01-05",
        "weekly 2025-W01",
        "monthly 2025-01",
        "annual 2025",
    ]
    assert [str(reason) for reasons in kept.values() for reason in reasons] == words


@pytest.mark.parametrize(("ends_at_latest", "count"), [(True, 1), (False, 3)])
def test_days_without_snapshots_count_where_the_target_counts_them(ends_at_latest: bool, count: int) -> None:
    assert len(kept_of(KeepPolicy(daily=3), every(10 * DAY, 5), ends_at_latest=ends_at_latest)) == count


@pytest.mark.parametrize(("seconds", "count"), [(0, 2), (1, 1)])
def test_a_snapshot_right_at_the_bound_is_kept(seconds: int, count: int) -> None:
    assert len(kept_of(KeepPolicy(daily=2), every(DAY, 9))) == 2
    later = START + 21 * DAY + timedelta(seconds=seconds)
    assert len(kept_of(KeepPolicy(weekly=3), taken(START, later))) == count


def test_a_month_back_from_its_last_day() -> None:
    """Go counts the 31st of February as the 3rd of March."""
    times = taken(*(datetime(2025, month, day, tzinfo=UTC) for month, day in ((3, 2), (2, 28), (3, 31))))
    assert len(kept_of(KeepPolicy(monthly=1), times)) == 1
    assert len(kept_of(KeepPolicy(monthly=2), times)) == 2


def test_more_months_than_there_ever_were_are_no_bound() -> None:
    times = taken(datetime(1971, 3, 2, tzinfo=UTC), START)
    assert len(kept_of(KeepPolicy(monthly=1_000_000), times)) == 2
    assert len(kept_of(KeepPolicy(annual=1_000_000), times)) == 2


def test_times_beyond_the_calendar_are_no_error() -> None:
    """A target may say anything."""
    assert kept_of(KeepPolicy(**ALL), {"a": -(1 << 62), "b": 1 << 62})
    assert utc_text(1 << 62).startswith("9999-12-31T")


def test_no_counts_keep_everything() -> None:
    assert len(kept_of(KeepPolicy(), every(DAY, 9))) == 9
    assert kept_of(KeepPolicy(daily=1), {}) == {}


def test_a_policy_shows_what_it_counts() -> None:
    assert str(KeepPolicy(weekly=4, daily=7)) == "daily 7, weekly 4"
    assert str(KeepPolicy()) == "everything"


@pytest.mark.parametrize("wrong", [{"daily": -1}, {"dayly": 1}, {"daily": 1_000_001}])
def test_a_policy_that_is_none_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        KeepPolicy.model_validate(wrong)


counts = st.integers(0, 5)
policies = st.builds(
    KeepPolicy, latest=counts, hourly=counts, daily=counts, weekly=counts, monthly=counts, annual=counts
)
times = st.dictionaries(st.uuids().map(str), st.integers(0, 4 * 365 * 24).map(lambda hours: hours * 3600 * 10**6))


@given(policies, times, st.booleans())
def test_what_is_kept_stays_kept(policy: KeepPolicy, taken_us: dict[str, int], ends_at_latest: bool) -> None:
    """Applied again to what it has kept, a policy expires nothing more."""
    kept = kept_of(policy, taken_us, ends_at_latest=ends_at_latest)
    again = kept_of(policy, {snapshot: taken_us[snapshot] for snapshot in kept}, ends_at_latest=ends_at_latest)
    assert again == kept


@given(policies, times, st.booleans(), st.sets(st.integers(0, 30)))
def test_what_is_taken_away_makes_nothing_else_go(
    policy: KeepPolicy, taken_us: dict[str, int], ends_at_latest: bool, away: set[int]
) -> None:
    """On this rests how doubt about one snapshot is kept from the others."""
    fewer = {snapshot: at_us for number, (snapshot, at_us) in enumerate(taken_us.items()) if number not in away}
    kept = kept_of(policy, taken_us, ends_at_latest=ends_at_latest).keys()
    assert kept & fewer.keys() <= kept_of(policy, fewer, ends_at_latest=ends_at_latest).keys()


@given(policies, times, st.booleans())
def test_a_greater_count_keeps_no_less(policy: KeepPolicy, taken_us: dict[str, int], ends_at_latest: bool) -> None:
    if policy.keeps_all:
        return
    more = policy.model_copy(update={"weekly": policy.weekly + 1})
    kept = kept_of(policy, taken_us, ends_at_latest=ends_at_latest)
    assert kept.keys() <= kept_of(more, taken_us, ends_at_latest=ends_at_latest).keys()


@given(policies, times)
def test_no_period_keeps_more_than_its_count(policy: KeepPolicy, taken_us: dict[str, int]) -> None:
    reasons = [reason.period for found in kept_of(policy, taken_us, ends_at_latest=False).values() for reason in found]
    for period in Period:
        if not policy.keeps_all:
            assert reasons.count(period) <= policy.count(period)
