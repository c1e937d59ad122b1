"""The charts and tables of a run's page: latency, throughput, sizes, the server's process, survival."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from snapstorm.ledger.history import AgeBucket, Survival, SurvivalTables
from snapstorm.ledger.samples import Quantity, Sample
from snapstorm.report.charts import Axes, Line, Stack, line_chart, scale_for, stacked_bars, time_scale
from snapstorm.report.figures import ActionFigures, Figures
from snapstorm.report.markup import Markup, element, escaped, joined, legend, table
from snapstorm.report.run_data import RunData
from snapstorm.report.summary import show_bytes
from snapstorm.report.testbed_history import headline, show_age
from snapstorm.report.text import show_seconds
from snapstorm.report.timeline import OUTCOME_WORDS, fault_stretches, outcome_words

CHARTS_MAX = 12
"""The maximum number of latency charts: of the kinds of actions with the greatest total time."""


def figure(title: str, words: str, chart: str) -> Markup:
    """A chart with its title, and its figures in words."""
    return element("figure", element("figcaption", escaped(title), element("span", escaped(words))), Markup(chart))


def short_bytes(value: float) -> str:
    """A size for the label of an axis, where space is short: `384 MiB`."""
    return show_bytes(round(value)).replace(" bytes", " B").replace(".0 ", " ")


def _axes(run: RunData, title: str, value_max: float, show: Callable[[float], str], base: int = 10) -> Axes:
    return Axes(
        title=title,
        across=time_scale(max(run.seconds, 1e-3)),
        upward=scale_for(value_max, base=base),
        show=show,
        shaded=fault_stretches(run),
    )


def latency_content(run: RunData, figures: Figures) -> Iterator[Markup]:
    """A chart for each kind of action, and a table with the percentiles of all."""
    measured = [found for found in figures.actions if found.seconds]
    if not measured:
        yield element("p", escaped("No operation has ended."))
        return
    yield legend(
        [("line k-snapshot", "half are quicker (p50)"), ("line dashed k-upkeep", "95 of 100 are quicker (p95)")]
    )
    drawn = sorted(measured, key=lambda found: -sum(found.seconds))[:CHARTS_MAX]
    yield element("div", joined(_latency(run, figures, found) for found in drawn), class_="charts")
    columns = ("action", *outcome_words(run).values(), "p50", "p90", "p99", "longest")
    yield element("h3", escaped("Percentiles"))
    yield table("outcomes and percentiles by action", columns, (_action_row(found) for found in figures.actions))


def _latency(run: RunData, figures: Figures, found: ActionFigures) -> Markup:
    lines = [
        Line(
            name,
            style,
            [((number + 0.5) * figures.bin_seconds, value) for number, value in found.over_time(percent).items()],
        )
        for name, style, percent in (("p50", "line-1", 50), ("p95", "line-2", 95))
    ]
    value_max = max(value for line in lines for _, value in line.points)
    percentiles = found.percentiles()
    words = f"{found.total:,} operations, p50 {_seconds(percentiles['p50'])}, p99 {_seconds(percentiles['p99'])}"
    axes = _axes(run, f"latency of {found.action} over time: {words}", value_max, show_seconds)
    return figure(found.action, words, line_chart(axes, lines))


def _seconds(value: float | None) -> str:
    return "" if value is None else show_seconds(value)


def _action_row(found: ActionFigures) -> list[Markup]:
    counts = [
        element("span", escaped(f"{count:,}"), class_="bad" if outcome == "failed" and count else False)
        for outcome, count in found.counts.items()
    ]
    return [escaped(found.action), *counts, *(escaped(_seconds(value)) for value in found.percentiles().values())]


def throughput_content(run: RunData, figures: Figures) -> Iterator[Markup]:
    """Operations that ended in each second."""
    total = sum(map(sum, figures.ended_by_bin.values()))
    if not total:
        yield element("p", escaped("No operation has ended."))
        return
    stacks = [
        Stack(OUTCOME_WORDS[outcome], f"bar-{outcome}", [count / figures.bin_seconds for count in counts])
        for outcome, counts in figures.ended_by_bin.items()
    ]
    highest = max(sum(values) for values in zip(*(stack.values for stack in stacks), strict=True))
    words = f"{total / max(run.seconds, 1e-3):.3g} each second over the run, {highest:.3g} at most"
    axes = _axes(run, f"operations that ended in each second: {words}", highest, lambda value: f"{value:g}")
    yield legend((f"k-{outcome}", OUTCOME_WORDS[outcome]) for outcome in figures.ended_by_bin)
    yield element(
        "div", figure("Operations each second", words, stacked_bars(axes, figures.bin_seconds, stacks)), class_="charts"
    )


_SIZES = (
    (Quantity.REPOSITORY_BYTES, "Repository"),
    (Quantity.CACHE_BYTES, "Caches of server and clients"),
    (Quantity.LOG_BYTES, "Logs of the target"),
)
_PROCESSES = (
    (Quantity.SERVER_MEMORY_BYTES, "Memory of the server"),
    (Quantity.SERVER_OPEN_FILES, "Open files of the server"),
    (Quantity.OWN_MEMORY_BYTES, "Memory of snapstorm itself"),
)


def sizes_content(run: RunData) -> Iterator[Markup]:
    """The sizes of repository, caches and logs while clients worked."""
    yield from _quantities(run, _SIZES, "None were measured: the run was too short, or they are not on this machine.")


def processes_content(run: RunData) -> Iterator[Markup]:
    """The resources of the server's process, and of our own."""
    yield from _quantities(run, _PROCESSES, "None were measured.")
    if Quantity.SERVER_MEMORY_BYTES not in run.samples:
        yield element(
            "p", escaped("The server is no process of its own on this machine, so that it can't be measured.")
        )


