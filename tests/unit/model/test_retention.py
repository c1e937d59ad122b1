"""What a policy keeps is what its words say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.model.retention import Period, RetentionPolicy, kept_by

START = datetime(2025, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def taken(*times: datetime) -> dict[str, int]:
    return {f"{time:%Y-%m-%d %H:%M}": round(time.timestamp()) * 10**9 for time in times}


def every(step: timedelta, count: int, start: datetime = START) -> dict[str, int]:
    return taken(*(start + step * number for number in range(count)))


def test_a_year_of_weeks_and_its_months() -> None:
    """What Kopia up to 0.23.1 does not do: it takes ISO week 1 for January."""
    weeks = every(7 * DAY, 52)
    kept = kept_by(RetentionPolicy(weekly=52, monthly=12), weeks, ends_at_latest=True)
    assert len(kept) == 52
    assert sum(Period.MONTHLY in reasons for reasons in kept.values()) == 12


def test_of_each_day_the_latest_is_kept() -> None:
    kept = kept_by(RetentionPolicy(daily=2), every(timedelta(hours=8), 9), ends_at_latest=False)
    assert list(kept) == ["2025-01-08 04:00", "2025-01-07 20:00"]


@pytest.mark.parametrize(("ends_at_latest", "count"), [(True, 1), (False, 3)])
def test_days_without_snapshots_count_where_the_target_counts_them(ends_at_latest: bool, count: int) -> None:
    assert len(kept_by(RetentionPolicy(daily=3), every(10 * DAY, 5), ends_at_latest=ends_at_latest)) == count


def test_a_snapshot_right_at_the_bound_is_kept() -> None:
    kept = kept_by(RetentionPolicy(daily=2), every(DAY, 9), ends_at_latest=True)
    assert len(kept) == 2
    kept = kept_by(RetentionPolicy(weekly=3), taken(START, START + 21 * DAY), ends_at_latest=True)
    assert len(kept) == 2
    kept = kept_by(
        RetentionPolicy(weekly=3), taken(START, START + 21 * DAY + timedelta(seconds=1)), ends_at_latest=True
    )
    assert len(kept) == 1


def test_a_month_back_from_its_last_day() -> None:
    """Go counts the 31st of February as the 3rd of March."""
    times = [datetime(2025, 3, 2, tzinfo=UTC), datetime(2025, 2, 28, tzinfo=UTC), datetime(2025, 3, 31, tzinfo=UTC)]
    assert len(kept_by(RetentionPolicy(monthly=1), taken(*times), ends_at_latest=True)) == 1
    assert len(kept_by(RetentionPolicy(monthly=2), taken(*times), ends_at_latest=True)) == 2


def test_no_counts_keep_everything() -> None:
    assert len(kept_by(RetentionPolicy(), every(DAY, 9), ends_at_latest=True)) == 9
    assert kept_by(RetentionPolicy(daily=1), {}, ends_at_latest=True) == {}


counts = st.integers(0, 5)
policies = st.builds(
    RetentionPolicy, latest=counts, hourly=counts, daily=counts, weekly=counts, monthly=counts, annual=counts
)
times = st.dictionaries(st.uuids().map(str), st.integers(0, 4 * 365 * 24).map(lambda hours: hours * 3600 * 10**9))


@given(policies, times, st.booleans())
def test_what_is_kept_stays_kept(policy: RetentionPolicy, taken_ns: dict[str, int], ends_at_latest: bool) -> None:
    """Applied again to what it has kept, a policy expires nothing more."""
    kept = kept_by(policy, taken_ns, ends_at_latest=ends_at_latest)
    again = kept_by(policy, {snapshot: taken_ns[snapshot] for snapshot in kept}, ends_at_latest=ends_at_latest)
    assert again == kept


@given(policies, times, st.booleans())
def test_a_greater_count_keeps_no_less(policy: RetentionPolicy, taken_ns: dict[str, int], ends_at_latest: bool) -> None:
    if policy.keeps_all:
        return
    more = policy.model_copy(update={"weekly": policy.weekly + 1})
    kept = kept_by(policy, taken_ns, ends_at_latest=ends_at_latest)
    assert kept.keys() <= kept_by(more, taken_ns, ends_at_latest=ends_at_latest).keys()


@given(policies, times)
def test_no_period_keeps_more_than_its_count(policy: RetentionPolicy, taken_ns: dict[str, int]) -> None:
    kept = kept_by(policy, taken_ns, ends_at_latest=False)
    for period in Period:
        if not policy.keeps_all:
            assert sum(period in reasons for reasons in kept.values()) <= policy.count(period)
