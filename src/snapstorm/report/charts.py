"""Charts as SVG. They are drawn here, so that they need no script and follow the colours of the page.

Each has a name and a description for readers who can't see it; its figures are also given in words beside it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360, 170
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 10, 24
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    style: str
    """The CSS class that gives its style: `line-1` to `line-4`."""
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """From 0 to `end`, with a mark at each `step`."""

    end: float
    step: float

    def ticks(self) -> list[float]:
        return [self.step * number for number in range(math.floor(self.end / self.step + 1e-9) + 1)]


def scale_for(value_max: float, *, steps: int = 4, base: int = 10) -> Scale:
    """A scale with round steps that contains the greatest value. With base 1024, the steps are round in KiB and MiB."""
    if value_max <= 0:
        return Scale(1.0, 1.0)
    rough = value_max / steps
    unit = float(base) ** math.floor(math.log(rough, base)) if rough > 0 else 1.0
    factors = (1, 2, 5, 10) if base == 10 else (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    step = next(unit * factor for factor in factors if unit * factor >= rough * (1 - 1e-9))
    return Scale(step * math.ceil(value_max / step - 1e-9), step)


def time_scale(seconds: float) -> Scale:
    """A scale with round times, at most about six of them."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400):
        if seconds / step <= 6:
            return Scale(seconds, float(step))
    return Scale(seconds, 86_400.0 * math.ceil(seconds / 86_400 / 6))


def show_moment(seconds: float) -> str:
    """A time in a run: `4.5 s`, `2:30`, `1:02:30`."""
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass(frozen=True)
class Axes:
    """What both kinds of charts have in common."""

    title: str
    across: Scale
    upward: Scale
    show: Callable[[float], str]
    """Formats a value of the vertical axis."""
    shaded: Sequence[tuple[float, float]] = ()
    """Periods in which a fault was active."""
    show_across: Callable[[float], str] = show_moment

    def x(self, value: float) -> float:
        return LEFT + _PLOT_WIDTH * min(1.0, max(0.0, value / self.across.end))

    def y(self, value: float) -> float:
        return TOP + _PLOT_HEIGHT * (1 - min(1.0, max(0.0, value / self.upward.end)))

    def draw(self, content: Iterator[str]) -> str:
        """The whole chart."""
        parts = [*self._shades(), *self._grid(), *content]
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(self.title)}">'
            f"{''.join(parts)}</svg>"
        )

    def _shades(self) -> Iterator[str]:
        for began, ended in self.shaded:
            left, right = self.x(began), self.x(ended)
            yield _rectangle("shade", left, TOP, max(1, right - left), _PLOT_HEIGHT)

    def _grid(self) -> Iterator[str]:
        for value in self.upward.ticks():
            y, text = self.y(value), self.show(value) if value else "0"
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{html.escape(text)}</text>'
        for value in self.across.ticks():
            x = self.x(value)
            anchor = "end" if x > WIDTH - RIGHT - 12 else "middle"
            text = html.escape(self.show_across(value))
            yield f'<text x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="{anchor}">{text}</text>'


def line_chart(axes: Axes, lines: Sequence[Line]) -> str:
    """Lines over time. A single point is drawn as a point."""
    return axes.draw(part for line in lines for part in _line(axes, line))


def _line(axes: Axes, line: Line) -> Iterator[str]:
    points = [(axes.x(at), axes.y(value)) for at, value in line.points]
    if len(points) == 1:
        yield f'<circle class="{line.style} dot" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3"/>'
    elif points:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        yield f'<path class="{line.style}" d="M{path}"/>'


@dataclass(frozen=True)
class Stack:
    """One layer of stacked bars."""

    name: str
    style: str
    values: Sequence[float]


def stacked_bars(axes: Axes, bin_width: float, stacks: Sequence[Stack]) -> str:
    """Bars over time, each with several layers on top of each other."""
    return axes.draw(_bars(axes, bin_width, stacks))


def _bars(axes: Axes, bin_width: float, stacks: Sequence[Stack]) -> Iterator[str]:
    for number in range(len(stacks[0].values)):
        left, right = axes.x(number * bin_width), axes.x((number + 1) * bin_width)
        below = 0.0
        for stack in stacks:
            value = stack.values[number]
            if value > 0:
                y, bottom = axes.y(below + value), axes.y(below)
                yield _rectangle(stack.style, left, y, max(0.8, right - left - 0.6), max(0.6, bottom - y))
                below += value


def _rectangle(style: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