def _quantities(run: RunData, quantities: Sequence[tuple[Quantity, str]], without: str) -> Iterator[Markup]:
    drawn = [
        _quantity(run, quantity, title, run.samples[quantity])
        for quantity, title in quantities
        if quantity in run.samples
    ]
    yield element("div", joined(drawn), class_="charts") if drawn else element("p", escaped(without))


def _quantity(run: RunData, quantity: Quantity, title: str, samples: Sequence[Sample]) -> Markup:
    is_bytes = quantity.endswith("-bytes")
    values = [sample.value for sample in samples]

    def show(value: float) -> str:
        return short_bytes(value) if is_bytes else f"{value:,.0f}"

    words = f"{show(values[0])} at first, {show(values[-1])} at last, {show(max(values))} at most"
    axes = _axes(run, f"{title.lower()} over time: {words}", max(values), show, 1024 if is_bytes else 10)
    line = Line(title, "line-1", [(sample.at_seconds, sample.value) for sample in samples])
    return figure(title, words, line_chart(axes, [line]))


def survival_content(tables: SurvivalTables) -> Iterator[Markup]:
    """What the testbed has proven until now, by age and by version."""
    yield element("p", escaped(f"Over the testbed's whole life: {headline(tables)}."))
    if not tables.by_age:
        return
    columns = ("restored exactly when it was", "snapshots", "oldest", "last on")
    ages = ((_age_words(age), tables.by_age[age]) for age in AgeBucket if age in tables.by_age)
    yield table("survival by age", columns, (_survival_row(name, found) for name, found in ages))
    versions = sorted(tables.by_versions.items())
    pairs = ((f"{taken} → {restored}", found) for (taken, restored), found in versions)
    columns = ("taken by → restored by", "snapshots", "oldest", "last on")
    yield table("survival by version", columns, (_survival_row(name, found) for name, found in pairs))


def _age_words(age: AgeBucket) -> str:
    return age.value if age is AgeBucket.OLDER else f"{age.value} old"


def _survival_row(name: str, found: Survival) -> list[Markup]:
    return [escaped(text) for text in (name, f"{found.snapshots:,}", show_age(found.days_max), found.last_utc)]
