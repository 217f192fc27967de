"""The named, versioned and hashed sets of features.

A set fixes the order of the feature values everywhere: in a row, in a Parquet file, in a model. Its hash
covers what the numbers mean (formulas, units, transforms): a file or model made for other numbers is refused.
"""

from __future__ import annotations

from volspike.errors import FeatureError
from volspike.features.candle_columns import CANDLE
from volspike.features.columns import Column, FeatureSet
from volspike.features.regime.columns import REGIME
from volspike.features.trade_columns import TRADE

RETURN_MEAN = Column(
    name="midprice_return_mean",
    unit="1",
    feed_dependent=True,
    transform="asinh",
    formula="sum(q) / k; q = rint(2 * atanh((m1 - m0) / (m1 + m0)) * 2**60) / 2**60 between the k + 1 ticks",
    doc="Mean log return of the mid per tick.",
)
RETURN_STD = Column(
    name="midprice_return_std",
    unit="1",
    feed_dependent=True,
    transform="log",
    formula="sqrt((k * sum(q * q) - sum(q)**2) / (k * (k - 1)))",
    doc="Standard deviation (ddof 1) of the log return of the mid per tick.",
)
SPREAD = Column(
    name="bid_ask_spread",
    unit="quote currency",
    feed_dependent=False,
    transform="log",
    formula="sum(ask - bid) / ticks",
    doc="Mean difference of best ask and best bid.",
)
INTENSITY = Column(
    name="trade_intensity",
    unit="1/s",
    feed_dependent=True,
    transform="log",
    formula="ticks / 60",
    doc="Ticks per second.",
)
RELATIVE_SPREAD = Column(
    name="relative_spread",
    unit="1",
    feed_dependent=False,
    transform="log",
    formula="sum(rint(2 * (ask - bid) / (bid + ask) * 2**60) / 2**60) / ticks",
    doc="Mean spread as a fraction of the mid.",
)
RV_60S = Column(
    name="rv_60s",
    unit="bps",
    feed_dependent=False,
    transform="log",
    formula="1e4 * sqrt(sum(r_s**2 for s in c-59..c) + r_open**2); c = ceil(t) - 1; r on the 1 s grid",
    doc="Realised volatility of the last 60 closed seconds and the open one.",
)
IMBALANCE = Column(
    name="order_book_imbalance",
    unit="1",
    feed_dependent=True,
    transform="identity",
    formula="mean(rint((bid_size - ask_size) / (bid_size + ask_size) * 2**40) / 2**40) where both are known",
    doc="Mean imbalance of the sizes at the best prices, from -1 (all ask) to 1 (all bid).",
)

# Of the set ``flow``. "The ticks" are those of the window unless a span is named, such as (t - 5 s, t]. A
# pair is two consecutive ticks that are both inside; a tick is sized where both sizes are known, not both 0.
_Q = "q = the fixed-point log return of a pair, as in midprice_return_mean"
_W = "w = rint(2 * (ask - bid) / (bid + ask) * 2**60) / 2**60"
_OFI = (
    "sum(e) / sum(bid_size0 + bid_size1 + ask_size0 + ask_size1) over pairs of sized ticks in (t - {} s, t];"
    " e = [bid1 >= bid0] * bid_size1 - [bid1 <= bid0] * bid_size0"
    " - [ask1 <= ask0] * ask_size1 + [ask1 >= ask0] * ask_size0"
)
_MICRO = (
    "v = rint((ask - bid) / (bid + ask) * ((bid_size - ask_size) / (bid_size + ask_size)) * 2**60) / 2**60"
)


def _flow(name: str, unit: str, transform: str, formula: str, doc: str) -> Column:
    """Return a column whose scale depends on the feed, as that of most flow does."""
    return Column(name, unit, feed_dependent=True, transform=transform, formula=formula, doc=doc)


