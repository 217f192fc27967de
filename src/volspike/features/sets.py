"""The named, versioned and hashed sets of window features.

A set fixes the order of the feature values everywhere: in a row, in a Parquet file, in a model. Its hash
covers what the numbers mean (formulas, units, transforms): a file or model made for other numbers is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

from volspike.errors import FeatureError


@dataclass(frozen=True)
class Column:
    """One feature.

    Attributes
    ----------
    name : str
        Column name.
    unit : str
        Unit of the value; ``1`` for a pure number.
    feed_dependent : bool
        Whether its scale changes with how the feed batches ticks; a model that uses such a column serves one
        feed only.
    transform : str
        What a model applies first: ``log``, ``identity`` or ``asinh``.
    formula : str
        Definition over the window's ticks.
    doc : str
        One sentence for a reader; no part of the hash.
    """

    name: str
    unit: str
    feed_dependent: bool
    transform: str
    formula: str
    doc: str


@dataclass(frozen=True)
class FeatureSet:
    """An ordered list of features over the window (t - 60 s, t].

    Attributes
    ----------
    name : str
        Name used in settings, files and models.
    version : int
        Raised with every change of a definition.
    columns : tuple of Column
        The features, in the order of the values.
    """

    name: str
    version: int
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the column names in the order of the values."""
        return tuple(column.name for column in self.columns)

    @property
    def feed_dependent(self) -> tuple[str, ...]:
        """Return the names of the columns whose scale depends on the feed."""
        return tuple(column.name for column in self.columns if column.feed_dependent)

    @cached_property
    def hash(self) -> str:
        """Return the sha256 of the definition, 64 hexadecimal digits; the ``doc`` texts are left out."""
        columns = [{k: v for k, v in asdict(column).items() if k != "doc"} for column in self.columns]
        definition = {"name": self.name, "version": self.version, "columns": columns}
        text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


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
}


def get_feature_set(name: str) -> FeatureSet:
    """Return a feature set by name.

    Parameters
    ----------
    name : str
        ``core`` or ``core-sized``.

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
