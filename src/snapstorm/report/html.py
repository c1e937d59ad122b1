"""A run as one self-contained HTML file: no network, no other file, and no script except for the timeline.

The templates are `report/templates/run.html` and those in `run/`; `report.timeline` has the data that the script reads.
The page's style and script are in `report/page/`.
"""

from __future__ import annotations

from typing import Any

from snapstorm.report.figures import figures_of
from snapstorm.report.page_templates import VERDICT_STYLES, render
from snapstorm.report.run_charts import charts_of
from snapstorm.report.run_data import EVIDENCE_TEXTS, RunData
from snapstorm.report.timeline import OUTCOME_WORDS, columns, detail_blocks, overview

SCRIPTED = frozenset({"timeline", "operations"})
"""Sections that the page's script fills."""


def run_page(run: RunData) -> str:
    """The whole file."""
    return render("run.html", **_values(run), is_live=False, columns=columns(run), detail_blocks=detail_blocks(run))


def live_page(run: RunData | None) -> str:
    """The page as it is served while a run goes on, with controls at the top. Its second script gets updates from the
    page's own address. Before there is a run, there are only the controls."""
    if run is None:
        return render("waiting.html")
    return render("run.html", **_values(run), is_live=True, columns=columns(run), detail_blocks=())


def live_parts(run: RunData) -> dict[str, str]:
    """The parts of the page that change while a run goes on, by anchor. Its script updates the other parts."""
    values = _values(run)
    sections = values["sections"].items()
    return {
        "head": render("run/head.html", **values),
        "parts": render("run/parts.html", **values),
        **{
            anchor: render("run/section.html", **values, anchor=anchor, title=title)
            for anchor, title in sections
            if anchor not in SCRIPTED
        },
    }


def _values(run: RunData) -> dict[str, Any]:
    figures = figures_of(run)
    return {
        "run": run,
        "sections": _sections(run),
        "figures": figures,
        "charts": charts_of(run, figures),
        "overview": overview(run),
        "outcome_words": OUTCOME_WORDS,
        "verdict_styles": VERDICT_STYLES,
        "evidence_texts": EVIDENCE_TEXTS,
    }


def _sections(run: RunData) -> dict[str, str]:
    """The title of each section by its anchor, in their order."""
    proved = "so far" if run.is_going_on else "" if run.has_ended else "up to then"
    return {
        "proved": f"What it {'has proved' if run.is_going_on else 'proved'} {proved}".rstrip(),
        "violations": f"Violations ({len(run.violations):,})" if run.violations else "Violations",
        "timeline": "Timeline",
        "operations": "Operations",
        "latency": "Latency",
        "throughput": "Throughput",
        "sizes": "Sizes",
        "server": "Processes",
        "faults": "Faults",
        "survival": "Survival",
        "about": "About this run",
    }
