"""Figures are what was measured, and charts are drawn to scale."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.runs import Bed, busy_bed

from snapstorm.model.actions import ACTIONS, Family, keys_of
from snapstorm.report.charts import Chart, Line, Stack, scale_for, time_scale
from snapstorm.report.figures import BINS_MAX, figures_of, percentile
from snapstorm.report.page_templates import render
from snapstorm.report.run_data import read_run
from snapstorm.report.text import printable, show_seconds
from snapstorm.report.timeline import FAMILY_WORDS

SIDES = ("x", "y", "width", "height")


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([1.0], 50, 1.0), ([1.0, 2.0], 50, 1.0), ([1.0, 2.0, 3.0], 50, 2.0), ([*map(float, range(1, 101))], 99, 99.0)],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], percent: float, expected: float) -> None:
    """The nearest rank: nothing between two values is made up."""
    assert percentile(values, percent) == expected


def test_every_operation_is_counted_once(tmp_path: Path) -> None:
    """By outcome and over time."""
    busy_bed(tmp_path / "bed").close()
    figures = figures_of(read_run(tmp_path / "bed", 1))
    assert sum(found.total for found in figures.actions) == 120
    assert sum(map(sum, figures.ended_by_bin.values())) == 120
    assert figures.bins <= BINS_MAX
    assert figures.actions[0].percentiles()["p50"] == 0.9


def test_what_did_nothing_has_no_latency(tmp_path: Path) -> None:
    """A no-op takes no time, and one that has not ended has none."""
    bed = Bed(tmp_path / "bed")
    run = bed.begin()
    bed.operation(run, 1, outcome="no_op", seconds=0.0)
    bed.operation(run, 2, outcome=None)
    bed.close()
    (found,) = figures_of(read_run(tmp_path / "bed", 1)).actions
    assert found.seconds == []
    assert found.percentiles() == {"p50": None, "p90": None, "p99": None, "max": None}
    assert (found.counts["no_op"], found.counts["open"]) == (1, 1)


@given(st.floats(min_value=1e-6, max_value=1e15), st.sampled_from([10, 1024]))
def test_a_scale_holds_the_greatest_value_and_few_ticks(value: float, base: int) -> None:
    """Whatever it is."""
    scale = scale_for(value, base=base)
    assert scale.end >= value * (1 - 1e-9)
    assert 2 <= len(scale.ticks()) <= 6


@given(st.floats(min_value=1e-3, max_value=1e8))
def test_a_time_axis_has_few_ticks(seconds: float) -> None:
    """From a millisecond to years."""
    assert 1 <= len(time_scale(seconds).ticks()) <= 8


def test_charts_are_well_formed_and_inside_their_frame() -> None:
    """A title with markup in it stays a title."""
    chart = partial(Chart, "a <b>", '& "c"', "d", time_scale(60), scale_for(3), lambda value: f"<{value}>")
    line = drawn(chart(shaded=[(10, 20)], lines=[Line("line-1", [(0, 0), (60, 3), (90, 9)]), Line("line-2", [(1, 1)])]))
    bars = drawn(chart(stacks=[Stack("bar-ok", [1, 2, 0]), Stack("bar-failed", [1, 1, 0])], bar_width=20))
    assert line.get("aria-label") == 'd: & "c"'
    assert [part.get("class") for part in line if part.get("class") != "grid"][-2:] == ["line-1", "line-2 dot"]
    assert [part.get("class") for part in bars if part.tag == "rect"] == ["bar-ok", "bar-failed"] * 2
    numbers = [float(part.get(name, 0)) for one in (line, bars) for part in one.iter() for name in SIDES]
    assert all(0 <= number <= 360 for number in numbers)


def drawn(chart: Chart) -> ET.Element:
    """The chart as it is on a page."""
    return ET.fromstring(render("drawing.html", chart=chart))


def test_every_action_has_a_colour_of_its_own_family() -> None:
    """One that is added must be put into a family."""
    known = [action for family in Family for action in keys_of(family)]
    assert sorted(known) == sorted(ACTIONS)
    assert list(Family) == list(FAMILY_WORDS)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.00 ms"),
        (0.0004, "0.40 ms"),
        (0.0123, "12.3 ms"),
        (1.534, "1.53 s"),
        (250, "4 min 10 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations_are_shown_for_people(seconds: float, words: str) -> None:
    """With as much as one can tell apart."""
    assert show_seconds(seconds) == words


def test_what_can_not_be_seen_is_escaped() -> None:
    """Controls, lone surrogates and what turns the direction of writing round; line feeds and tabs stay."""
    assert printable("a\x00\x1b\u202e\u2028\ud800\tb\nc") == "a\\x00\\x1b\\u202e\\u2028\\ud800\tb\nc"


def test_times_at_an_axis_do_not_run_into_each_other() -> None:
    chart = partial(Chart, "a", "b", "c", time_scale(60), scale_for(3), str)
    assert len(list(chart().marks_across())) == 7
    for show in (lambda _: "2022-01-01", lambda _: "2022-01-01 00:00"):
        marks = list(chart(show_across=show).marks_across())
        assert len(marks) >= 2
        widths = [len(mark.text) * 6.0 for mark in marks]
        gaps = [second.at - first.at for first, second in pairwise(marks)]
        assert all(gap > width for gap, width in zip(gaps, widths[1:], strict=True))
