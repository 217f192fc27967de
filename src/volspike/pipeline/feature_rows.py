"""Ticks to feature rows, one product and feed: what every way of making rows tick by tick shares."""

from __future__ import annotations

from volspike.features.columns import FeatureSet
from volspike.features.engine import Engine, make_engine
from volspike.features.window import WINDOW_NS
from volspike.records import FeatureRow, Tick


class FeatureRows:
    """The window engine of one product and feed, and the record of what it gives.

    Parameters
    ----------
    feature_set : FeatureSet
        Which features.
    price_decimals : int
        Of the product's ticks.
    engine : Engine, optional
        One that has taken the ticks before, if there are any.

    Attributes
    ----------
    price_decimals : int
        As given.
    """

    def __init__(self, feature_set: FeatureSet, price_decimals: int, engine: Engine | None = None) -> None:
        self.price_decimals = price_decimals
        self._feature_set = feature_set.name
        self._engine = engine or make_engine(feature_set, price_decimals)
        self._step = self._engine.step
        self._needs_trades = feature_set.needs_trades

    def row(self, tick: Tick, covered_since_ns: int) -> FeatureRow:
        """Take an accepted tick; return its row.

        Parameters
        ----------
        tick : Tick
            Of this product and feed.
        covered_since_ns : int
            Since when nothing is missing (ns): the tick's own, or a later time behind a hole.

        Raises
        ------
        FeatureError
            As ``PureWindowEngine.step``; the window is as before.
        """
        event_ns, bid, ask = tick.event_ns, tick.bid, tick.ask
        bid_size, ask_size = tick.bid_size, tick.ask_size
        if self._needs_trades:
            trade = tick.price, tick.size, tick.volume_24h
            values = self._step(event_ns, covered_since_ns, bid, ask, bid_size, ask_size, *trade)
        else:
            values = self._step(event_ns, covered_since_ns, bid, ask, bid_size, ask_size)
        # By position: keywords take longer than all the rest of a record.
        return FeatureRow(
            tick.product,
            tick.feed,
            self._feature_set,
            tick.session,
            event_ns,
            covered_since_ns,
            bid,
            ask,
            tick.price_decimals,
            tick.archive_seq,
            tick.archive_row,
            tick.identity,
            int(values[-1]),
            event_ns - covered_since_ns >= WINDOW_NS,
            values[:-1],
            tick.suspect,
            tick.event_time_source,
        )

    def snapshot(self) -> bytes:
        """Return the window as bytes."""
        return self._engine.snapshot()

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        FeatureError
            If the bytes are torn, or made for another feature set or price scale.
        """
        self._engine.restore(data)
