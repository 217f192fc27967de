"""The window features, defined once in plain Python integers.

This is the readable definition, the oracle that the compiled kernel is tested against bit for bit, and the
engine used where numba is not installed.

Window at tick t: the ticks with event time in (t - 60 s, t] since the last break, row-causal (of ticks that
share a stamp, those up to and including this one). A return lies between two consecutive ticks that are both
inside, so ``k = ticks - 1``. A value that is not defined is NaN, never 0.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.errors import FeatureError
from volspike.features.columns import FeatureSet
from volspike.features.fixedpoint import (
    IMBALANCE_SCALE,
    PRICE_LIMIT,
    RELATIVE_SCALE,
    RETURN_SCALE,
    imbalance_fixed,
    log_return_fixed,
    relative_spread_fixed,
    rv_bps,
    wide_to_float,
)
from volspike.features.sets import IMBALANCE
from volspike.features.snapshot import NO_IMBALANCE, WindowState, read_snapshot, write_snapshot

SECOND_NS = 1_000_000_000
WINDOW_S = 60
WINDOW_NS = WINDOW_S * SECOND_NS
MIN_TICKS = 10

Ints = npt.NDArray[np.int64]


def is_complete(event_ns: int, covered_since_ns: int) -> bool:
    """Tell whether the feed has been whole for the 60 s before a tick."""
    return event_ns - covered_since_ns >= WINDOW_NS


def is_ready(event_ns: int, covered_since_ns: int, ticks: int) -> bool:
    """Tell whether a window is complete and holds at least 10 ticks, so that a model may use it."""
    return is_complete(event_ns, covered_since_ns) and ticks >= MIN_TICKS


def last_closed_second(event_ns: int) -> int:
    """Return c = ceil(t) - 1: the last epoch second whose mid a tick at ``event_ns`` can't change any more.

    Examples
    --------
    >>> last_closed_second(5_000_000_000), last_closed_second(5_000_000_001)
    (4, 5)
    """
    return (event_ns - 1) // SECOND_NS


def return_mean(sum_q: int, k: int) -> float:
    """Return the mean log return per tick (a pure number) of ``k`` returns at scale ``2**60``.

    Examples
    --------
    >>> return_mean(3 * 2**50, 2)
    0.00146484375
    """
    return wide_to_float(sum_q) / RETURN_SCALE / float(k) if k >= 1 else math.nan


def return_std(sum_q: int, sum_qq: int, k: int) -> float:
    """Return the standard deviation (ddof 1, a pure number) of ``k`` returns at scale ``2**60``.

    The numerator ``k * sum(q*q) - sum(q)**2`` is an exact integer: nothing cancels and it is never negative.

    Examples
    --------
    >>> return_std(4 * 2**50, 10 * 2**100, 2)
    0.0013810679320049757
    """
    if k < 2:
        return math.nan
    numerator = wide_to_float(k * sum_qq - sum_q * sum_q)
    return math.sqrt(numerator / (float(k) * float(k - 1))) / RETURN_SCALE


def mean_spread(sum_spread: int, ticks: int, price_scale: float) -> float:
    """Return the mean spread in quote currency; ``price_scale`` is ``10**price_decimals``.

    Examples
    --------
    >>> mean_spread(3, 2, 100.0)
    0.015
    """
    return wide_to_float(sum_spread) / (float(ticks) * price_scale)


def mean_relative_spread(sum_relative: int, ticks: int) -> float:
    """Return the mean of spread / mid (a pure number).

    Examples
    --------
    >>> mean_relative_spread(3 * 2**50, 2)
    0.00146484375
    """
    return wide_to_float(sum_relative) / RELATIVE_SCALE / float(ticks)


def trade_intensity(ticks: int) -> float:
    """Return ticks per second over the 60 s.

    Examples
    --------
    >>> trade_intensity(3)
    0.05
    """
    return float(ticks) / 60.0


def mean_imbalance(sum_imbalance: int, sized: int) -> float:
    """Return the mean size imbalance, in [-1, 1], of the ``sized`` ticks that have both sizes.

    Examples
    --------
    >>> mean_imbalance(2**40, 2), mean_imbalance(0, 0)
    (0.5, nan)
    """
    return wide_to_float(sum_imbalance) / IMBALANCE_SCALE / float(sized) if sized else math.nan


class _Inside(NamedTuple):
    """What one tick adds to the sums."""

    event_ns: int
    q: int
    spread: int
    relative: int
    imbalance: int | None


class PureWindowEngine:
    """The window engine in plain Python.

    Parameters
    ----------
    feature_set : FeatureSet
        Which features, in which order.
    price_decimals : int
        Prices are integers in units of ``10**-price_decimals``.

    Examples
    --------
    Three ticks, one second apart, at mids 100, 101 and 100.5 with a spread of 0.02:

    >>> from volspike.features.sets import get_feature_set
    >>> engine = PureWindowEngine(get_feature_set("core"), price_decimals=2)
    >>> for second, mid in [(100, 10000), (101, 10100), (102, 10050)]:
    ...     row = engine.step(second * SECOND_NS, 100 * SECOND_NS, mid - 1, mid + 1, -1, -1)
    >>> [round(value, 6) for value in row[:3]]  # mean and std of the return per tick, spread
    [0.002494, 0.010545, 0.02]
    >>> [round(value, 6) for value in row[3:]]  # ticks a second, relative spread, rv_60s, ticks
    [0.05, 0.000199, 111.192788, 3.0]
    """

    compiled = False

    def __init__(self, feature_set: FeatureSet, price_decimals: int) -> None:
        self.feature_set = feature_set
        self.price_decimals = price_decimals
        self._sized = IMBALANCE in feature_set.columns
        self._price_scale = float(10**price_decimals)
        self._reset(event_ns=0, covered_since_ns=0)

    def _reset(self, event_ns: int, covered_since_ns: int) -> None:
        self._covered_since_ns = covered_since_ns
        self._inside: deque[_Inside] = deque()
        self._sum_q = self._sum_qq = self._sum_spread = self._sum_relative = self._sum_imbalance = 0
        self._ticks_sized = 0
        self._last_ns = event_ns
        self._last_mid_sum = 0
        self._closed = last_closed_second(event_ns)
        self._closed_mid_sum = 0
        self._second_returns: deque[int] = deque([0] * WINDOW_S)
        self._sum_seconds = 0

    def step(
        self, event_ns: int, covered_since_ns: int, bid: int, ask: int, bid_size: int, ask_size: int
    ) -> tuple[float, ...]:
        """Take one tick and return its feature values, then the number of ticks in the window.

        Parameters
        ----------
        event_ns, covered_since_ns : int
            Time of the tick, and since when the feed has been whole (ns). A change of the latter is a break.
        bid, ask : int
            Best prices in price units, ``0 < bid <= ask < 2**61``.
        bid_size, ask_size : int
            Best sizes in ``1e-8`` of the base currency; -1 where not sent.

        Returns
        -------
        tuple of float
            One value a column of the set (NaN where undefined), then the tick count.

        Raises
        ------
        FeatureError
            If event time goes back without a break, or the quote is not positive or crossed.
        """
        if not 0 < bid <= ask < PRICE_LIMIT:
            raise bad_quote(event_ns)
        if covered_since_ns != self._covered_since_ns or self._last_mid_sum == 0:
            self._reset(event_ns, covered_since_ns)
        elif event_ns < self._last_ns:
            raise out_of_order(event_ns)
        self._evict(event_ns - WINDOW_NS)
        self._close_seconds(event_ns)
        self._insert(event_ns, bid, ask, imbalance_fixed(bid_size, ask_size) if self._sized else None)
        return self._values()

    @property
    def covered_since_ns(self) -> int:
        """Return since when the feed has been whole (ns), as of the newest tick."""
        return self._covered_since_ns

    def batch(self, *columns: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Take many ticks, continuing the same state as ``step``.

        Parameters
        ----------
        *columns : ndarray of int64, shape (n,)
            The arguments of ``step``, which are the ``inputs`` of the set.

        Returns
        -------
        values : ndarray of float64, shape (n, columns)
            The feature values.
        ticks : ndarray of int32, shape (n,)
            The tick counts.

        Raises
        ------
        FeatureError
            As in ``step``; the ticks before the bad one have been taken.
        """
        return step_each(self.step, columns, len(self.feature_set.columns))

    def _evict(self, left_ns: int) -> None:
        inside = self._inside
        while inside and inside[0].event_ns <= left_ns:
            gone = inside.popleft()
            self._sum_spread -= gone.spread
            self._sum_relative -= gone.relative
            if gone.imbalance is not None:
                self._sum_imbalance -= gone.imbalance
                self._ticks_sized -= 1
            if inside:  # the return of the next tick began at the tick that left
                q = inside[0].q
                self._sum_q -= q
                self._sum_qq -= q * q

    def _close_seconds(self, event_ns: int) -> None:
        closed = last_closed_second(event_ns)
        if closed == self._closed:
            return
        # All ticks since the last closed second lie within the one after it; the later ones are flat.
        known = self._closed_mid_sum > 0
        self._push_second(log_return_fixed(self._closed_mid_sum, self._last_mid_sum) if known else 0)
        for _ in range(min(closed - self._closed - 1, WINDOW_S)):
            self._push_second(0)
        self._closed = closed
        self._closed_mid_sum = self._last_mid_sum

    def _push_second(self, q: int) -> None:
        oldest = self._second_returns.popleft()
        self._second_returns.append(q)
        self._sum_seconds += q * q - oldest * oldest

    def _insert(self, event_ns: int, bid: int, ask: int, imbalance: int | None) -> None:
        mid_sum = bid + ask
        q = log_return_fixed(self._last_mid_sum, mid_sum) if self._inside else 0
        row = _Inside(event_ns, q, ask - bid, relative_spread_fixed(bid, ask), imbalance)
        self._inside.append(row)
        self._sum_q += q
        self._sum_qq += q * q
        self._sum_spread += row.spread
        self._sum_relative += row.relative
        if imbalance is not None:
            self._sum_imbalance += imbalance
            self._ticks_sized += 1
        self._last_ns = event_ns
        self._last_mid_sum = mid_sum

    def _values(self) -> tuple[float, ...]:
        ticks = len(self._inside)
        q_open = log_return_fixed(self._closed_mid_sum, self._last_mid_sum) if self._closed_mid_sum else 0
        values = (
            return_mean(self._sum_q, ticks - 1),
            return_std(self._sum_q, self._sum_qq, ticks - 1),
            mean_spread(self._sum_spread, ticks, self._price_scale),
            trade_intensity(ticks),
            mean_relative_spread(self._sum_relative, ticks),
            rv_bps(self._sum_seconds + q_open * q_open),
        )
        if self._sized:
            return (*values, mean_imbalance(self._sum_imbalance, self._ticks_sized), float(ticks))
        return (*values, float(ticks))

    def snapshot(self) -> bytes:
        """Return the state as bytes, which either engine can restore."""
        rows = [
            (row.event_ns, row.q if i else 0, row.spread, row.relative, _or_absent(row.imbalance))
            for i, row in enumerate(self._inside)
        ]
        state = WindowState(
            covered_since_ns=self._covered_since_ns,
            last_ns=self._last_ns,
            last_mid_sum=self._last_mid_sum,
            closed=self._closed,
            closed_mid_sum=self._closed_mid_sum,
            second_returns=np.array(self._second_returns, np.int64),
            rows=np.array(rows, np.int64).reshape(-1, 5),
        )
        return write_snapshot(state, self.feature_set, self.price_decimals)

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        FeatureError
            If the bytes are torn, or made for another feature set or price scale.
        """
        state = read_snapshot(data, self.feature_set, self.price_decimals)
        self._reset(state.last_ns, state.covered_since_ns)
        self._last_mid_sum = state.last_mid_sum
        self._closed, self._closed_mid_sum = state.closed, state.closed_mid_sum
        self._second_returns = deque(state.second_returns.tolist())
        self._sum_seconds = state.sum_seconds
        for event_ns, q, spread, relative, imbalance in state.rows.tolist():
            self._inside.append(_Inside(event_ns, q, spread, relative, _or_none(imbalance)))
        self._sum_q, self._sum_qq = state.sum_q, state.sum_qq
        self._sum_spread, self._sum_relative = state.sum_spread, state.sum_relative
        self._sum_imbalance, self._ticks_sized = sum(state.imbalances), len(state.imbalances)


def step_each(
    step: Callable[..., tuple[float, ...]], columns: Sequence[Ints], width: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Take ticks one by one; return values of shape (n, width) and tick counts of shape (n,)."""
    rows = [step(*tick) for tick in zip(*(column.tolist() for column in columns), strict=True)]
    table = np.array(rows, np.float64).reshape(-1, width + 1)
    return np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int32)


def _or_absent(imbalance: int | None) -> int:
    return NO_IMBALANCE if imbalance is None else imbalance


def _or_none(imbalance: int) -> int | None:
    return None if imbalance == NO_IMBALANCE else imbalance


def bad_quote(event_ns: int) -> FeatureError:
    """Return the error for a quote that is not positive, crossed, or at or above ``2**61`` price units."""
    return FeatureError(f"tick at {event_ns} ns", "is no quote: 0 < bid <= ask < 2**61", "admit it first")


def out_of_order(event_ns: int) -> FeatureError:
    """Return the error for a tick that is older than the one before."""
    return FeatureError(f"tick at {event_ns} ns", "is older than the tick before", "admit it first")
