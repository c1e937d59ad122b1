"""What retention keeps as Kopia 0.19.0 to 0.23.1 counts, with one set of names for the periods of all kinds. Pure.

Kopia notes which periods have a snapshot already in a single map, by the period's name alone. The names of an ISO week
and of a month look alike: `2026-01` is a week as well as January. So a week is taken for a month that has been seen,
and its snapshot is let go although the policy keeps one for each week. (`getRetentionReasons` in
`snapshot/policy/retention_policy.go`.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Keep: TypeAlias = Mapping[str, int]
"""How many periods of each kind keep a snapshot, by the kind: `latest`, `hourly`, `daily`, `weekly`, `monthly`,
`annual`. A kind that is not there keeps none."""


def _iso_week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year:04}-{week:02}"


# In this order Kopia looks at the kinds.
_NAMES: Mapping[str, Callable[[datetime], str]] = {
    "annual": lambda at: f"{at:%Y}",
    "monthly": lambda at: f"{at:%Y-%m}",
    "weekly": _iso_week,
    "daily": lambda at: f"{at:%Y-%m-%d}",
    "hourly": lambda at: f"{at:%Y-%m-%d %H}",
}


def kept(keep: Keep, taken_ns: Mapping[str, int], *, shares_names: bool) -> dict[str, tuple[str, ...]]:
    """The snapshots of one source that stay, the latest first, each with the kinds of periods that keep it.

    `taken_ns` holds when each complete snapshot was taken, in ns of UTC. `shares_names`: as Kopia counts; otherwise as
    the policy says, with names for each kind of its own. All times are UTC.
    """
    latest_first = sorted(taken_ns, key=lambda snapshot: (taken_ns[snapshot], snapshot), reverse=True)
    if not latest_first:
        return {}
    if not any(keep.values()):
        return dict.fromkeys(latest_first, ("latest",))
    newest = _utc(taken_ns[latest_first[0]])
    oldest = {kind: _back(newest, kind, keep.get(kind, 0)) for kind in _NAMES}
    seen: set[tuple[str, str]] = set()
    counts: dict[str, int] = {}
    reasons: dict[str, tuple[str, ...]] = {}
    for number, snapshot in enumerate(latest_first):
        at = _utc(taken_ns[snapshot])
        named = [("latest", str(number)), *((kind, name(at)) for kind, name in _NAMES.items() if at >= oldest[kind])]
        for kind, name in named:
            key = ("" if shares_names else kind, name)
            if key not in seen and counts.get(kind, 0) < keep.get(kind, 0):
                seen.add(key)
                counts[kind] = counts.get(kind, 0) + 1
                reasons[snapshot] = (*reasons.get(snapshot, ()), kind)
    return reasons


def wrongly_let_go(keep: Keep, taken_ns: Mapping[str, int]) -> frozenset[str]:
    """The snapshots that the policy keeps, and that Kopia lets go because their periods have shared names."""
    right = kept(keep, taken_ns, shares_names=False)
    return frozenset(right.keys() - kept(keep, taken_ns, shares_names=True).keys())


def left_after_each(keep: Keep, taken: Sequence[tuple[str, int]], *, shares_names: bool) -> list[str]:
    """What is left, the oldest first, where retention is applied after each snapshot, as `snapshot create` does.

    `taken` are the snapshots in the order in which they were taken, each with its time in ns.
    """
    left: dict[str, int] = {}
    for snapshot, at_ns in taken:
        left[snapshot] = at_ns
        stays = kept(keep, left, shares_names=shares_names)
        left = {one: at for one, at in left.items() if one in stays}
    return sorted(left, key=lambda snapshot: (left[snapshot], snapshot))


def _back(at: datetime, kind: str, count: int) -> datetime:
    """The time so many periods before another, as Go computes it: a day that a month does not have is counted on into
    the next month."""
    match kind:
        case "hourly":
            return at - timedelta(hours=min(count, _DAYS_MAX * 24))
        case "daily":
            return at - timedelta(days=min(count, _DAYS_MAX))
        case "weekly":
            return at - timedelta(days=min(7 * count, _DAYS_MAX))
        case "monthly":
            return _months_before(at, count)
        case _:
            return _months_before(at, 12 * count)


_DAYS_MAX = 300_000
"""More than all that snapshots can be old."""


def _months_before(at: datetime, count: int) -> datetime:
    year, month = divmod(12 * at.year + at.month - 1 - count, 12)
    if year < 1:
        return datetime.min.replace(tzinfo=UTC)
    return at.replace(year=year, month=month + 1, day=1) + timedelta(days=at.day - 1)


def _utc(at_ns: int) -> datetime:
    seconds, rest_ns = divmod(at_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest_ns // 1000)
