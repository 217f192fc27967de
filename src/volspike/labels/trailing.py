"""What is known of the past at a tick, beside the window features: tau, HAR lags and the trailing z."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from volspike.features.fixedpoint import RV_BPS_SCALE, wide_to_float
from volspike.features.grid import ClosedSecond, SecondGrid, mid_price
from volspike.features.regime.columns import REGIME_COLUMNS
from volspike.features.window import SECOND_NS, last_closed_second
from volspike.labels.tau import TauSpec, TrailingHistogram, bin_of_bps, bin_of_sum, tau_at

if TYPE_CHECKING:
    from volspike.features.regime.state import RegimeState  # compiled code, for those who want it

HAR_MINUTES = (1, 5, 30, 240)
RV_S = 60


def increment_bps(increment: float, mid: float) -> float:
    """Return one quote increment as a fraction of the mid, in basis points: the floor of RV in logs."""
    return increment / mid * 1e4


class Context(NamedTuple):
    """What a predictor needs beside the feature values; all of it known at the tick.

    Attributes
    ----------
    rv_bps : float
        Realised volatility of the last 60 closed seconds and the open one, in basis points.
    tau_bps : float
        The tau in force, in basis points.
    har_bps : tuple of 4 floats
        RV scaled to 60 s over the trailing 1, 5, 30 and 240 minutes; NaN where less than half is covered.
    z : float
        Trailing 24 h z-score of log RV; NaN before 60 covered seconds, or where log RV never moved.
    mid : float
        Mid price in quote currency.
    tau_adaptive : bool
        Whether tau is the trailing quantile (else the fixed tau: too little cover, or fixed mode).
    """

    rv_bps: float
    tau_bps: float
    har_bps: tuple[float, float, float, float]
    z: float
    mid: float
    tau_adaptive: bool = True


class _Known(NamedTuple):
    """What is the same for all ticks of a second; the last two are mean and deviation of the z-score."""

    tau_bps: float
    tau_adaptive: bool
    har_bps: tuple[float, float, float, float]
    z_mean: float
    z_deviation: float


class RollingSquares:
    """Exact sum of squared 1 s returns over the covered ones of the last ``length_s`` seconds."""

    __slots__ = ("count", "entries", "length_s", "sum_sq")

    def __init__(self, length_s: int) -> None:
        self.length_s = length_s
        self.entries: deque[tuple[int, int]] = deque()
        self.count = 0
        self.sum_sq = 0

    def add(self, second: int, q: int) -> None:
        """Add the return of a second, scale ``2**60``; seconds come in ascending order."""
        self.entries.append((second, q))
        self.count += 1
        self.sum_sq += q * q

    def evict(self, last_second: int) -> None:
        """Remove the seconds that lie ``length_s`` or more before ``last_second``."""
        entries = self.entries
        while entries and entries[0][0] <= last_second - self.length_s:
            q = entries.popleft()[1]
            self.count -= 1
            self.sum_sq -= q * q

    def rv_bps(self) -> float:
        """Return RV scaled to 60 s in basis points; NaN where less than half of the seconds is covered."""
        if 2 * self.count < self.length_s:
            return math.nan
        return math.sqrt(wide_to_float(self.sum_sq) * 60.0 / float(self.count)) * RV_BPS_SCALE


class TrailingState:
    """The online state behind ``Context`` for one product; all work is done once a second.

    Parameters
    ----------
    tau : TauSpec
        How tau is set.
    fixed_tau_bps : float
        The fixed tau of the model bundle, in basis points.
    price_decimals : int
        Mid sums are in units of ``10**-price_decimals``.
    increment : float
        Quote increment in quote currency; log RV is never below one increment / mid.
    regime : RegimeState, optional
        Empty; fed with the same closed seconds, for a model that has regime columns as inputs.

    Attributes
    ----------
    on_closed : callable or None
        Called with the seconds that a tick or mark closes: for who keeps them to restore from.
    """

    def __init__(
        self,
        tau: TauSpec,
        fixed_tau_bps: float,
        price_decimals: int,
        increment: float = 0.01,
        regime: RegimeState | None = None,
    ) -> None:
        self.on_closed: Callable[[Sequence[ClosedSecond]], None] | None = None
        self._tau = tau
        self._fixed_tau_bps = fixed_tau_bps
        self._price_decimals = price_decimals
        self._increment = increment
        self._grid = SecondGrid()
        self._histogram = TrailingHistogram()
        self._har = tuple(RollingSquares(60 * minutes) for minutes in HAR_MINUTES)
        self._recent: deque[int] = deque()  # returns of this run, up to 60
        self._recent_sum_sq = 0
        self._recent_run = -1
        self._second: int | None = None
        self._second_end_ns = 0  # beyond it another second is the newest closed one
        self._known: _Known | None = None
        self._regime = regime
        self._regime_values: tuple[float, ...] | None = None

    @property
    def run(self) -> int:
        """Return the number of the current covered stretch, from 0; -1 before the first event."""
        return self._grid.run

    @property
    def keeps_regime(self) -> bool:
        """Whether ``regime`` can be asked."""
        return self._regime is not None

    def on_tick(self, event_ns: int, mid_sum: int, covered_since_ns: int) -> Sequence[ClosedSecond]:
        """Take an accepted tick (ns, bid + ask in price units, ns); return the seconds it closes."""
        closed = self._grid.on_tick(event_ns, mid_sum, covered_since_ns)
        if closed or event_ns > self._second_end_ns:
            self._advance(closed, event_ns)
        return closed

    def on_mark(self, event_ns: int, covered_since_ns: int) -> Sequence[ClosedSecond]:
        """Take a mark (ns, ns); return the seconds it closes."""
        closed = self._grid.on_mark(event_ns, covered_since_ns)
        self._advance(closed, event_ns)
        return closed

    def context(self, rv_bps: float, mid: float) -> Context:
        """Return what is known at the tick taken last.

        Parameters
        ----------
        rv_bps : float
            ``rv_60s`` of that tick, basis points.
        mid : float
            Its mid in quote currency, as ``grid.mid_price`` gives it.
        """
        if self._known is None:
            self._known = self._summarise()
        tau_bps, adaptive, har_bps, z_mean, z_deviation = self._known
        floor_bps = self._increment / mid * 1e4
        index = bin_of_bps(floor_bps if rv_bps < floor_bps else rv_bps)
        return Context(rv_bps, tau_bps, har_bps, (float(index) - z_mean) / z_deviation, mid, adaptive)

    def regime(self) -> tuple[float, ...]:
        """Return a value for each of ``REGIME_COLUMNS`` at the tick taken last; all NaN before the first.

        Raises
        ------
        ValueError
            If this state was made without them.
        """
        if self._regime is None:
            raise ValueError("this state keeps no regime columns")
        if self._regime_values is None:
            if self._second is None:
                return (math.nan,) * len(REGIME_COLUMNS)
            self._regime_values = self._regime.values(self._second)
        return self._regime_values

    def _summarise(self) -> _Known:
        histogram = self._histogram
        index = histogram.quantile_bin(self._tau.quantile_ppm) if histogram.count else 0
        tau_bps, adaptive = tau_at(self._tau, histogram.count, index, self._fixed_tau_bps)
        one, five, thirty, four_hours = (window.rv_bps() for window in self._har)
        return _Known(tau_bps, adaptive, (one, five, thirty, four_hours), *histogram.z_scale())

    def _advance(self, closed: Sequence[ClosedSecond], event_ns: int) -> None:
        for second in closed:
            self._add(second)
        if closed and self.on_closed is not None:
            self.on_closed(closed)
        last = last_closed_second(event_ns)
        if self._second is None or last > self._second:
            self._second = last
            self._second_end_ns = (last + 1) * SECOND_NS
            self._known = self._regime_values = None
            self._evict(last)

    def _evict(self, last: int) -> None:
        self._histogram.evict(last)
        for window in self._har:
            window.evict(last)

    def _add(self, closed: ClosedSecond) -> None:
        if closed.run != self._recent_run:
            self._recent.clear()
            self._recent_sum_sq = 0
            self._recent_run = closed.run
        if self._regime is not None:
            self._regime.add(closed)
        if closed.q is None:
            return
        for window in self._har:
            window.add(closed.second, closed.q)
        self._recent.append(closed.q)
        self._recent_sum_sq += closed.q * closed.q
        if len(self._recent) > RV_S:
            oldest = self._recent.popleft()
            self._recent_sum_sq -= oldest * oldest
        if len(self._recent) == RV_S:
            floor_bps = increment_bps(self._increment, mid_price(closed.mid_sum, self._price_decimals))
            self._histogram.add(closed.second, max(bin_of_sum(self._recent_sum_sq), bin_of_bps(floor_bps)))

    def export_state(self) -> dict[str, Any]:
        """Return, as JSON-able values, what the closed seconds of the last 24 hours don't tell."""
        return {"grid": self._grid.export_state(), "second": self._second}

    def import_state(self, state: dict[str, Any], closed: Iterable[ClosedSecond]) -> None:
        """Take up a state, into a fresh object of the same settings.

        Parameters
        ----------
        state : dict
            What ``export_state`` gave.
        closed : iterable of ClosedSecond
            What ``on_closed`` was given before it, in order: of 24 hours and a minute, or more.
        """
        self._grid.import_state(state["grid"])
        for second in closed:
            self._add(second)
        self._second = state["second"]
        if self._second is not None:
            self._second_end_ns = (self._second + 1) * SECOND_NS
            self._evict(self._second)
