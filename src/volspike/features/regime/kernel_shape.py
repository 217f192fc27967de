"""Compiled parts of the regime values that look at each return of a short look-back, oldest first."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.features.fixedpoint import RV_BPS_SCALE
from volspike.features.regime.columns import QUARTICITY_LENGTH_S, RANGE_LENGTH_S, SHAPE_LENGTHS_S
from volspike.features.regime.definition import BPS, FOUR_LN2, HALF_PI, UNIT
from volspike.features.regime.returns import Returns
from volspike.jit import part

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]


class Shape(NamedTuple):
    """Sums over the returns r of a look-back.

    Attributes
    ----------
    total, down, fourth : float
        Of r**2, of r**2 where r < 0, of r**4.
    products, pairs : float, int
        Of |r| times |r of the second before|, and how many of them.
    largest, moved : int
        max |q|, and how many q are not 0.
    drift, low, high : float
        Of r, and the lowest and highest of its running sums.
    """

    total: float
    down: float
    fourth: float
    products: float
    pairs: int
    largest: int
    moved: int
    drift: float
    low: float
    high: float


@part
def rows_to(second: I8, count: int, limit: int) -> int:
    """Return how many of the first ``count`` rows end by a second."""
    below, above = 0, count
    while below < above:
        middle = (below + above) // 2
        if second[middle] <= limit:
            below = middle + 1
        else:
            above = middle
    return below


@part
def _shape(rows: Returns, start: int, stop: int) -> Shape:
    total = down = fourth = products = drift = low = high = before = 0.0
    pairs = largest = moved = 0
    for i in range(start, stop):
        q = rows.q[i]
        r = float(q) * UNIT
        square = r * r
        total += square
        fourth += square * square
        drift += r
        low, high = min(low, drift), max(high, drift)
        if q < 0:
            down += square
        if q != 0:
            moved += 1
        largest = max(largest, abs(q))
        if i > start and rows.second[i] == rows.second[i - 1] + 1:
            products += before * abs(r)
            pairs += 1
        before = abs(r)
    return Shape(total, down, fourth, products, pairs, largest, moved, drift, low, high)


@part
def _put_bipower(found: Shape, n: float, out: F8, at: int) -> None:
    if found.pairs == 0:
        out[at] = out[at + 1] = math.nan
        return
    pairs, share = float(found.pairs), 0.0
    if found.total != 0.0:
        share = 1.0 - HALF_PI * found.products * n / (pairs * found.total)
    out[at] = math.sqrt(HALF_PI * found.products * 60.0 / pairs) * BPS
    out[at + 1] = share if share > 0.0 else 0.0


@part
def _put_range(found: Shape, n: float, out: F8, at: int) -> None:
    reach = found.high - found.low
    out[at] = reach * math.sqrt(60.0 / (FOUR_LN2 * n)) * BPS
    out[at + 1] = reach / math.sqrt(FOUR_LN2 * found.total) if found.total != 0.0 else 0.0


@part
def _put_shape(found: Shape, n: float, out: F8, at: int) -> None:
    total, top = found.total, float(found.largest) * UNIT
    moves = total != 0.0
    _put_bipower(found, n, out, at)
    out[at + 2] = float(found.largest) * RV_BPS_SCALE
    out[at + 3] = top * top / total if moves else 0.0
    out[at + 4] = found.down / total if moves else 0.5
    out[at + 5] = float(found.moved) / n
    out[at + 6] = abs(found.drift) / math.sqrt(total) if moves else 0.0
    _put_range(found, n, out, at + 7)


@part
def put_shapes(rows: Returns, stop: int, last_second: int, out: F8, at: int) -> int:
    """Write the shapes, the longest range and the quarticity; return where the next value stands."""
    for length_s in SHAPE_LENGTHS_S:
        start = rows_to(rows.second, stop, last_second - length_s)
        out[at : at + 9] = math.nan
        if 2 * (stop - start) >= length_s:
            _put_shape(_shape(rows, start, stop), float(stop - start), out, at)
        at += 9
    start = rows_to(rows.second, stop, last_second - RANGE_LENGTH_S)
    out[at : at + 2] = math.nan
    if 2 * (stop - start) >= RANGE_LENGTH_S:
        _put_range(_shape(rows, start, stop), float(stop - start), out, at)
    start = rows_to(rows.second, stop, last_second - QUARTICITY_LENGTH_S)
    n = float(stop - start)
    out[at + 2] = math.nan
    if 2 * (stop - start) >= QUARTICITY_LENGTH_S:
        fourth = _shape(rows, start, stop).fourth
        out[at + 2] = math.sqrt(math.sqrt(fourth / (3.0 * n)) * 60.0) * BPS
    return at + 3
