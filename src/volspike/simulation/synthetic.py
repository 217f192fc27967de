"""A synthetic market: seeded, endless, generated a few seconds at a time, and its truth is known.

The efficient log-price is a Brownian motion whose volatility follows the hidden state, with jumps. Trades
arrive as a Hawkes process whose rate grows with volatility; each arrival is one taker order that fills one or
more resting orders (a sweep: consecutive trade ids under one stamp). Quotes are post-trade. They stand until
the efficient price has gone some way from the mid, and then follow it; most often they are one cent apart.
Spread grows and depth shrinks with volatility.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from volspike.errors import ConfigError
from volspike.records import SIZE_DECIMALS
from volspike.simulation.arrivals import HawkesArrivals
from volspike.simulation.future import States, future_volatility_bps
from volspike.simulation.hidden import BLOCK_S, REGIMES, HiddenBlock, HiddenPath
from volspike.simulation.market import SECOND_NS, GroundTruth, MarketBreak, MarketEvent, MarketTick
from volspike.simulation.quoting import inertia_bps, order_rate, stress_of, wide_frac

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CENTS = 2
MAX_FILLS = 100
MAX_STALE_S = 107.0
PATHS = 2_000
# More than are ever traded in a second, at any speed: so a later market takes none of an earlier one's.
TRADE_IDS_PER_S = 10_000
ORIGIN_NS = 1_900_000_000 * SECOND_NS
_BLOCK_NS = BLOCK_S * SECOND_NS


class ProductSpec(NamedTuple):
    """What distinguishes one product's market: prices in USD, sizes in units of the base currency."""

    price: float
    orders_per_second: float
    wide_cents: float
    depth: float
    trade_size: float


PRODUCTS: Mapping[str, ProductSpec] = {
    "BTC-USD": ProductSpec(80_000.0, 1.7, 70.0, 0.30, 0.010),
    "ETH-USD": ProductSpec(3_200.0, 1.3, 2.5, 4.00, 0.150),
}


