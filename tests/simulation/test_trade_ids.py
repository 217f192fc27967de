"""Trade ids of synthetic markets: a later market never repeats those of an earlier one."""

from __future__ import annotations

from itertools import islice

from volspike.simulation.market import MarketTick
from volspike.simulation.synthetic import SyntheticMarket

SECOND_NS = 1_000_000_000
START_NS = 1_900_000_000 * SECOND_NS
COUNT = 5_000


def ids(start_ns: int, seed: int = 7) -> list[int]:
    market = SyntheticMarket(seed, ("BTC-USD",), start_ns)
    ticks = (event for event in market.events() if isinstance(event, MarketTick))
    return [tick.trade_id for tick in islice(ticks, COUNT)]


def test_a_later_market_has_higher_trade_ids() -> None:
    earlier, later = ids(START_NS), ids(START_NS + 10 * SECOND_NS)
    assert earlier == list(range(earlier[0], earlier[0] + COUNT))
    assert min(later) > max(earlier)
    assert min(ids(START_NS + 10 * SECOND_NS, seed=8)) > max(earlier)


def test_a_market_is_told_the_same_twice() -> None:
    assert ids(START_NS) == ids(START_NS)
