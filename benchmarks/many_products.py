"""A market of many products: renamed copies of the synthetic ones, few busy ones and a long tail."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby

import msgspec

from volspike.simulation.market import MarketBreak, MarketEvent, MarketTick
from volspike.simulation.synthetic import PRODUCTS, SyntheticMarket

BASES = tuple(PRODUCTS)
TICKS_PER_S = 5.0  # of the synthetic market's two products together, over ten minutes


def product_names(count: int) -> tuple[str, ...]:
    """Return so many products, the busiest first; the synthetic market's own ones lead."""
    return (*BASES, *(f"P{rank:04d}-USD" for rank in range(len(BASES), count)))[:count]


class ManyProducts:
    """The synthetic market's orders dealt to copies of its products; that of rank k gets 1/k of the first.

    Each copy trades at the prices of the product it is a copy of, and counts its own trades.

    Parameters
    ----------
    seed : int
        Decides everything.
    count : int
        Number of products.
    per_second : float
        Ticks a second of all products together, over some minutes; the market has busy and calm times.
    """

    dialects = ("exchange",)
    one_frame_per_sweep = False
    truth = None

    def __init__(self, seed: int, count: int, per_second: float) -> None:
        self.products: Sequence[str] = product_names(count)
        self._seed = seed
        self._copies = {
            base: self.products[column :: len(BASES)] for column, base in enumerate(BASES[:count])
        }
        self._market = SyntheticMarket(seed, tuple(self._copies), activity=per_second / TICKS_PER_S)

    def events(self) -> Iterator[MarketEvent]:
        """Yield the market; every call yields the same events."""
        rng = random.Random(f"copies {self._seed}")
        weights = {base: _weights(len(BASES), len(names)) for base, names in self._copies.items()}
        trade_ids: dict[str, int] = {}
        for (stamp, base), fills in groupby(self._market.events(), _order):
            if not stamp:
                yield from (self._opened(event, trade_ids) for event in fills)
                continue
            (name,) = rng.choices(self._copies[base], cum_weights=weights[base])
            for fill in fills:
                trade_ids[name] += 1
                yield msgspec.structs.replace(fill, product=name, trade_id=trade_ids[name])

    def _opened(self, event: MarketEvent, trade_ids: dict[str, int]) -> MarketBreak:
        assert isinstance(event, MarketBreak)
        opening = tuple(
            msgspec.structs.replace(tick, product=name)
            for tick in event.opening
            for name in self._copies[tick.product]
        )
        trade_ids.update((tick.product, tick.trade_id) for tick in opening)
        return msgspec.structs.replace(event, opening=opening)


def _weights(step: int, count: int) -> list[float]:
    """Return the running sum of 1, 1/(1 + step), 1/(1 + 2 step) ..."""
    return list(accumulate(1 / (1 + step * index) for index in range(count)))


def _order(event: MarketEvent) -> tuple[int, str]:
    return (event.event_ns, event.product) if isinstance(event, MarketTick) else (0, "")
