"""The compiled engine of the set ``trade``: a window engine, and the trade window beside it."""

from __future__ import annotations

from typing import Any

from volspike.features.held_ticks import TRADE_TICKS
from volspike.features.memory import Words
from volspike.features.trade_memory import new_trade_memory
from volspike.features.two_windows import TwoWindowEngine


class TradeEngine(TwoWindowEngine):
    """The compiled trade engine: same interface and same bits as ``trade.PureTradeEngine``.

    Parameters and errors are those of ``TwoWindowEngine``.
    """

    _window = "trade"
    _held = TRADE_TICKS

    def _kernel(self) -> Any:
        from volspike.features import kernel_trade

        return kernel_trade

    def _new_memory(self, capacity: int) -> Words:
        return new_trade_memory(self._price_scale, capacity)
