"""The trend of a testbed as an HTML file and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from snapstorm.model.actions import Family
from snapstorm.report.charts import Axes, Line, Scale, Stack, line_chart, scale_for, stacked_bars
from snapstorm.report.html import VERDICT_STYLES
from snapstorm.report.html_figures import figure, short_bytes, survival_content
from snapstorm.report.markdown import MARKS, plain, table_lines
from snapstorm.report.markup import Markup, element, escaped, joined, legend, page, section, table, tiles
from snapstorm.report.summary import show_bytes
from snapstorm.report.testbed_history import headline
from snapstorm.report.text import show_seconds
from snapstorm.report.timeline import FAMILY_WORDS
from snapstorm.report.trend import TIMED_FAMILIES, Trend, TrendRun
from snapstorm.version import __version__

RUNS_DRAWN_MAX = 200
RUNS_LISTED_MAX = 500
RUNS_IN_MARKDOWN_MAX = 20
_BARS = {"pass": "bar-pass", "violated": "bar-violated"}


def trend_page(trend: Trend) -> str:
    """The whole file. It has no script."""
    runs = trend.runs[-RUNS_DRAWN_MAX:]
    parts = [
        section("proved", "What it proved", *_proved(trend)),
        section("trend", "From run to run", *_charts(runs)),
        section("runs", "Runs", *_table(trend.runs)),
        section("survival", "Survival", *survival_content(trend.survival)),
    ]
    links = (("proved", "What it proved"), ("trend", "From run to run"), ("runs", "Runs"), ("survival", "Survival"))
    navigation = joined(element("li", element("a", escaped(title), href=f"#{anchor}")) for anchor, title in links)
    last = trend.runs[-1]
    words = f"the last of {len(trend.runs):,} run(s), on {last.began_utc}"
    verdict = element("strong", escaped(last.verdict.upper()))
    style = VERDICT_STYLES.get(last.verdict, "is-other")
    body = joined(
        [
            element("a", escaped("Skip to what was found"), href="#main", class_="skip"),
            element(
                "header",
                element("h1", escaped(f"snapstorm testbed {trend.testbed.name}")),
                element("div", verdict, element("span", escaped(words)), class_=f"verdict {style}"),
            ),
            element("nav", element("ul", navigation), aria_label="Parts of the page"),
            element("main", joined(parts), id="main", tabindex="-1"),
            element("footer", element("p", escaped(f"Made by snapstorm {__version__}. The file needs no network."))),
        ]
    )
    return page(f"snapstorm testbed {trend.testbed.name}: {len(trend.runs)} runs", body)


def _proved(trend: Trend) -> Iterator[Markup]:
    counts = _verdict_words(trend.runs)
    restores = sum(run.restores_verified for run in trend.runs)
    earlier = sum(run.restores_earlier_runs for run in trend.runs)
    yield tiles(
        [
            ("Runs", f"{len(trend.runs):,}", counts),
            ("Restores verified", f"{restores:,}", f"{earlier:,} of snapshots of earlier runs"),
            ("Bytes compared", show_bytes(sum(run.bytes_verified for run in trend.runs)), ""),
            ("Violations", f"{sum(run.violations for run in trend.runs):,}", ""),
            ("Time", show_seconds(sum(run.seconds for run in trend.runs)), ""),
        ]
    )
    yield element("p", escaped(f"{trend.testbed} ({trend.testbed_id}): {headline(trend.survival)}."))


def _verdict_words(runs: Sequence[TrendRun]) -> str:
    verdicts = [run.verdict for run in runs]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))


def _charts(runs: Sequence[TrendRun]) -> Iterator[Markup]:
    if len(runs) == RUNS_DRAWN_MAX:
        yield element("p", escaped(f"The latest {RUNS_DRAWN_MAX} runs."), class_="soft")
    yield legend(
        [
            ("is-pass", "passed"),
            ("is-violated", "violated"),
            ("is-other", "neither"),
            ("line k-snapshot", "half are quicker (p50)"),
            ("line dashed k-upkeep", "99 of 100 are quicker (p99)"),
        ]
    )
    drawn = [
        _bars(runs, "Restores verified", lambda run: run.restores_verified, lambda value: f"{value:,.0f}"),
        _bars(runs, "How long runs took", lambda run: run.seconds, show_seconds),
        *(_latency(runs, family) for family in TIMED_FAMILIES),
        _sizes(runs, "Repository after the run", lambda run: run.repository_bytes),
        _sizes(runs, "Memory of the server, at most", lambda run: run.server_memory_bytes_max),
    ]
    yield element("div", joined(one for one in drawn if one is not None), class_="charts")


def _axes(runs: Sequence[TrendRun], title: str, value_max: float, show: Callable[[float], str], base: int = 10) -> Axes:
    step = max(1, -(-len(runs) // 6))

    def show_run(position: float) -> str:
        number = int(position)
        return f"{runs[number].number}" if number < len(runs) else ""

    across = Scale(float(len(runs)), float(step))
    return Axes(title, across, scale_for(value_max, base=base), show, show_across=show_run)


def _bars(
    runs: Sequence[TrendRun], title: str, value_of: Callable[[TrendRun], float], show: Callable[[float], str]
) -> Markup:
    values = [value_of(run) for run in runs]
    words = f"{show(values[-1])} in the last run, {show(max(values))} at most"
    stacks = [
        Stack(style, style, [value if _style(run) == style else 0.0 for run, value in zip(runs, values, strict=True)])
        for style in ("bar-pass", "bar-violated", "bar-other")
    ]
    axes = _axes(runs, f"{title.lower()}, by run: {words}", max(values), show)
    return figure(title, words, stacked_bars(axes, 1.0, stacks))


def _style(run: TrendRun) -> str:
    return _BARS.get(run.verdict, "bar-other")


def _latency(runs: Sequence[TrendRun], family: Family) -> Markup | None:
    measured = [(number + 0.5, run.latency[family]) for number, run in enumerate(runs) if family in run.latency]
    if not measured:
        return None
    lines = [
        Line(name, style, [(at, values[which]) for at, values in measured])
        for which, (name, style) in enumerate((("p50", "line-1"), ("p99", "line-2")))
    ]
    p50, p99 = measured[-1][1]
    words = f"p50 {show_seconds(p50)}, p99 {show_seconds(p99)} in the last run"
    title = f"Latency: {FAMILY_WORDS[family]}"
    value_max = max(values[1] for _, values in measured)
    return figure(title, words, line_chart(_axes(runs, f"{title}, by run: {words}", value_max, show_seconds), lines))


def _sizes(runs: Sequence[TrendRun], title: str, size_of: Callable[[TrendRun], float | None]) -> Markup | None:
    points = [(number + 0.5, size) for number, run in enumerate(runs) if (size := size_of(run)) is not None]
    if not points:
        return None
    words = f"{short_bytes(points[0][1])} at first, {short_bytes(points[-1][1])} at last"
    axes = _axes(runs, f"{title.lower()}, by run: {words}", max(size for _, size in points), short_bytes, 1024)
    return figure(title, words, line_chart(axes, [Line(title, "line-1", points)]))


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


def _table(runs: Sequence[TrendRun]) -> Iterator[Markup]:
    shown = runs[-RUNS_LISTED_MAX:]
    if len(shown) < len(runs):
        yield element("p", escaped(f"The latest {len(shown)} of {len(runs):,}."), class_="soft")
    yield element("p", escaped("p50 and p99 are of restores."), class_="soft")
    yield table("runs", _COLUMNS, (_row(run) for run in reversed(shown)), numbers_from=4)


def _row(run: TrendRun) -> list[Markup]:
    style = {"pass": "good", "violated": "bad"}.get(run.verdict, "doubtful")
    first, began, verdict, *rest = _cells(run)
    return [escaped(first), escaped(began), element("span", escaped(verdict), class_=style), *map(escaped, rest)]


def _cells(run: TrendRun) -> list[str]:
    p50, p99 = run.latency.get("restore", (None, None))
    return [
        str(run.number),
        run.began_utc,
        run.verdict,
        run.target,
        f"{run.seconds:.1f}",
        f"{run.restores_verified:,}",
        f"{run.violations:,}",
        f"{run.faults:,}",
        "" if p50 is None else show_seconds(p50),
        "" if p99 is None else show_seconds(p99),
        "" if run.repository_bytes is None else show_bytes(round(run.repository_bytes)),
    ]


def trend_as_markdown(trend: Trend) -> str:
    """The latest runs, for the summary of a job."""
    return "\n".join(_lines(trend)) + "\n"


def _lines(trend: Trend) -> Iterator[str]:
    last = trend.runs[-1]
    yield f"## {MARKS.get(last.verdict, '⚠️')} snapstorm testbed {plain(trend.testbed.name)}"
    yield ""
    yield plain(f"{len(trend.runs):,} run(s): {_verdict_words(trend.runs)}. Proven: {headline(trend.survival)}.")
    yield ""
    shown = trend.runs[-RUNS_IN_MARKDOWN_MAX:]
    yield from table_lines(_COLUMNS, (_cells(run) for run in reversed(shown)))
    if len(shown) < len(trend.runs):
        yield ""
        yield f"The latest {len(shown)} of {len(trend.runs):,} runs."
