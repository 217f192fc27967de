"""Which of the stored candles are meant, where a product has them from several sources."""

from __future__ import annotations

from collections.abc import Callable

from volspike.errors import FeatureError
from volspike.exchange.candle_client import SOURCE as EXCHANGE
from volspike.exchange.candles import CandleTable
from volspike.features.candle_store import read_candles, stored_sources
from volspike.pipeline.home import Home


def silent(_words: str) -> None:
    """Say nothing."""


def stored_candles(
    home: Home, product: str | None, source: str = "", say: Callable[[str], None] = silent
) -> CandleTable:
    """Read the stored candles of one product from one source.

    Parameters
    ----------
    product : str, optional
        Needed where there are several.
    source : str
        Whose candles. Empty: the only ones, or of several the exchange's own.
    say : callable
        Told which are taken where there is a choice.

    Raises
    ------
    FeatureError
        If there are none, several products are there and none was chosen, or several sources without the
        exchange's own.
    """
    stored = stored_sources(home.candles, product)
    products = {name for name, _ in stored}
    sources = sorted({name for _, name in stored})
    if not source and len(products) == 1 and len(sources) > 1:
        if EXCHANGE not in sources:
            raise FeatureError(
                str(home.candles), f"it holds candles from {', '.join(sources)}", "choose one with --source"
            )
        others = ", ".join(name for name in sources if name != EXCHANGE)
        say(f"candles from {EXCHANGE}, the exchange's own, are taken; stored too: {others} (--source)")
        source = EXCHANGE
    return read_candles(home.candles, product, source or None)
