from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volspike.evaluation.charts import BOTTOM, LEFT, RIGHT, TOP, Axis, Chart, Point, Series, axis_over

FINITE = st.floats(1e-6, 1e6)


def test_points_lie_where_the_axes_say() -> None:
    line = Series("a", "s0", (Point(0.0, 0.0), Point(0.5, 5.0), Point(2.0, 10.0)))
    chart = Chart("t", "c", Axis("x", 0.0, 1.0), Axis("y", 0.0, 10.0), (line,))
    middle = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    # What lies beyond an end is drawn at the end.
    assert chart.path(line) == f"M{LEFT} {BOTTOM} L{middle[0]} {middle[1]} L{RIGHT} {TOP}"
    assert [tick.text for tick in chart.y_ticks()] == ["0", "2", "4", "6", "8", "10"]


def test_a_logarithmic_axis_has_equal_room_for_equal_ratios() -> None:
    axis = Axis("x", 1.0, 100.0, log=True)
    assert axis.share(10.0) == pytest.approx(0.5)
    assert axis.values() == (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    # So many that their labels would run into each other: the decades alone.
    assert Axis("x", 0.002, 100.0, log=True).values() == (0.01, 0.1, 1.0, 10.0, 100.0)


@given(st.lists(FINITE, min_size=1, max_size=20), st.booleans())
def test_an_axis_over_values_holds_them_and_has_marks(values: list[float], log: bool) -> None:
    axis = axis_over("x", [*values, math.nan, math.inf], log)
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values)
    assert all(axis.low <= mark <= axis.high for mark in axis.values())
    assert len(axis.values()) >= 2 or log
    shares = [axis.share(value) for value in sorted(values)]
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] <= shares[-1] <= 1.0


def test_an_axis_over_nothing_is_still_one() -> None:
    assert axis_over("x", []).values() == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert axis_over("x", [0.0]).high > 0.0
    assert axis_over("x", [0.0, -1.0], log=True).values()
