"""What must be known about a product before its first tick: price scale and quote increment.

Both come from a table. A scale is never learned from ticks: it would depend on where one started. An
increment that the table lacks is found in the fit slice of a training (``labels.dataset``), for its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from volspike.errors import ConfigError

DEFAULT_PRICE_DECIMALS = 8
MAX_PRICE_DECIMALS = 15

Value = TypeVar("Value")

# Quoted in steps of 1e-8 or finer, where eight decimals would leave no room below one step.
_CHEAP_BASES = ("SHIB", "PEPE", "BONK", "FLOKI", "MOG", "TURBO", "SPELL")
_CHEAP_DECIMALS = 12
_CHEAP_INCREMENT = 1e-8
_CENT_BASES = ("BTC", "ETH", "SOL", "LTC", "BCH", "AAVE")
_QUOTES = ("USD", "USDC", "USDT", "EUR", "GBP")

_INCREMENTS_BY_BASE: Mapping[str, float] = {
    **dict.fromkeys(_CENT_BASES, 0.01),
    "XRP": 1e-4,
    "ADA": 1e-4,
    "XLM": 1e-6,
    "DOGE": 1e-5,
    "LINK": 1e-3,
    "DOT": 1e-3,
    **dict.fromkeys(_CHEAP_BASES, _CHEAP_INCREMENT),
}


class PriceScales:
    """Price scale and quote increment per product.

    Parameters
    ----------
    overrides : Mapping[str, int]
        Decimal places of the integer prices, by product, on top of the built-in table.
    increments : Mapping[str, float]
        Smallest price step in quote currency, by product, on top of the built-in table.

    Raises
    ------
    ConfigError
        If an override is out of range.

    Examples
    --------
    >>> PriceScales().decimals("BTC-USD"), PriceScales().decimals("SHIB-USD")
    (8, 12)
    """

    def __init__(
        self, overrides: Mapping[str, int] | None = None, increments: Mapping[str, float] | None = None
    ) -> None:
        self._decimals = _by_product(dict.fromkeys(_CHEAP_BASES, _CHEAP_DECIMALS)) | dict(overrides or {})
        self._increments = _by_product(_INCREMENTS_BY_BASE) | dict(increments or {})
        for product, decimals in self._decimals.items():
            if not 0 <= decimals <= MAX_PRICE_DECIMALS:
                raise ConfigError(
                    f"price decimals of {product}", f"{decimals} is out of range", "use 0 to 15 decimals"
                )
        for product, increment in self._increments.items():
            if not 0 < increment < float("inf"):
                raise ConfigError(
                    f"increment of {product}", f"{increment} is no price step", "use a number above 0"
                )

    def decimals(self, product: str) -> int:
        """Return the decimal places of the product's integer prices."""
        return self._decimals.get(product, DEFAULT_PRICE_DECIMALS)

    def increment(self, product: str) -> float | None:
        """Return the product's smallest price step, in quote currency; None where the table has none."""
        return self._increments.get(product)


def _by_product(by_base: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{base}-{quote}": value for base, value in by_base.items() for quote in _QUOTES}
