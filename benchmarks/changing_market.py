"""A market whose bursts change their nature at a known time: what was learned before is wrong behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from volspike.simulation.market import GroundTruth, MarketBreak, MarketEvent, MarketTick

I8 = npt.NDArray[np.int64]

NS = 1_000_000_000
EVERY_S = 2
CALM_BPS, WILD_BPS = 0.5, 1.6  # a second
# Mean length of a burst and of the calm before it, seconds.
SHORT_BURSTS, LONG_BURSTS = (12.0, 900.0), (150.0, 1_500.0)
LEAST_BURST_S = 5


class ChangingMarket:
    """One trade in two seconds; bursts last for seconds up to ``change_s``, then for minutes.

    So before the change a wild minute says that it is over, and behind it that it goes on.

    Parameters
    ----------
    seed : int
        Decides everything.
    start_ns : int
        Time of the beginning.
    length_s, change_s : int
        Length, and when it changes; a change beyond the length never comes, one at 0 has always been.

    Attributes
    ----------
    wild : bool[length_s]
        Which seconds are part of a burst.
    """

    products: Sequence[str] = ("BTC-USD",)
    dialects: Sequence[str] = ("exchange",)
    one_frame_per_sweep = False
    truth: GroundTruth | None = None

    def __init__(self, seed: int, start_ns: int, length_s: int, change_s: int) -> None:
        # Of each kind of draw a generator of its own, so that a longer market begins as a shorter one.
        bursts, levels, moves, times = (np.random.default_rng([seed, kind]) for kind in range(4))
        self._start_ns = start_ns
        self.wild = self._bursts(bursts, length_s, change_s)
        volatility_bps = np.where(self.wild, WILD_BPS, CALM_BPS) * np.exp(
            0.1 * levels.standard_normal(length_s)
        )
        log_price = np.cumsum(1e-4 * volatility_bps * moves.standard_normal(length_s))
        self._cents = np.rint(8_000_000 * np.exp(log_price)).astype(np.int64)
        self._at_ns = start_ns + np.arange(length_s) * NS + times.integers(1, NS, length_s)

    def events(self) -> Iterator[MarketEvent]:
        """Yield the market from its beginning."""
        yield MarketBreak("start", self._start_ns, (self._tick(0, self._start_ns - NS, 999),))
        for second in range(0, len(self._at_ns), EVERY_S):
            yield self._tick(second, int(self._at_ns[second]), 1_000 + second // EVERY_S)

    def quotes(self) -> tuple[I8, I8]:
        """Return times (ns) and bids (cents) of all ticks, int64[n] each; an ask is a cent above its bid."""
        return self._at_ns[::EVERY_S], self._cents[::EVERY_S]

    def _tick(self, number: int, at_ns: int, trade_id: int) -> MarketTick:
        cents = int(self._cents[number])
        return MarketTick("BTC-USD", at_ns, cents, cents + 1, cents, 2, "buy", 10**6, 10**8, 10**8, trade_id)

    @staticmethod
    def _bursts(rng: np.random.Generator, length_s: int, change_s: int) -> npt.NDArray[np.bool_]:
        wild = np.zeros(length_s, np.bool_)
        at = 0
        while at < length_s:
            burst_s, calm_s = SHORT_BURSTS if at < change_s else LONG_BURSTS
            begin = at + int(rng.exponential(calm_s)) + 1
            end = begin + int(rng.exponential(burst_s)) + LEAST_BURST_S
            if at < change_s < begin:
                at = change_s
                continue
            wild[begin:end] = True
            at = end
        return wild
