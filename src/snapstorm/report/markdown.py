"""A run in a few lines of Markdown, for the summary of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from snapstorm.report.figures import ActionFigures, figures_of
from snapstorm.report.kinds import by_kind
from snapstorm.report.run_data import FoundViolation, RunData
from snapstorm.report.summary import show_bytes
from snapstorm.report.testbed_history import headline
from snapstorm.report.text import printable, show_seconds

VIOLATIONS_SHOWN_MAX = 10
DETAIL_LENGTH_MAX = 400
ACTIONS_SHOWN_MAX = 12
_SPECIAL = re.compile(r"([\\`*_\[\]#|<>~&@$])")
MARKS = {"pass": "✅", "violated": "❌"}


def plain(text: object, length_max: int = DETAIL_LENGTH_MAX) -> str:
    """A text on one line, escaped so that nothing in it is markup, a link or a mention."""
    words = " ".join(printable(str(text)).split())
    shown = words if len(words) <= length_max else f"{words[:length_max]}…"
    return _SPECIAL.sub(r"\\\1", shown)


def table_lines(columns: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    """A table; all columns except the first are figures."""
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(plain(cell) for cell in row)} |"


def run_as_markdown(run: RunData) -> str:
    """The whole file."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: RunData) -> Iterator[str]:
    proven = run.proven
    yield f"## {MARKS.get(run.verdict, '⚠️')} snapstorm: {plain(run.headline)}"
    yield ""
    yield plain(run.reason)
    yield ""
    yield from _facts(
        ("target", f"{run.target_name}, mode {run.mode}"),
        ("run", f"{run.number} of {run.testbed}, {run.scenario}, seed {run.seed}, {run.began_utc}"),
        ("lasted", f"{show_seconds(run.seconds)}, {len(run.operations):,} operations by {len(run.clients)} client(s)"),
        ("restores verified", f"{proven.restores:,}, {show_bytes(proven.bytes_verified)}"),
        ("last sweep", f"{proven.sweep_verified:,} verified, {proven.sweep_left:,} left"),
        ("faults", f"{len(run.faults):,}" if run.faults else "none"),
        ("survival", headline(run.survival)),
    )
    yield from _violations(run.violations)
    yield ""
    yield from table_lines(
        ("action", "done", "failed", "unknown", "p50", "p99", "longest"),
        (_action(found) for found in figures_of(run).actions[:ACTIONS_SHOWN_MAX]),
    )


def _facts(*rows: tuple[str, str]) -> Iterator[str]:
    yield from (f"- **{name}**: {plain(value)}" for name, value in rows)


def _violations(violations: Sequence[FoundViolation]) -> Iterator[str]:
    if not violations:
        return
    yield ""
    yield f"### Violations ({len(violations):,})"
    yield ""
    rows = [found.row for found in violations]
    # Accepted violations are listed separately, even if they are of the same kind.
    kinds = by_kind(row for row in rows if not row.accepted_reason) + [[row] for row in rows if row.accepted_reason]
    kinds.sort(key=lambda kind: kind[0].number)
    for kind in kinds[:VIOLATIONS_SHOWN_MAX]:
        row = kind[0]
        known = f" (accepted: {plain(row.accepted_reason)})" if row.accepted_reason else ""
        often = f" ({len(kind)} times, first)" if len(kind) > 1 else ""
        yield f"{row.number}. **{plain(row.guarantee)}**{known}{often}: {plain(row.detail)}"
    if more := sum(map(len, kinds[VIOLATIONS_SHOWN_MAX:])):
        yield ""
        yield f"and {more:,} more"


def _action(found: ActionFigures) -> Sequence[object]:
    values = found.percentiles()
    times = ["" if (value := values[name]) is None else show_seconds(value) for name in ("p50", "p99", "max")]
    return (found.action, *(f"{found.counts[outcome]:,}" for outcome in ("ok", "failed", "unknown")), *times)
