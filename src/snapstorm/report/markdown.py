"""A run in a few lines of Markdown, for the summary of a job."""

from __future__ import annotations

from snapstorm.report.figures import figures_of
from snapstorm.report.kinds import by_kind
from snapstorm.report.page_templates import render
from snapstorm.report.run_data import RunData

VIOLATIONS_SHOWN_MAX = 10
ACTIONS_SHOWN_MAX = 12
MARKS = {"pass": "✅", "violated": "❌"}


def run_as_markdown(run: RunData) -> str:
    """The whole file."""
    rows = [found.row for found in run.violations]
    # Accepted violations are listed separately, even if they are of the same kind.
    kinds = by_kind(row for row in rows if not row.accepted_reason) + [[row] for row in rows if row.accepted_reason]
    return render(
        "run.md",
        run=run,
        marks=MARKS,
        figures=figures_of(run),
        kinds=sorted(kinds, key=lambda kind: kind[0].number),
        VIOLATIONS_SHOWN_MAX=VIOLATIONS_SHOWN_MAX,
        ACTIONS_SHOWN_MAX=ACTIONS_SHOWN_MAX,
    )
