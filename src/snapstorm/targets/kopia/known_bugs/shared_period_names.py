"""What retention keeps as Kopia 0.19.0 to 0.23.1 counts, with one set of names for the periods of all kinds. Pure.

Kopia notes which periods have a snapshot already in a single map, by the period's name alone. The names of an ISO week
and of a month look alike: `2026-01` is a week as well as January. So a week is taken for a month that has been seen,
and its snapshot is let go although the policy keeps one for each week. (`getRetentionReasons` in
`snapshot/policy/retention_policy.go`.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from snapstorm.model.expectations import Expectation, State
from snapstorm.model.guarantees import Finding, Guarantee
from snapstorm.model.retention import (
    KeepPolicy,
    Period,
    PeriodId,
    Retention,
    in_order,
    kept_by,
    moment_before,
    period_of,
)
from snapstorm.model.seen import ListingSeen, Seen

# In this order Kopia looks at the kinds, after that of the latest.
_KINDS = (Period.ANNUAL, Period.MONTHLY, Period.WEEKLY, Period.DAILY, Period.HOURLY)


def kept_sharing_names(policy: KeepPolicy, taken_us: Mapping[str, int]) -> dict[str, tuple[PeriodId, ...]]:
    """The snapshots of one source that Kopia keeps, the latest first, each with the periods that keep it.

    `taken_us` holds when each complete snapshot was taken. As `kept_by` takes and returns it, so that what differs
    between the two is the bug.
    """
    latest_first = in_order(taken_us)
    if policy.keeps_all or not latest_first:
        return kept_by(Retention(policy=policy, ends_at_latest=True), taken_us)
    newest_us = taken_us[latest_first[0]]
    oldest_us = {period: moment_before(newest_us, period, policy.count(period)) for period in _KINDS}
    names: set[str] = set()
    counts: Counter[Period] = Counter()
    reasons: dict[str, tuple[PeriodId, ...]] = {}
    for number, snapshot in enumerate(latest_first):
        at_us = taken_us[snapshot]
        for found in (PeriodId(Period.LATEST, str(number)), *(period_of(at_us, period) for period in _KINDS)):
            name, bound_us = _name_in_kopia(found), oldest_us.get(found.period)
            if name in names or counts[found.period] == policy.count(found.period):
                continue
            if bound_us is None or at_us >= bound_us:
                names.add(name)
                counts[found.period] += 1
                reasons[snapshot] = (*reasons.get(snapshot, ()), found)
    return reasons


def _name_in_kopia(found: PeriodId) -> str:
    return found.name.replace("-W", "-")


def wrongly_let_go(policy: KeepPolicy, taken_us: Mapping[str, int]) -> frozenset[str]:
    """The snapshots that the policy keeps, and that Kopia lets go because their periods have shared names."""
    right = kept_by(Retention(policy=policy, ends_at_latest=True), taken_us)
    return frozenset(right.keys() - kept_sharing_names(policy, taken_us).keys())


def wrongly_kept(policy: KeepPolicy, taken_us: Mapping[str, int]) -> frozenset[str]:
    """The snapshots that the policy does not keep, and that Kopia keeps because weeks before them do not count."""
    right = kept_by(Retention(policy=policy, ends_at_latest=True), taken_us)
    return frozenset(kept_sharing_names(policy, taken_us).keys() - right.keys())


def left_after_each(policy: KeepPolicy, taken: Sequence[tuple[str, int]]) -> list[str]:
    """What Kopia leaves, the oldest first, where retention is applied after each snapshot, as `snapshot create` does.

    `taken` are the snapshots in the order in which they were taken, each with its time in µs.
    """
    left: dict[str, int] = {}
    for snapshot, at_us in taken:
        left[snapshot] = at_us
        left = {one: left[one] for one in kept_sharing_names(policy, left)}
    return in_order(left)[::-1]


def is_by_shared_names(guarantee: Guarantee, finding: Finding, seen: Seen) -> bool:
    """Whether shared names are why a snapshot that the policy keeps is not listed, or why one is that it does not keep:
    a week whose name is taken does not count as one of the latest, so an older one stays.

    Either happens when another one is taken: so it does if, counted as Kopia does, some snapshot of its source after it
    has done it.
    """
    if guarantee is not Guarantee.KEPT_AS_PROMISED or not isinstance(seen, ListingSeen) or seen.retention is None:
        return False
    if not seen.retention.ends_at_latest:
        return False
    policy = seen.retention.policy
    for wronged, differing in ((seen.ended_by_retention, wrongly_let_go), (seen.expired_and_listed, wrongly_kept)):
        one = next((one for one in wronged if one.operation == finding.expectation), None)
        if one is not None and one.taken_us is not None:
            taken_us = _taken_us(seen, one)
            return any(
                one.operation in differing(policy, _until(taken_us, newest_us))
                for newest_us in taken_us.values()
                if newest_us > one.taken_us
            )
    return False


def _taken_us(seen: ListingSeen, wronged: Expectation) -> Mapping[str, int]:
    """When the snapshots of its source were taken that are listed, also where their creation is still in doubt, and
    those that had to be."""
    found: dict[str, int] = {}
    for one in seen.expected.values():
        entry = seen.entries.complete.get(one.operation)
        if (one.client, one.source) != (wronged.client, wronged.source) or not (entry or one.state is State.LIVE):
            continue
        said = entry.particulars if entry is not None else None
        at_us = one.taken_us if one.taken_us is not None or said is None else said.began_us
        if at_us is not None:
            found[one.operation] = at_us
    return found


def _until(taken_us: Mapping[str, int], newest_us: int) -> Mapping[str, int]:
    return {one: at_us for one, at_us in taken_us.items() if at_us <= newest_us}
