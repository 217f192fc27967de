"""The columns of the set ``trade``: what the trades say that a ticker brings along with its quotes."""

from __future__ import annotations

from volspike.features.columns import Column

# "The ticks" are those of (t - 60 s, t] unless a span is named. A tick is priced where its trade has a price
# in 0 < p < 2**61, sized where its trade has a size above 0. Pairs and triples are of ticks that follow each
# other, all of them inside.


def _trade(name: str, unit: str, transform: str, formula: str, doc: str) -> Column:
    """Return a column whose scale depends on the feed: one sends no sizes, and both batch trades."""
    return Column(name, unit, feed_dependent=True, transform=transform, formula=formula, doc=doc)


TRADE = (
    _trade(
        "volume_5s",
        "base currency",
        "log",
        "sum(size) over the sized ticks in (t - 5 s, t]",
        doc="Volume over 5 s, of the trades that the feed showed with a size.",
    ),
    _trade(
        "volume_60s",
        "base currency",
        "log",
        "sum(size) over the sized ticks",
        doc="The same over 60 s.",
    ),
    _trade(
        "volume_5s_over_60s",
        "1",
        "identity",
        "12 * (volume_5s / volume_60s)",
        doc="Volume a second over 5 s as a multiple of that over 60 s, at most 12.",
    ),
    _trade(
        "notional_60s",
        "quote currency",
        "log",
        "sum(price * size) over the ticks both priced and sized",
        doc="Value of that volume.",
    ),
    _trade(
        "volume_imbalance_60s",
        "1",
        "identity",
        "(above - below) / (above + below), each the sum(size) of the second ticks of pairs, priced and"
        " sized, whose price lies above, or below, the mid of the first tick",
        doc="Share of volume bought less that sold, from -1 to 1, by the quote rule.",
    ),
    _trade(
        "largest_trade_frac",
        "1",
        "identity",
        "max(size) / sum(size) over the sized ticks",
        doc="Share of the largest trade in the volume.",
    ),
    _trade(
        "roll_spread_bps",
        "bps",
        "log",
        "1e4 * 2 * sqrt(max(-c, 0)) / mid of this tick; c = sum((p2 - p1) * (p1 - p0)) / m over the m triples"
        " of priced ticks; 0 where c >= 0",
        doc="Spread that the turning back of trade prices implies; 0 where they do not turn back.",
    ),
    _trade(
        "amihud_bps_per_million",
        "bps per million",
        "log",
        "1e4 * sum(|q|) / (notional_60s / 1e6); q = the fixed-point log return of the prices of a pair of"
        " priced ticks, as in midprice_return_mean",
        doc="How far trade prices move for each million of the quote currency traded.",
    ),
    _trade(
        "volume_diff_60s",
        "base currency",
        "identity",
        "volume_24h of this tick - volume_24h of the oldest tick, both known: what was traded in between less"
        " what was traded in the same time 24 h before, so at most the former; it may be below 0",
        doc="Change of the exchange's own 24 h volume, which counts trades that the feed left out.",
    ),
)
