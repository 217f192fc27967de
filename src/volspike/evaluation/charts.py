"""Where the lines and dots of a chart lie in its picture; the template writes them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

WIDTH, HEIGHT = 460.0, 340.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 448.0, 14.0, 292.0
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
DECADES = (1.0, 2.0, 5.0)
MOST_TICKS = 8


class Point(NamedTuple):
    """A point in data units."""

    x: float
    y: float


class Tick(NamedTuple):
    """A tick: where in the picture, and what is written there."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high`` in data units; with ``log`` logarithmic, and both above 0."""

    label: str
    low: float
    high: float
    log: bool = False
    marks: tuple[float, ...] = ()

    def share(self, value: float) -> float:
        """Return where a value lies on the axis, from 0 to 1; values beyond an end are put there."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low)

    def values(self) -> tuple[float, ...]:
        """Return the values that are marked."""
        return self.marks or (_decades if self.log else _even)(self.low, self.high)


@dataclass(frozen=True)
class Series:
    """One line of a chart: its name in the legend (empty: none), its class of style, its points.

    ``whiskers`` are vertical bars (x, low, high).
    """

    name: str
    style: str
    points: tuple[Point, ...]
    dots: bool = False
    whiskers: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart: what it shows in a sentence, its axes and its series; without series it says why."""

    title: str
    caption: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    empty: str = "no labelled row"

    def px(self, value: float) -> float:
        """Return the horizontal place of a value in the picture."""
        return round(LEFT + (RIGHT - LEFT) * self.x.share(value), 1)

    def py(self, value: float) -> float:
        """Return the vertical place of a value in the picture."""
        return round(BOTTOM - (BOTTOM - TOP) * self.y.share(value), 1)

    def path(self, series: Series) -> str:
        """Return the SVG path of a series."""
        return "M" + " L".join(f"{self.px(point.x)} {self.py(point.y)}" for point in series.points)

    def x_ticks(self) -> list[Tick]:
        """Return the ticks below."""
        return [Tick(self.px(value), f"{value:g}") for value in self.x.values()]

    def y_ticks(self) -> list[Tick]:
        """Return the ticks on the left."""
        return [Tick(self.py(value), f"{value:g}") for value in self.y.values()]


def axis_over(label: str, values: Iterable[float], log: bool = False) -> Axis:
    """Return an axis that all finite values fit on: from 0, or, logarithmic, from the lowest above 0."""
    known = [value for value in values if math.isfinite(value) and (value > 0.0 or not log)]
    if not known:
        return Axis(label, 0.1 if log else 0.0, 1.0, log)
    if log:
        return Axis(label, min(known) / 1.15, max(known) * 1.15, log)
    return Axis(label, min(0.0, *known), (max(known) or 1.0) * 1.06)


def _even(low: float, high: float) -> tuple[float, ...]:
    """Return about five round values from ``low`` to ``high``."""
    rough = (high - low) / 5.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in STEPS if unit * factor >= rough * 0.999)
    first, last = math.ceil(low / step), math.floor(high / step + 1e-9)
    return tuple(round(step * k, 12) for k in range(first, last + 1))


def _decades(low: float, high: float) -> tuple[float, ...]:
    """Return the values 1, 2 and 5 of each decade from ``low`` to ``high``; of many decades 1 alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = DECADES if len(DECADES) * math.log10(high / low) <= MOST_TICKS else DECADES[:1]
    values = [round(factor * 10.0**k, 12) for k in decades for factor in factors]
    return tuple(value for value in values if low <= value <= high)