class SyntheticMarket:
    """The market of one seed.

    Parameters
    ----------
    seed : int
        Decides everything.
    products : sequence of str
        Out of ``PRODUCTS``.
    start_ns : int
        Time of the beginning; cut to a whole second.
    duration_s : int, optional
        Length; endless by default.
    activity : float
        Multiplies the arrival rates.

    Raises
    ------
    ConfigError
        If a product is unknown or none is given.
    """

    def __init__(
        self,
        seed: int,
        products: Sequence[str] = ("BTC-USD", "ETH-USD"),
        start_ns: int = ORIGIN_NS,
        duration_s: int | None = None,
        activity: float = 1.0,
    ) -> None:
        unknown = [product for product in products if product not in PRODUCTS]
        if unknown or not products:
            name = unknown[0] if unknown else "(none)"
            raise ConfigError(name, "no such synthetic product", f"use {' or '.join(PRODUCTS)}")
        self._seed = seed
        self._products = tuple(products)
        self._start_ns = start_ns // SECOND_NS * SECOND_NS
        self._duration_s = duration_s
        self._activity = activity
        self._hidden = HiddenPath(seed, len(self._products), self._start_ns)
        self._cached_future = lru_cache(maxsize=16)(self._simulate_future)

    @property
    def products(self) -> Sequence[str]:
        """Return the products in the order given."""
        return self._products

    @property
    def dialects(self) -> Sequence[str]:
        """Return both dialects."""
        return ("advanced", "exchange")

    @property
    def one_frame_per_sweep(self) -> bool:
        """Return True: Advanced Trade batches the matches of one order."""
        return True

    @property
    def truth(self) -> GroundTruth:
        """Return the market itself, which knows its hidden state."""
        return self

    def true_spike_probability(self, product: str, event_ns: int, tau_bps: float) -> float:
        """Return P(volatility over the 60 whole seconds after ``event_ns`` >= ``tau_bps``).

        The hidden state at ``event_ns`` is known, its future is not: 2,000 seeded paths of the generator
        itself, see ``future``.
        """
        volatility = self._cached_future(product, -(-event_ns // SECOND_NS))
        return 1.0 - float(np.searchsorted(volatility, tau_bps)) / len(volatility)

    def hidden_states(self, product: str, second: Integers) -> States:
        """Return the hidden state of a product at whole seconds (int64[n], since 1970)."""
        column = self._products.index(product)
        found = [self._hidden.state_at(int(each) * SECOND_NS) for each in second]
        return States(
            np.array([state.regime for state in found], np.int64),
            np.array([state.long_run for state in found]),
            np.array([state.log_vol[column] for state in found]),
            np.array([state.excitation[column] for state in found]),
        )

    def _simulate_future(self, product: str, second: int) -> Floats:
        states = self.hidden_states(product, np.array([second]))
        rng = np.random.default_rng([self._seed, 2, self._products.index(product), second])
        rate = PRODUCTS[product].orders_per_second * self._activity
        drawn: Floats = future_volatility_bps(states, rate, PATHS, rng)[0]
        return drawn

    def jump_times_ns(self, product: str, start_ns: int, end_ns: int) -> list[int]:
        """Return the times of the price jumps in ``[start_ns, end_ns)``."""
        column = self._products.index(product)
        times: list[int] = []
        for index, block in self._blocks(start_ns, end_ns):
            times.extend(int(t) for t in self._jump_ns(index, block, column))
        return [t for t in times if start_ns <= t < end_ns]

    def regime_changes(self, start_ns: int, end_ns: int) -> list[tuple[int, str]]:
        """Return (time, regime entered) for every change of regime in ``[start_ns, end_ns)``."""
        changes: list[tuple[int, str]] = []
        for index, block in self._blocks(start_ns, end_ns):
            before = self._hidden.block(index - 1).last.regime if index else 0
            for second in np.flatnonzero(np.diff(block.regime, prepend=before)):
                time_ns = self._start_ns + (index * BLOCK_S + int(second)) * SECOND_NS
                changes.append((time_ns, REGIMES[block.regime[second]]))
        return [change for change in changes if start_ns <= change[0] < end_ns]

    def events(self) -> Iterator[MarketEvent]:
        """Yield the market from its beginning; every call yields the same events."""
        start_s = self._start_ns // SECOND_NS
        tapes = [_ProductTape(self._seed, i, name, start_s) for i, name in enumerate(self._products)]
        stale = tuple(tape.stale_trade(self._start_ns) for tape in tapes)
        yield MarketBreak("start", self._start_ns, stale)
        for index in range(2**31):
            end_ns = self._start_ns + (index + 1) * _BLOCK_NS
            if self._duration_s is not None:
                end_ns = min(end_ns, self._start_ns + self._duration_s * SECOND_NS)
            ticks = heapq.merge(*(self._ticks(tape, index) for tape in tapes), key=_event_ns)
            yield from (tick for tick in ticks if tick.event_ns < end_ns)
            if end_ns < self._start_ns + (index + 1) * _BLOCK_NS:
                return

    def _ticks(self, tape: _ProductTape, index: int) -> Iterator[MarketTick]:
        block = self._hidden.block(index)
        start_ns = self._start_ns + index * _BLOCK_NS
        jump_s = (self._jump_ns(index, block, tape.column) - start_ns) / SECOND_NS
        jumps = block.jump_bps[:, tape.column]
        return tape.block(
            index, start_ns, block.log_vol[:, tape.column], jump_s, jumps[jumps != 0], self._activity
        )

    def _blocks(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, HiddenBlock]]:
        first = max(0, (start_ns - self._start_ns) // _BLOCK_NS)
        for index in range(first, -(-(end_ns - self._start_ns) // _BLOCK_NS)):
            yield index, self._hidden.block(index)

    def _jump_ns(self, index: int, block: HiddenBlock, column: int) -> Integers:
        seconds = np.flatnonzero(block.jump_bps[:, column])
        offsets = (block.jump_at[seconds, column] * SECOND_NS).astype(np.int64)
        times: Integers = self._start_ns + (index * BLOCK_S + seconds) * SECOND_NS + offsets
        return times


def _event_ns(tick: MarketTick) -> int:
    return tick.event_ns


class _ProductTape:
    """The trades of one product, block by block."""

    def __init__(self, seed: int, column: int, product: str, start_s: int) -> None:
        self.column = column
        self._seed = seed
        self._product = product
        self._spec = PRODUCTS[product]
        self._arrivals = HawkesArrivals()
        self._unspent_variance = 0.0
        self._unspent_jump = 0.0
        rng = np.random.default_rng([seed, 3, column])
        self._log_price = float(np.log(self._spec.price) + 0.05 * rng.standard_normal())
        self._mid_half_cents = _odd_half_cents(self._log_price)
        self._inertia_bps = 0.0
        self._trade_id = start_s * TRADE_IDS_PER_S + int(rng.integers(10**8, 10**9)) % TRADE_IDS_PER_S
        self._stale_s = float(rng.uniform(0.0, MAX_STALE_S))

    def stale_trade(self, start_ns: int) -> MarketTick:
        """Return the last trade before the market began."""
        cents = int(np.exp(self._log_price) * 10**CENTS)
        event_ns = start_ns - int(self._stale_s * SECOND_NS)
        depth, size = (int(x * 10**SIZE_DECIMALS) for x in (self._spec.depth, self._spec.trade_size))
        return MarketTick(
            self._product,
            event_ns,
            cents,
            cents + 1,
            cents,
            CENTS,
            "sell",
            size,
            depth,
            depth,
            self._trade_id,
        )

    def block(
        self, index: int, start_ns: int, log_vol: Floats, jump_s: Floats, jump_bps: Floats, activity: float
    ) -> Iterator[MarketTick]:
        """Yield the trades of the next block, in order."""
        rng = np.random.default_rng([self._seed, 1, self.column, index])
        stress = stress_of(log_vol)
        orders_s = self._arrivals.block(order_rate(stress, activity * self._spec.orders_per_second), rng)
        log_price = self._walk(orders_s, log_vol, jump_s, jump_bps, rng)
        fills = _fills(len(orders_s), rng)
        order = np.repeat(np.arange(len(orders_s)), fills)
        event_ns = start_ns + (orders_s * SECOND_NS).astype(np.int64)
        stress = stress[orders_s.astype(np.int64)]
        mid = self._follow(log_price, stress, rng)
        columns = self._quote(mid, stress, order, rng)
        ids = range(self._trade_id + 1, self._trade_id + 1 + len(order))
        self._trade_id += len(order)
        rows = zip(event_ns[order].tolist(), zip(*columns, strict=True), ids, strict=True)
        for t, (bid, ask, price, is_buy, size, bids, asks), i in rows:
            side = "buy" if is_buy else "sell"
            yield MarketTick(self._product, t, bid, ask, price, CENTS, side, size, bids, asks, i)

    def _walk(
        self, orders_s: Floats, log_vol: Floats, jump_s: Floats, jump_bps: Floats, rng: np.random.Generator
    ) -> Floats:
        """Return the efficient log-price at each order; what happens after the last one is carried over."""
        grid = np.arange(BLOCK_S + 1, dtype=np.float64)
        variance = np.concatenate([[0.0], np.cumsum(np.exp(2.0 * log_vol))])
        moved = np.concatenate([[0.0], np.cumsum(jump_bps)])
        spent = np.concatenate([[-self._unspent_variance], np.interp(orders_s, grid, variance)])
        jumped = np.concatenate([[-self._unspent_jump], moved[np.searchsorted(jump_s, orders_s)]])
        self._unspent_variance = float(variance[-1] - spent[-1])
        self._unspent_jump = float(moved[-1] - jumped[-1])
        steps = np.sqrt(np.diff(spent)) * rng.standard_normal(len(orders_s)) + np.diff(jumped)
        log_price: Floats = self._log_price + np.cumsum(steps) * 1e-4
        self._log_price = float(log_price[-1]) if len(log_price) else self._log_price
        return log_price

    def _follow(self, log_price: Floats, stress: Floats, rng: np.random.Generator) -> Integers:
        """Return the mid after each order in half cents, with the one before the block in front.

        The mid stands until the efficient price is further away than a distance drawn anew at every move. It
        lies between two cents, so that it can stand whatever the spread.
        """
        inertia = inertia_bps(stress) * rng.standard_exponential(len(stress))
        mids = [self._mid_half_cents]
        stands_at = float(np.log(self._mid_half_cents / (2 * 10**CENTS)))
        for price, fresh_bps in zip(log_price.tolist(), inertia.tolist(), strict=True):
            if abs(price - stands_at) * 1e4 >= self._inertia_bps:
                self._mid_half_cents, self._inertia_bps = _odd_half_cents(price), fresh_bps
                stands_at = price
            mids.append(self._mid_half_cents)
        return np.array(mids, np.int64)

    def _quote(
        self, mid: Integers, stress: Floats, order: Integers, rng: np.random.Generator
    ) -> tuple[list[int], ...]:
        """Return bid, ask, price (cents), buy, trade size, bid size, ask size of each fill."""
        n, moved = len(order), np.diff(mid)
        wide = rng.random(len(stress)) < wide_frac(stress)
        half = np.floor(self._spec.wide_cents / 2.0 * stress * rng.exponential(1.0, len(stress)))
        spread = np.where(wide, 1 + 2 * half, 1)
        # A move is a taker's work: of a sweep that moves the quotes, all fills but the last are a cent short.
        buy = np.where(moved == 0, rng.random(len(stress)) < 0.5, moved > 0)
        left = np.searchsorted(order, order, side="right") - 1 - np.arange(n)
        bid = ((mid[1:] - spread) // 2)[order] - np.sign(moved)[order] * left
        ask = bid + spread[order]
        at_touch = rng.random(n) < 0.55
        inside = 1 + np.floor(rng.random(n) * np.maximum(spread[order] - 1, 1))
        into = np.where(at_touch | (spread[order] < 2), 0, inside)
        price = np.where(buy[order], ask - into, bid + into)
        sizes = (
            _log_normal(self._spec.trade_size * stress[order] ** 0.3, 1.6, rng),
            _log_normal(self._spec.depth * stress[order] ** -0.5, 1.0, rng),
            _log_normal(self._spec.depth * stress[order] ** -0.5, 1.0, rng),
        )
        columns = (bid, ask, price, buy[order], *sizes)
        return tuple(column.astype(np.int64).tolist() for column in columns)


def _odd_half_cents(log_price: float) -> int:
    """Return twice a price in cents as an odd number: the mid of two prices that are an odd number apart."""
    return 2 * int(np.exp(log_price) * 10**CENTS) + 1


def _fills(orders: int, rng: np.random.Generator) -> Integers:
    """Return how many resting orders each order fills: mostly one, sometimes a long sweep."""
    sweeps = rng.random(orders) < 0.18
    return np.where(sweeps, np.minimum(1 + rng.geometric(0.3, orders), MAX_FILLS), 1)


def _log_normal(median: Floats, spread: float, rng: np.random.Generator) -> Floats:
    """Return sizes in units of 1e-8, at least one unit."""
    units = median * np.exp(spread * rng.standard_normal(len(median))) * 10**SIZE_DECIMALS
    sizes: Floats = np.maximum(units, 1.0)
    return sizes
