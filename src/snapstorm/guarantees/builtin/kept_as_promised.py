"""kept-as-promised: where the target was told a retention policy, no snapshot that the policy keeps is missing from a
listing or from the repository once others of its source were taken after it, and none that it does not keep is there
once the creation that drops it was acknowledged. Which ones it keeps follows from the dates that the target gives them.
A missing snapshot of which the policy can't be the reason is judged by acknowledged-stays-listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.expectations import Expectation, State
from snapstorm.model.expiry import of_source
from snapstorm.model.guarantees import OVERSTAYED, Finding, Guarantee
from snapstorm.model.retention import PeriodId, Retention, in_order, kept_by, utc_text
from snapstorm.model.seen import ListingSeen, StoredSeen

EVIDENCE = "retention.txt"
_NAMED_MAX = 5


class KeptAsPromised(JudgedGuarantee):
    """Judges what is listed, and what is stored."""

    id = Guarantee.KEPT_AS_PROMISED
    sentence = "A retention policy ends no snapshot that it keeps, and each one that it does not keep."

    @judges(ListingSeen)
    def judge_listing(self, seen: ListingSeen) -> Iterator[Finding]:
        if seen.retention is None:
            return
        for lost in seen.ended_by_retention:
            yield _lost(seen.retention, seen, lost)
        for left in seen.expired_and_listed:
            yield _left(seen.retention, seen, left)

    @judges(StoredSeen)
    def judge_stored(self, seen: StoredSeen) -> Iterator[Finding]:
        for one in seen.missing:
            if one.is_by_retention:
                words = f"snapshot {one.id}, which the policy keeps, is not among the manifests in the repository"
                yield Finding(words, one.id, one.operation, one.client)
        for one in seen.deleted:
            if one.is_by_retention:
                words = f"snapshot {one.id}, which the policy does not keep, is among the manifests in the repository"
                yield Finding(words, one.id, one.operation, one.client, fingerprint=OVERSTAYED)


def _lost(retention: Retention, seen: ListingSeen, lost: Expectation) -> Finding:
    compared = [found for found in of_source(seen.expected.values(), lost) if found.state is State.LIVE]
    kept = _kept(retention, compared)
    why = ", ".join(map(str, kept.get(lost.operation, ()))) or "its time is not known"
    return Finding(
        f"snapshot {lost.snapshot} of {lost.source}, taken at {_time(lost)}, is not listed, and the policy "
        f"({retention.policy}) keeps it as {why}, of {len(compared)} that are there or had to be"
        f"{_periods(compared, kept)}",
        lost.snapshot,
        lost.operation,
        lost.client,
        texts={EVIDENCE: _document(retention, seen, compared, kept)},
    )


def _left(retention: Retention, seen: ListingSeen, left: Expectation) -> Finding:
    compared = [
        found
        for name in seen.entries.complete
        if (found := seen.expected.get(name)) is not None and (found.client, found.source) == (left.client, left.source)
    ]
    kept = _kept(retention, compared)
    return Finding(
        f"snapshot {left.snapshot} of {left.source}, taken at {_time(left)}, is listed, and the policy "
        f"({retention.policy}) does not keep it: {left.deletion_operation}, which was acknowledged, had to end it, of "
        f"{len(compared)} that are listed{_periods(compared, kept)}",
        left.snapshot,
        left.operation,
        left.client,
        fingerprint=OVERSTAYED,
        texts={EVIDENCE: _document(retention, seen, compared, kept)},
    )


def _kept(retention: Retention, compared: list[Expectation]) -> Mapping[str, tuple[PeriodId, ...]]:
    return kept_by(retention, _times(compared))


def _times(compared: list[Expectation]) -> dict[str, int]:
    return {found.operation: found.taken_us for found in compared if found.taken_us is not None}


def _periods(compared: list[Expectation], kept: Mapping[str, tuple[PeriodId, ...]]) -> str:
    """The latest of the snapshots that were compared, each with what it is kept for."""
    by_operation = {found.operation: found for found in compared}
    named = [
        f"{by_operation[name].snapshot} ({', '.join(map(str, kept.get(name, ()))) or 'not kept'})"
        for name in in_order(_times(compared))[:_NAMED_MAX]
    ]
    return f"; the latest: {', '.join(named)}" if named else ""


def _document(
    retention: Retention, seen: ListingSeen, compared: list[Expectation], kept: Mapping[str, tuple[PeriodId, ...]]
) -> str:
    """What was compared, as a text: each snapshot with its time, whether it is listed, and why it is kept."""
    counted = "counted back from the latest snapshot" if retention.ends_at_latest else "of those that have a snapshot"
    lines = [f"policy: {retention.policy}; periods are {counted}; times are UTC, weeks those of ISO 8601", ""]
    by_operation = {found.operation: found for found in compared}
    untimed = [name for name in by_operation if by_operation[name].taken_us is None]
    for name in (*in_order(_times(compared)), *untimed):
        found = by_operation[name]
        is_listed = "listed    " if name in seen.entries.complete else "NOT LISTED"
        why = ", ".join(map(str, kept.get(name, ()))) or "not kept"
        lines.append(f"{_time(found)}  {is_listed}  {found.snapshot}  {name}  {why}")
    return "\n".join(lines) + "\n"


def _time(found: Expectation) -> str:
    return "an unknown time" if found.taken_us is None else utc_text(found.taken_us)
