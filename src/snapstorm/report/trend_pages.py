"""The trend of a testbed as an HTML file and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from snapstorm.model.actions import Family
from snapstorm.report.charts import Chart, Line, Scale, Stack, scale_for
from snapstorm.report.markdown import MARKS
from snapstorm.report.page_templates import VERDICT_STYLES, render
from snapstorm.report.run_charts import MakeChart, short_bytes
from snapstorm.report.summary import show_bytes
from snapstorm.report.text import show_seconds
from snapstorm.report.timeline import FAMILY_WORDS
from snapstorm.report.trend import TIMED_FAMILIES, Trend, TrendRun

RUNS_DRAWN_MAX = 200
RUNS_LISTED_MAX = 500
RUNS_IN_MARKDOWN_MAX = 20
_BARS = {"pass": "bar-pass", "violated": "bar-violated"}
_COLUMNS = (
    "run",
    "began",
    "verdict",
    "target",
    "seconds",
    "restores",
    "violations",
    "faults",
    "p50",
    "p99",
    "repository",
)


def trend_page(trend: Trend) -> str:
    """The whole file. It has no script."""
    return render(
        "trend.html",
        trend=trend,
        verdict_words=_verdict_words(trend.runs),
        verdict_styles=VERDICT_STYLES,
        charts=_charts(trend.runs[-RUNS_DRAWN_MAX:]),
        drawn_max=RUNS_DRAWN_MAX,
        columns=_COLUMNS,
        listed=[_cells(run) for run in reversed(trend.runs[-RUNS_LISTED_MAX:])],
    )


def _verdict_words(runs: Sequence[TrendRun]) -> str:
    verdicts = [run.verdict for run in runs]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))


def _charts(runs: Sequence[TrendRun]) -> list[Chart]:
    def show_run(position: float) -> str:
        number = int(position)
        return f"{runs[number].number}" if number < len(runs) else ""

    across = Scale(float(len(runs)), float(max(1, -(-len(runs) // 6))))
    chart = partial(Chart, across=across, show_across=show_run)
    charts = [
        _bars(chart, runs, "Restores verified", [float(run.proven.restores) for run in runs], "{:,.0f}".format),
        _bars(chart, runs, "How long runs took", [run.seconds for run in runs], show_seconds),
        *(_latency(chart, runs, family) for family in TIMED_FAMILIES),
        _sizes(chart, "Repository after the run", [run.repository_bytes for run in runs]),
        _sizes(chart, "Memory of the server, at most", [run.server_memory_bytes_max for run in runs]),
    ]
    return [one for one in charts if one is not None]


def _bars(
    chart: MakeChart, runs: Sequence[TrendRun], title: str, values: Sequence[float], show: Callable[[float], str]
) -> Chart:
    styles = [_BARS.get(run.verdict, "bar-other") for run in runs]
    return chart(
        title=title,
        words=f"{show(values[-1])} in the last run, {show(max(values))} at most",
        subject=f"{title.lower()}, by run",
        upward=scale_for(max(values)),
        show=show,
        stacks=[
            Stack(style, [value if found == style else 0.0 for found, value in zip(styles, values, strict=True)])
            for style in (*_BARS.values(), "bar-other")
        ],
    )


def _latency(chart: MakeChart, runs: Sequence[TrendRun], family: Family) -> Chart | None:
    measured = [(number + 0.5, *run.latency[family]) for number, run in enumerate(runs) if family in run.latency]
    if not measured:
        return None
    _, p50, p99 = measured[-1]
    title = f"Latency: {FAMILY_WORDS[family]}"
    return chart(
        title=title,
        words=f"p50 {show_seconds(p50)}, p99 {show_seconds(p99)} in the last run",
        subject=f"{title}, by run",
        upward=scale_for(max(p99 for _, _, p99 in measured)),
        show=show_seconds,
        lines=[
            Line("line-1", [(at, p50) for at, p50, _ in measured]),
            Line("line-2", [(at, p99) for at, _, p99 in measured]),
        ],
    )


def _sizes(chart: MakeChart, title: str, sizes: Sequence[float | None]) -> Chart | None:
    points = [(number + 0.5, size) for number, size in enumerate(sizes) if size is not None]
    if not points:
        return None
    return chart(
        title=title,
        words=f"{short_bytes(points[0][1])} at first, {short_bytes(points[-1][1])} at last",
        subject=f"{title.lower()}, by run",
        upward=scale_for(max(size for _, size in points), base=1024),
        show=short_bytes,
        lines=[Line("line-1", points)],
    )


def _cells(run: TrendRun) -> list[str]:
    return [
        str(run.number),
        run.began_utc,
        run.verdict,
        run.target,
        f"{run.seconds:.1f}",
        f"{run.proven.restores:,}",
        f"{run.violations:,}",
        f"{run.faults:,}",
        *(map(show_seconds, run.latency[Family.RESTORE]) if Family.RESTORE in run.latency else ("", "")),
        "" if run.repository_bytes is None else show_bytes(round(run.repository_bytes)),
    ]


def trend_as_markdown(trend: Trend) -> str:
    """The latest runs, for the summary of a job."""
    return render(
        "trend.md",
        trend=trend,
        marks=MARKS,
        verdict_words=_verdict_words(trend.runs),
        columns=_COLUMNS,
        listed=[_cells(run) for run in reversed(trend.runs[-RUNS_IN_MARKDOWN_MAX:])],
    )
