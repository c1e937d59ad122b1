"""What Kopia's retention keeps, counted again: as the policy says, and with names that weeks and months share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.targets.kopia.known_bugs.shared_period_names import Keep, kept, left_after_each, wrongly_let_go

DAY = timedelta(days=1)
KINDS = ("latest", "hourly", "daily", "weekly", "monthly", "annual")
USUAL: Keep = {"latest": 10, "hourly": 48, "daily": 7, "weekly": 4, "monthly": 24, "annual": 3}


def taken(*times: datetime) -> dict[str, int]:
    """Snapshots named after their days, with the times at which they were taken."""
    return {f"{time:%Y-%m-%d %H}": round(time.timestamp()) * 10**9 for time in times}


def every(step: timedelta, count: int, start: datetime = datetime(2025, 1, 5, 12, tzinfo=UTC)) -> dict[str, int]:
    return taken(*(start + step * number for number in range(count)))


def test_a_year_of_weeks_loses_ten() -> None:
    """What all three versions were seen to do (measured)."""
    weeks = every(7 * DAY, 52)
    keep = {"weekly": 52, "monthly": 12}
    lost = wrongly_let_go(keep, weeks)
    assert len(kept(keep, weeks, shares_names=False)) == 52
    assert sorted(lost) == [
        f"2025-{month:02}-{day:02} 12"
        for month, days in ((1, (5, 12, 19)), (2, (2, 9, 16)), (3, (2, 9, 16, 23)))
        for day in days
    ]
    assert left_after_each(keep, list(weeks.items()), shares_names=True) == [one for one in weeks if one not in lost]
    assert left_after_each(keep, list(weeks.items()), shares_names=False) == list(weeks)


@pytest.mark.parametrize("keep", [{"weekly": 52}, {"monthly": 12}, {"weekly": 52, "annual": 3}, {}, {"latest": 99}])
def test_without_weeks_beside_months_nothing_is_lost(keep: Keep) -> None:
    """The names of all other kinds differ."""
    assert wrongly_let_go(keep, every(7 * DAY, 52)) == frozenset()


def test_the_usual_policy_loses_two_weeks_of_a_year() -> None:
    """Weeks 1 and 2, once no day keeps them any more."""
    lost: dict[str, str] = {}
    left: dict[str, int] = {}
    for day, at in every(DAY, 400, datetime(2025, 3, 1, 12, tzinfo=UTC)).items():
        left[day] = at
        lost |= dict.fromkeys(wrongly_let_go(USUAL, left), day)
        left = {one: at for one, at in left.items() if one in kept(USUAL, left, shares_names=True)}
    assert lost == {"2026-01-04 12": "2026-01-14 12", "2026-01-11 12": "2026-02-01 12"}


def test_reasons_are_named() -> None:
    """The latest of all is the latest of everything."""
    reasons = kept(USUAL, every(DAY, 3), shares_names=False)
    assert set(reasons["2025-01-07 12"]) == set(KINDS)


def test_periods_end_at_the_latest_snapshot() -> None:
    """Three days back, whether they have snapshots or not; one right at the bound is kept."""
    assert len(kept({"daily": 3}, every(10 * DAY, 5), shares_names=False)) == 1
    assert len(kept({"daily": 3}, every(3 * DAY, 5), shares_names=False)) == 2
    assert len(kept({"hourly": 3}, every(timedelta(hours=1), 9), shares_names=False)) == 3


def test_a_month_back_from_its_last_day() -> None:
    """Go counts the 31st of February as the 3rd of March."""
    times = taken(datetime(2025, 3, 2, tzinfo=UTC), datetime(2025, 3, 31, tzinfo=UTC))
    assert list(kept({"monthly": 1, "daily": 99}, times, shares_names=False)) == ["2025-03-31 00", "2025-03-02 00"]
    february = taken(datetime(2025, 2, 28, tzinfo=UTC), datetime(2025, 3, 31, tzinfo=UTC))
    assert len(kept({"monthly": 1}, february, shares_names=False)) == 1
    assert len(kept({"monthly": 2}, february, shares_names=False)) == 2


def test_no_counts_keep_everything() -> None:
    assert len(kept({}, every(DAY, 9), shares_names=True)) == 9
    assert kept({"daily": 1}, {}, shares_names=True) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_the_greatest_count_keeps_all(kind: str) -> None:
    """As our testbeds set it, and without an overflow of dates."""
    assert len(kept({kind: 2_147_483_647}, every(400 * DAY, 9), shares_names=False)) == 9


policies = st.fixed_dictionaries({kind: st.integers(0, 6) for kind in KINDS})
hours = st.integers(0, 4 * 365 * 24).map(lambda hour: hour * 3600 * 10**9)
snapshots = st.dictionaries(st.uuids().map(str), hours)


@given(policies, snapshots)
def test_no_kind_keeps_more_than_its_count(keep: Keep, taken_ns: dict[str, int]) -> None:
    """However names are told apart."""
    for shares_names in (True, False):
        reasons = kept(keep, taken_ns, shares_names=shares_names)
        for kind in KINDS:
            if any(keep.values()):
                assert sum(kind in of for of in reasons.values()) <= keep[kind]


@given(policies, snapshots)
def test_what_is_kept_stays_kept(keep: Keep, taken_ns: dict[str, int]) -> None:
    """Applied again to what it has kept, the policy lets nothing more go."""
    once = kept(keep, taken_ns, shares_names=False)
    assert kept(keep, {one: taken_ns[one] for one in once}, shares_names=False) == once