FLOW = (
    _flow(
        "inter_arrival_mean_s",
        "s",
        "log",
        "sum(g) / k / 1e9; g = event_ns1 - event_ns0 of the k pairs",
        doc="Mean time between ticks.",
    ),
    _flow(
        "inter_arrival_cv",
        "1",
        "identity",
        "sqrt((k * sum(g * g) - sum(g)**2) * (k / (k - 1))) / sum(g)",
        doc="Coefficient of variation (ddof 1) of the time between ticks: 1 if Poisson, more in bursts.",
    ),
    _flow(
        "sweep_frac",
        "1",
        "identity",
        "pairs of one stamp / k",
        doc="Share of ticks with the stamp of the tick before: one order's fills, or one batch of the feed.",
    ),
    _flow(
        "sweep_max_ticks",
        "ticks",
        "log",
        "max over the stamps of the ticks of one stamp",
        doc="Ticks of the largest sweep.",
    ),
    _flow(
        "intensity_5s",
        "1/s",
        "log",
        "ticks in (t - 5 s, t] / 5",
        doc="Ticks per second over 5 s.",
    ),
    _flow(
        "intensity_15s",
        "1/s",
        "log",
        "ticks in (t - 15 s, t] / 15",
        doc="Ticks per second over 15 s.",
    ),
    _flow(
        "intensity_5s_over_60s",
        "1",
        "identity",
        "12 * ticks in (t - 5 s, t] / ticks",
        doc="Intensity over 5 s as a multiple of that over 60 s, at most 12.",
    ),
    _flow(
        "intensity_15s_over_60s",
        "1",
        "identity",
        "4 * ticks in (t - 15 s, t] / ticks",
        doc="Intensity over 15 s as a multiple of that over 60 s, at most 4.",
    ),
    _flow(
        "mid_changes",
        "ticks",
        "identity",
        f"pairs with q != 0; {_Q}",
        doc="Ticks that moved the mid.",
    ),
    _flow(
        "mid_reversal_frac",
        "1",
        "identity",
        "moves whose sign is not that of the move before / (moves - 1)",
        doc="Share of the mid's moves that turn back; ticks that leave the mid alone are passed over.",
    ),
    _flow(
        "path_bps",
        "bps",
        "log",
        f"1e4 * sum(|q|); {_Q}",
        doc="Length of the mid's path.",
    ),
    _flow(
        "path_over_rv",
        "1",
        "log",
        "path_bps / rv_60s",
        doc="Length of the mid's path as a multiple of realised volatility; high where it goes to and fro.",
    ),
    _flow(
        "tick_return_max_bps",
        "bps",
        "log",
        f"1e4 * max(|q|); {_Q}",
        doc="Largest move of the mid from one tick to the next.",
    ),
    Column(
        "spread_last_bps",
        "bps",
        False,
        "log",
        f"1e4 * w of this tick; {_W}",
        doc="Spread over mid.",
    ),
    _flow(
        "spread_max_bps",
        "bps",
        "log",
        f"1e4 * max(w); {_W}",
        doc="Widest spread over mid.",
    ),
    _flow(
        "spread_z",
        "1",
        "identity",
        f"(n * w1 - sum(w)) / sqrt((n * sum(w * w) - sum(w)**2) * (n / (n - 1))) of n, w1 the last; {_W}",
        doc="Spread against the mean and standard deviation (ddof 1) of the spreads in the window.",
    ),
    _flow(
        "queue_imbalance_last",
        "1",
        "identity",
        "(bid_size - ask_size) / (bid_size + ask_size) of this tick where it is sized",
        doc="Imbalance of the sizes at the best prices, from -1 (all ask) to 1 (all bid).",
    ),
    _flow(
        "order_flow_imbalance_5s",
        "1",
        "identity",
        _OFI.format(5),
        doc="Order flow imbalance at the best prices over 5 s, as a fraction of the sizes seen: -1 to 1.",
    ),
    _flow(
        "order_flow_imbalance_60s",
        "1",
        "identity",
        _OFI.format(60),
        doc="The same over 60 s.",
    ),
    _flow(
        "microprice_last_bps",
        "bps",
        "asinh",
        f"1e4 * v of this tick where it is sized; {_MICRO}",
        doc="Mid weighted by the sizes on the other side, minus the mid, over the mid.",
    ),
    _flow(
        "microprice_mean_bps",
        "bps",
        "asinh",
        f"1e4 * sum(v) / sized ticks; {_MICRO}",
        doc="Mean of the same.",
    ),
    _flow(
        "depth_bid_frac",
        "1",
        "identity",
        "sum(bid_size) / sum(bid_size + ask_size) over the sized ticks",
        doc="Share of the bid in the summed sizes.",
    ),
    _flow(
        "depth_fade",
        "1",
        "log",
        "n * (bid_size + ask_size of this tick) / sum(bid_size + ask_size) over the n sized, this one too",
        doc="Size at the best prices now as a multiple of its mean: below 1 liquidity is leaving.",
    ),
)

_CORE = (RETURN_MEAN, RETURN_STD, SPREAD, INTENSITY, RELATIVE_SPREAD, RV_60S)

_SETS = {
    "core": FeatureSet("core", 1, _CORE),
    "core-sized": FeatureSet("core-sized", 1, (*_CORE, IMBALANCE)),
    "flow": FeatureSet("flow", 1, (*_CORE, IMBALANCE, *FLOW)),
    "trade": FeatureSet("trade", 1, (*_CORE, *TRADE), needs_trades=True),
    CANDLE.name: CANDLE,
    REGIME.name: REGIME,
}
TICK_SETS = tuple(name for name, made in _SETS.items() if made.source == "ticks")


def get_feature_set(name: str) -> FeatureSet:
    """Return a feature set by name.

    Parameters
    ----------
    name : str
        ``core``, ``core-sized``, ``flow`` or ``trade`` of ticks, ``regime`` of closed seconds, ``candle`` of
        candles.

    Returns
    -------
    FeatureSet
        The current version of the set.

    Raises
    ------
    FeatureError
        If no set has this name.

    Examples
    --------
    >>> get_feature_set("core").names[-1]
    'rv_60s'
    """
    try:
        return _SETS[name]
    except KeyError:
        known = ", ".join(_SETS)
        raise FeatureError(f"feature set {name!r}", "there is no such set", f"use one of: {known}") from None


def get_tick_set(name: str) -> FeatureSet:
    """Return a set that is made of the ticks of a window, which feature rows can be of.

    Raises
    ------
    FeatureError
        If no set has this name, or it is made of something else.
    """
    chosen = get_feature_set(name)
    if chosen.source != "ticks":
        raise FeatureError(
            f"feature set {name!r}",
            f"it is made of {chosen.source}, feature rows are made of ticks",
            f"use one of: {', '.join(TICK_SETS)}",
        )
    return chosen
