"""Charts: what was measured, brought to scale. `templates/macros.html` draws them as SVG.

Each has a name and a description for readers who can't see it; its figures are also given in words beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

WIDTH, HEIGHT = 360, 170
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 10, 24
_CHARACTER_WIDTH_MAX = 6.5
"""Room for one character of a label at an axis, with its share of the gap between two labels."""
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


class Line(NamedTuple):
    """One line of a chart. A single point is drawn as a point."""

    style: str
    """The CSS class that gives its style: `line-1` or `line-2`."""
    points: Sequence[tuple[float, float]]


class Stack(NamedTuple):
    """One layer of stacked bars."""

    style: str
    values: Sequence[float]


class Rectangle(NamedTuple):
    """A bar, or a period in which a fault was active."""

    style: str
    x: float
    y: float
    width: float
    height: float


class Mark(NamedTuple):
    """A mark of an axis."""

    at: float
    text: str
    anchor: str = "end"


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
class Chart:
    """A chart, from values on its axes to places in its picture."""

    title: str
    words: str
    """Its figures."""
    subject: str
    """The title in full, for readers who can't see the chart."""
    across: Scale
    upward: Scale
    show: Callable[[float], str]
    """Formats a value of the vertical axis."""
    show_across: Callable[[float], str] = show_moment
    shaded: Sequence[tuple[float, float]] = ()
    """Periods in which a fault was active."""
    lines: Sequence[Line] = ()
    stacks: Sequence[Stack] = ()
    bar_width: float = 1.0

    width: ClassVar = WIDTH
    height: ClassVar = HEIGHT
    left: ClassVar = LEFT
    right: ClassVar = WIDTH - RIGHT

    def drawn_lines(self) -> Iterator[Line]:
        for line in self.lines:
            yield Line(line.style, [(round(self._x(at), 1), round(self._y(value), 1)) for at, value in line.points])

    def shades(self) -> Iterator[Rectangle]:
        for began, ended in self.shaded:
            left, right = self._x(began), self._x(ended)
            yield Rectangle("shade", round(left, 1), float(TOP), round(max(1.0, right - left), 1), float(_PLOT_HEIGHT))

    def bars(self) -> Iterator[Rectangle]:
        """Bars over time, each with its layers on top of each other."""
        for number, values in enumerate(zip(*(stack.values for stack in self.stacks), strict=True)):
            left, right = self._x(number * self.bar_width), self._x((number + 1) * self.bar_width)
            below = 0.0
            for stack, value in zip(self.stacks, values, strict=True):
                if value > 0:
                    y, bottom = self._y(below + value), self._y(below)
                    width, height = max(0.8, right - left - 0.6), max(0.6, bottom - y)
                    yield Rectangle(stack.style, *(round(one, 1) for one in (left, y, width, height)))
                    below += value

    def marks_upward(self) -> list[Mark]:
        return [Mark(round(self._y(value), 1), self.show(value) if value else "0") for value in self.upward.ticks()]

    def marks_across(self) -> Iterator[Mark]:
        """As many as there is room for."""
        values = self.across.ticks()
        room = self._x(self.across.step) - LEFT
        widest = max(len(self.show_across(value)) for value in values) * _CHARACTER_WIDTH_MAX
        for value in values[:: math.ceil(widest / room)]:
            x = self._x(value)
            yield Mark(round(x, 1), self.show_across(value), "end" if x > self.right - 12 else "middle")

    def _x(self, value: float) -> float:
        return LEFT + _PLOT_WIDTH * min(1.0, max(0.0, value / self.across.end))

    def _y(self, value: float) -> float:
        return TOP + _PLOT_HEIGHT * (1 - min(1.0, max(0.0, value / self.upward.end)))
