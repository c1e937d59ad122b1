"""The charts of a run's page: latency, throughput, sizes, processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from snapstorm.ledger.samples import Quantity
from snapstorm.report.charts import Chart, Line, Stack, scale_for, show_moment, time_scale
from snapstorm.report.figures import ActionFigures, Figures, percentile
from snapstorm.report.run_data import RunData
from snapstorm.report.summary import show_bytes
from snapstorm.report.text import show_seconds
from snapstorm.runtime.clock import utc_of

MakeChart: TypeAlias = Callable[..., Chart]
"""A chart with what all charts of the run have in common."""

LONG_DAYS = 1_000.0
"""A run that has lived for longer is shown with months in place of days."""

CHARTS_MAX = 12
"""The maximum number of latency charts: of the kinds of actions with the greatest total time."""

_SIZES = {
    Quantity.REPOSITORY_BYTES: "Repository",
    Quantity.CACHE_BYTES: "Caches of server and clients",
    Quantity.LOG_BYTES: "Logs of the target",
}
_PROCESSES = {
    Quantity.SERVER_MEMORY_BYTES: "Memory of the server",
    Quantity.SERVER_OPEN_FILES: "Open files of the server",
    Quantity.OWN_MEMORY_BYTES: "Memory of snapstorm itself",
}


def charts_of(run: RunData, figures: Figures) -> dict[str, list[Chart]]:
    """The charts of each section; none where nothing was measured."""
    chart = partial(
        Chart,
        across=time_scale(max(run.seconds, 1e-3)),
        show_across=moment_words(run),
        shaded=[(began, ended) for _, began, ended in run.fault_spans],
    )
    measured = sorted((found for found in figures.actions if found.seconds), key=lambda found: -sum(found.seconds))
    return {
        "latency": [_latency(chart, figures.bin_seconds, found) for found in measured[:CHARTS_MAX]],
        "throughput": [_throughput(chart, run.seconds, figures)] if figures.has_ended else [],
        "sizes": [_quantity(chart, run, one, title) for one, title in _SIZES.items() if one in run.samples],
        "processes": [_quantity(chart, run, one, title) for one, title in _PROCESSES.items() if one in run.samples],
    }


def moment_words(run: RunData) -> Callable[[float], str]:
    """Formats a moment of the run: as virtual dates in virtual time."""
    lived = run.lived
    if lived is None:
        return show_moment
    is_long = lived.lived_days(run.seconds) > LONG_DAYS
    return lambda seconds: utc_of(lived.at_ns(seconds))[: len("2022-01") if is_long else len("2022-01-01")]


def short_bytes(value: float) -> str:
    """A size for the label of an axis, where space is short: `384 MiB`."""
    return show_bytes(round(value)).replace(" bytes", " B").replace(".0 ", " ")


def _latency(chart: MakeChart, bin_seconds: float, found: ActionFigures) -> Chart:
    lines = [
        Line(style, [((number + 0.5) * bin_seconds, value) for number, value in found.over_time(percent).items()])
        for style, percent in (("line-1", 50), ("line-2", 95))
    ]
    p50, p99 = (show_seconds(percentile(found.seconds, percent)) for percent in (50, 99))
    return chart(
        title=found.action,
        words=f"{found.total:,} operations, p50 {p50}, p99 {p99}",
        subject=f"latency of {found.action} over time",
        upward=scale_for(max(value for line in lines for _, value in line.points)),
        show=show_seconds,
        lines=lines,
    )


def _throughput(chart: MakeChart, seconds: float, figures: Figures) -> Chart:
    stacks = [
        Stack(f"bar-{outcome}", [count / figures.bin_seconds for count in counts])
        for outcome, counts in figures.ended_by_bin.items()
    ]
    highest = max(map(sum, zip(*(stack.values for stack in stacks), strict=True)))
    total = sum(map(sum, figures.ended_by_bin.values()))
    return chart(
        title="Operations each second",
        words=f"{total / max(seconds, 1e-3):.3g} each second over the run, {highest:.3g} at most",
        subject="operations that ended in each second",
        upward=scale_for(highest),
        show="{:g}".format,
        stacks=stacks,
        bar_width=figures.bin_seconds,
    )


def _quantity(chart: MakeChart, run: RunData, quantity: Quantity, title: str) -> Chart:
    is_bytes = quantity.endswith("-bytes")
    show = short_bytes if is_bytes else "{:,.0f}".format
    points = [(sample.at_seconds, sample.value) for sample in run.samples[quantity]]
    values = [value for _, value in points]
    return chart(
        title=title,
        words=f"{show(values[0])} at first, {show(values[-1])} at last, {show(max(values))} at most",
        subject=f"{title.lower()} over time",
        upward=scale_for(max(values), base=1024 if is_bytes else 10),
        show=show,
        lines=[Line("line-1", points)],
    )
