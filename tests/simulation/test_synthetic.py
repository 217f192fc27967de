"""The synthetic market: reproducible, plausible, and honest about its own future."""

from __future__ import annotations

import hashlib
from itertools import islice, pairwise

import msgspec
import numpy as np
import pytest

from volspike.errors import ConfigError
from volspike.simulation.arrivals import BRANCHING, HawkesArrivals
from volspike.simulation.hidden import BLOCK_S, HiddenPath
from volspike.simulation.market import MarketBreak
from volspike.simulation.synthetic import SyntheticMarket

SECOND = 1_000_000_000
START = 1_900_000_000 * SECOND
HOURS = 3


def digest(market, count=5_000):
    encoder = msgspec.msgpack.Encoder()
    hasher = hashlib.sha256()
    for event in islice(market.events(), count):
        hasher.update(encoder.encode(event))
    return hasher.hexdigest()


@pytest.fixture(scope="module")
def market():
    return SyntheticMarket(20, duration_s=HOURS * 3_600)


@pytest.fixture(scope="module")
def ticks(market):
    return [event for event in market.events() if not isinstance(event, MarketBreak)]


def of(ticks, product):
    return [tick for tick in ticks if tick.product == product]


def second_returns_bps(ticks):
    """Return the 1 s grid's first second and the returns of the mid between its points."""
    event_ns = np.array([tick.event_ns for tick in ticks])
    mid = np.array([tick.bid + tick.ask for tick in ticks])
    first, last = -(-int(event_ns[0]) // SECOND), int(event_ns[-1]) // SECOND
    at = np.searchsorted(event_ns, np.arange(first, last + 1) * SECOND, side="right") - 1
    return first, np.diff(np.log(mid[at])) * 1e4


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    first = SyntheticMarket(1)
    assert digest(first) == digest(first) == digest(SyntheticMarket(1))
    assert digest(SyntheticMarket(2)) != digest(first)


def test_asking_for_the_truth_does_not_change_the_market():
    asked = SyntheticMarket(1)
    asked.true_spike_probability("BTC-USD", START + 5_000 * SECOND, 8.0)
    assert digest(asked) == digest(SyntheticMarket(1))


def test_events_begin_with_stale_trades_and_come_in_order(market, ticks):
    start = next(market.events())
    assert (start.kind, start.resume_ns) == ("start", START)
    assert all(0 <= START - tick.event_ns <= 107 * SECOND for tick in start.opening)
    stamps = [tick.event_ns for tick in ticks]
    assert stamps == sorted(stamps)
    assert stamps[0] >= START
    assert stamps[-1] < START + HOURS * 3_600 * SECOND
    for stale in start.opening:
        ids = [tick.trade_id for tick in of(ticks, stale.product)]
        assert ids == list(range(stale.trade_id + 1, stale.trade_id + 1 + len(ids)))


def test_quotes_are_integers_never_crossed_and_trades_lie_within(ticks):
    for tick in ticks:
        assert tick.ask - tick.bid >= 1
        assert tick.bid <= tick.price <= tick.ask
        assert min(tick.size, tick.bid_size, tick.ask_size) >= 1
        assert all(type(v) is int for v in (tick.event_ns, tick.bid, tick.ask, tick.price, tick.size))


def test_the_rate_is_that_of_a_busy_ticker(ticks):
    assert 5 < len(ticks) / (HOURS * 3_600) < 12


def test_many_trades_share_a_stamp(ticks):
    stamps = [tick.event_ns for tick in of(ticks, "BTC-USD")]
    assert 0.25 < 1 - len(set(stamps)) / len(stamps) < 0.5


@pytest.mark.parametrize("product", ["BTC-USD", "ETH-USD"])
def test_quotes_stand_still_most_of_the_time_and_are_one_cent_apart(ticks, product):
    quotes = np.array([(tick.bid, tick.ask) for tick in of(ticks, product)])
    assert 0.6 < (np.diff(quotes.sum(axis=1)) == 0).mean() < 0.95
    assert 0.25 < (np.diff(quotes, axis=1) == 1).mean() < 0.95
    _, returns = second_returns_bps(of(ticks, product))
    assert 0.5 < (returns == 0).mean() < 0.9


def test_a_mid_that_stands_loses_no_variance():
    market = SyntheticMarket(4, ("BTC-USD",), duration_s=6 * 3_600)
    path = market._hidden
    blocks = [path.block(i) for i in range(6 * 360)]
    efficient = sum(float(np.sum(np.exp(2 * b.log_vol) + b.jump_bps**2)) for b in blocks)
    _, returns = second_returns_bps(
        [event for event in market.events() if not isinstance(event, MarketBreak)]
    )
    assert np.sum(returns**2) == pytest.approx(efficient, rel=0.1)


@pytest.mark.parametrize("product", ["BTC-USD", "ETH-USD"])
def test_volatility_has_a_calm_floor_and_turbulent_peaks(ticks, product):
    _, returns = second_returns_bps(of(ticks, product))
    rv = np.sqrt(np.convolve(returns**2, np.ones(60), "valid"))
    assert 1.5 < np.quantile(rv, 0.1) < 4.0
    assert np.quantile(rv, 0.98) > 15.0


def test_spread_rate_and_depth_follow_volatility(ticks):
    btc = of(ticks, "BTC-USD")
    first, returns = second_returns_bps(btc)
    minute = np.array([tick.event_ns // (60 * SECOND) for tick in btc]) - first // 60
    n = len(returns) // 60
    rv = np.sqrt((returns[: n * 60].reshape(n, 60) ** 2).sum(axis=1))
    inside = (minute >= 0) & (minute < n)
    count = np.bincount(minute[inside], minlength=n)

    def mean(field):
        values = np.array([field(tick) for tick in btc], dtype=float)[inside]
        return np.bincount(minute[inside], values, minlength=n) / np.maximum(count, 1)

    def rank_correlation(values):
        ranks = [np.argsort(np.argsort(x)) for x in (rv, values)]
        return np.corrcoef(*ranks)[0, 1]

    assert rank_correlation(mean(lambda tick: tick.ask - tick.bid)) > 0.6
    assert rank_correlation(count) > 0.4
    assert rank_correlation(mean(lambda tick: np.log(tick.bid_size))) < -0.4


def test_arrivals_cluster_and_keep_their_mean_rate():
    rng = np.random.default_rng(3)
    hawkes = HawkesArrivals()
    blocks = [hawkes.block(np.full(10, 5.0), rng) for _ in range(400)]
    assert all((np.diff(block) >= 0).all() for block in blocks)
    assert all(((block >= 0) & (block < 10)).all() for block in blocks)
    total = sum(map(len, blocks))
    assert total / 4_000 == pytest.approx(5.0, rel=0.1)
    per_second = np.concatenate([np.bincount(block.astype(int), minlength=10) for block in blocks])
    # A Poisson process has 1; a Hawkes process seen over long spans has (1 - branching) ** -2.
    assert 2.0 < per_second.var() / per_second.mean() < (1 - BRANCHING) ** -2
    gaps = np.concatenate([np.diff(block) for block in blocks])
    assert (gaps < 0.005).mean() > 5 * 0.005 * 5.0


def test_jumps_are_where_the_market_says(market, ticks):
    btc = of(ticks, "BTC-USD")
    stamps = np.array([tick.event_ns for tick in btc])
    mid = np.log(np.array([tick.bid + tick.ask for tick in btc]))
    jumps = market.jump_times_ns("BTC-USD", START, START + HOURS * 3_600 * SECOND)
    assert len(jumps) >= 5
    assert jumps == sorted(jumps)
    after = np.searchsorted(stamps, jumps)
    after = after[(after > 0) & (after < len(mid))]
    moves = np.abs(mid[after] - mid[after - 1]) * 1e4
    assert np.median(moves) > 10 * np.mean(np.abs(np.diff(mid)) * 1e4)
    middle = jumps[len(jumps) // 2]
    assert market.jump_times_ns("BTC-USD", middle, middle + 1) == [middle]


def test_regimes_change_where_the_hidden_path_does(market):
    end_ns = START + HOURS * 3_600 * SECOND
    changes = market.regime_changes(START, end_ns)
    assert {name for _, name in changes} == {"calm", "active", "turbulent"}
    assert [time for time, _ in changes] == sorted({time for time, _ in changes})
    halves = [
        market.regime_changes(a, b)
        for a, b in ((START, START + 1_000 * SECOND), (START + 1_000 * SECOND, end_ns))
    ]
    assert halves[0] + halves[1] == changes
    assert all(a[1] != b[1] for a, b in pairwise(changes))


def test_a_hidden_block_is_the_same_in_whatever_order_it_is_asked_for():
    forwards, backwards = HiddenPath(5, 2, START), HiddenPath(5, 2, START)
    later = backwards.block(30)
    blocks = [forwards.block(i) for i in range(31)]
    assert np.array_equal(blocks[30].log_vol, later.log_vol)
    assert np.array_equal(blocks[7].log_vol, backwards.block(7).log_vol)
    second = 7 * BLOCK_S + 3
    state = backwards.state_at(START + second * SECOND + 1)
    assert state.log_vol == tuple(blocks[7].log_vol[3])
    assert backwards.state_at(START + (second + 1) * SECOND) == state


def test_the_true_probability_is_calibrated_against_what_happens(market, ticks):
    outcomes, probabilities = [], []
    for product in market.products:
        first, returns = second_returns_bps(of(ticks, product))
        for i in range(120, len(returns) - 60, 97):
            probabilities.append(market.true_spike_probability(product, (first + i) * SECOND, 10.0))
            outcomes.append(np.sqrt((returns[i : i + 60] ** 2).sum()) >= 10.0)
    p, spike = np.array(probabilities), np.array(outcomes)
    assert 0.02 < spike.mean() < 0.5
    assert p.mean() == pytest.approx(spike.mean(), rel=0.2)
    # Minutes apart, so that what happens at one row says nothing of the next but through the hidden state.
    for here in (p < 0.1, (p >= 0.1) & (p < 0.6), p >= 0.6):
        assert here.sum() > 10
        surprise = (spike[here] - p[here]).sum() / np.sqrt((p[here] * (1 - p[here])).sum())
        assert abs(surprise) < 3.0


def test_the_true_probability_falls_with_tau_and_repeats(market):
    at = START + 2_000 * SECOND + 123
    values = [market.true_spike_probability("ETH-USD", at, tau) for tau in (0.0, 3.0, 8.0, 1e4)]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (1.0, 0.0)
    assert market.true_spike_probability("ETH-USD", at, 3.0) == values[1]


def test_an_unknown_product_is_refused():
    with pytest.raises(ConfigError, match="no such synthetic product"):
        SyntheticMarket(1, ("ABC-USD",))
    with pytest.raises(ConfigError, match="no such synthetic product"):
        SyntheticMarket(1, ())
