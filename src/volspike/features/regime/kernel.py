"""The compiled regime values: entry points for one second and for many.

The definition is ``definition.regime_values``; every float operation is in the same order, so the bits are
equal. Both entry points call the same code, on rows of ``returns.Returns`` that ``_extend`` has summed up.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike import jit
from volspike.features import fixedpoint, memory, wide
from volspike.features.fixedpoint import RV_BPS_SCALE
from volspike.features.regime import columns, definition, kernel_shape, returns, tables
from volspike.features.regime.columns import (
    DAY_S,
    FAST_LENGTHS_S,
    HALF_LIVES_BACK,
    HALF_LIVES_S,
    HOUR_S,
    JUMP_LENGTH_S,
    JUMP_MULTIPLE,
    MINUTE_S,
    MINUTES,
    RV_LENGTHS_S,
    USUAL_LENGTHS_S,
)
from volspike.features.regime.definition import BPS, PATH_HALF, PATH_SHIFT, UNIT
from volspike.features.regime.kernel_shape import put_shapes, rows_to
from volspike.features.regime.returns import BLOCK, Returns
from volspike.features.regime.tables import DAY_MINUTES, DAY_SINES, DECAY, DECAY_FROM, TOTAL_WEIGHTS
from volspike.features.wide import add_square3, difference_float3
from volspike.jit import direct, entry, keyed_by, part, sources_digest

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]

_SOURCES: tuple[ModuleType, ...] = (
    columns,
    definition,
    fixedpoint,
    jit,
    kernel_shape,
    memory,
    returns,
    tables,
    wide,
)
_FAST = len(RV_LENGTHS_S)  # where the fastest decay stands among the values


@part
def _extend(rows: Returns, done: int, count: int) -> None:
    """Sum up the rows from ``done`` to ``count``."""
    path, squares = rows.path, rows.squares
    for i in range(done, count):
        point = path[i] + ((rows.q[i] + PATH_HALF) >> PATH_SHIFT)
        path[i + 1] = point
        squares[i + 1, 0], squares[i + 1, 1], squares[i + 1, 2] = add_square3(
            squares[i, 0], squares[i, 1], squares[i, 2], rows.q[i]
        )
        block, first = (i + 1) // BLOCK, (i + 1) % BLOCK == 0
        # Differences, because the path is modulo 2**64.
        if first or point - rows.low[block] < 0:
            rows.low[block] = point
        if first or point - rows.high[block] > 0:
            rows.high[block] = point


@part
def _squares(rows: Returns, start: int, stop: int) -> float:
    low, high = rows.squares[start], rows.squares[stop]
    return difference_float3(high[0], high[1], high[2], low[0], low[1], low[2])


@part
def _rv(rows: Returns, stop: int, last_second: int, length_s: int) -> float:
    start = rows_to(rows.second, stop, last_second - length_s)
    n = stop - start
    if 2 * n < length_s:
        return math.nan
    return math.sqrt(_squares(rows, start, stop) * 60.0 / float(n)) * RV_BPS_SCALE


@part
def _ewma(rows: Returns, stop: int, last_second: int, which: int) -> float:
    start = rows_to(rows.second, stop, last_second - HALF_LIVES_BACK * HALF_LIVES_S[which])
    newest = DECAY_FROM[which] + last_second
    total = squares = 0.0
    for i in range(start, stop):
        weight, r = DECAY[newest - rows.second[i]], float(rows.q[i]) * UNIT
        total += weight
        squares += weight * (r * r)
    if 2.0 * total < TOTAL_WEIGHTS[which]:
        return math.nan
    return math.sqrt(squares / total * 60.0) * BPS


@part
def _vol_of_vol(rows: Returns, stop: int, last_second: int) -> float:
    each, known, total = np.empty(MINUTES), 0, 0.0
    for k in range(MINUTES):
        end = last_second - MINUTE_S * k
        value = _rv(rows, rows_to(rows.second, stop, end), end, MINUTE_S)
        if not math.isnan(value):
            each[known] = value
            total += value
            known += 1
    if 2 * known < MINUTES:
        return math.nan
    mean, spread = total / float(known), 0.0
    for k in range(known):
        spread += (each[k] - mean) * (each[k] - mean)
    return math.sqrt(spread / float(known - 1)) / mean if mean != 0.0 else 0.0


@part
def _since_jump(rows: Returns, stop: int, last_second: int) -> float:
    start = rows_to(rows.second, stop, last_second - JUMP_LENGTH_S)
    n = stop - start
    if 2 * n < JUMP_LENGTH_S:
        return math.nan
    limit = JUMP_MULTIPLE * math.sqrt(_squares(rows, start, stop) / float(n))
    for i in range(stop - 1, start - 1, -1):
        if float(abs(rows.q[i])) > limit:
            return float(last_second - rows.second[i] + 1)
    return float(JUMP_LENGTH_S)


@part
def _position(rows: Returns, stop: int, last_second: int) -> float:
    start = rows_to(rows.second, stop, last_second - DAY_S)
    if 2 * (stop - start) < DAY_S:
        return math.nan
    now, at, low, high = rows.path[stop], start, 0, 0
    while at <= stop:
        # Only a block that lies in the look-back as a whole stands for its points.
        if at % BLOCK == 0 and at + BLOCK - 1 <= stop:
            lowest, highest = rows.low[at // BLOCK], rows.high[at // BLOCK]
            at += BLOCK
        else:
            lowest = highest = rows.path[at]
            at += 1
        low, high = min(low, lowest - now), max(high, highest - now)
    return float(-low) / float(high - low) if high > low else 0.5


@part
def _share(value: float, usual: float) -> float:
    both = value + usual
    if math.isnan(both):
        return math.nan
    return value / both if both != 0.0 else 0.5


@part
def _put_volatilities(rows: Returns, stop: int, last_second: int, out: F8) -> int:
    for column in range(len(RV_LENGTHS_S)):
        out[column] = _rv(rows, stop, last_second, RV_LENGTHS_S[column])
    for which in range(len(HALF_LIVES_S)):
        out[_FAST + which] = _ewma(rows, stop, last_second, which)
    return _FAST + len(HALF_LIVES_S)


@part
def _put_against(rows: Returns, stop: int, last_second: int, out: F8, at: int) -> int:
    for length_s in USUAL_LENGTHS_S:
        usual = _rv(rows, stop, last_second, length_s)
        out[at] = _share(out[_FAST], usual)
        at += 1
        for each in FAST_LENGTHS_S:
            out[at] = _share(_rv(rows, stop, last_second, each), usual)
            at += 1
    return at


@part
def _put_time(last_second: int, out: F8, at: int) -> None:
    minute = last_second // MINUTE_S % DAY_MINUTES
    out[at] = DAY_SINES[minute]
    out[at + 1] = DAY_SINES[(minute + DAY_MINUTES // 4) % DAY_MINUTES]
    out[at + 2] = float(last_second % HOUR_S) / float(HOUR_S)


@part
def _evaluate(rows: Returns, count: int, last_second: int, out: F8) -> None:
    """Write the values at the end of a second, of the rows up to it alone."""
    stop = rows_to(rows.second, count, last_second)
    at = _put_volatilities(rows, stop, last_second, out)
    at = put_shapes(rows, stop, last_second, out, at)
    out[at] = _vol_of_vol(rows, stop, last_second)
    out[at + 1] = _since_jump(rows, stop, last_second)
    out[at + 2] = _position(rows, stop, last_second)
    at = _put_against(rows, stop, last_second, out, at + 3)
    for length_s in USUAL_LENGTHS_S:
        out[at] = float(stop - rows_to(rows.second, stop, last_second - length_s)) / float(length_s)
        at += 1
    _put_time(last_second, out, at)


_ROWS = "int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[::1], int64[::1]"


def _entry_points(digest: int) -> tuple[Any, Any]:
    @entry(f"void({_ROWS}, int64, int64, int64, float64[::1])")
    def evaluate(
        second: I8, q: I8, path: I8, squares: I8, low: I8, high: I8, done: int, count: int, last: int, out: F8
    ) -> None:
        keyed_by(digest)
        rows = Returns(second, q, path, squares, low, high)
        _extend(rows, done, count)
        _evaluate(rows, count, last, out)

    @entry(f"void({_ROWS}, int64[::1], float64[:, ::1])")
    def evaluate_each(second: I8, q: I8, path: I8, squares: I8, low: I8, high: I8, last: I8, out: F8) -> None:
        keyed_by(digest)
        rows = Returns(second, q, path, squares, low, high)
        _extend(rows, 0, len(q))
        for i in range(len(last)):
            _evaluate(rows, len(q), last[i], out[i])

    return direct(evaluate), direct(evaluate_each)


# evaluate(*rows, done, count, last_second, out): sums up the rows from ``done`` to ``count``, then writes the
# values at the end of ``last_second``; evaluate_each(*rows, last_second[n], out[n, columns]): all rows.
evaluate, evaluate_each = _entry_points(sources_digest(*_SOURCES))
