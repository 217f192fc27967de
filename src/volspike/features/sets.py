"""The named, versioned and hashed sets of features.

A set fixes the order of the feature values everywhere: in a row, in a Parquet file, in a model. Its hash
covers what the numbers mean (formulas, units, transforms): a file or model made for other numbers is refused.
"""

from __future__ import annotations

from volspike.errors import FeatureError
from volspike.features.candle_columns import CANDLE
from volspike.features.columns import Column, FeatureSet
from volspike.features.regime.columns import REGIME

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

_CORE = (RETURN_MEAN, RETURN_STD, SPREAD, INTENSITY, RELATIVE_SPREAD, RV_60S)

_SETS = {
    "core": FeatureSet("core", 1, _CORE),
    "core-sized": FeatureSet("core-sized", 1, (*_CORE, IMBALANCE)),
    CANDLE.name: CANDLE,
    REGIME.name: REGIME,
}
TICK_SETS = tuple(name for name, made in _SETS.items() if made.source == "ticks")


def get_feature_set(name: str) -> FeatureSet:
    """Return a feature set by name.

    Parameters
    ----------
    name : str
        ``core`` or ``core-sized`` of ticks, ``regime`` of closed seconds, ``candle`` of candles.

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
