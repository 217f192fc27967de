"""What a feature set is: an ordered list of named columns, with a hash of what the numbers mean."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

Source = Literal["ticks", "seconds", "candles"]

# What a window engine takes of each tick, and of its trade where the set has columns of trades.
QUOTE_INPUTS = ("event_ns", "covered_since_ns", "bid", "ask", "bid_size", "ask_size")
TRADE_INPUTS = ("price", "size", "volume_24h")


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
    """An ordered list of features.

    Attributes
    ----------
    name : str
        Name used in settings, files and models.
    version : int
        Raised with every change of a definition.
    columns : tuple of Column
        The features, in the order of the values.
    source : {"ticks", "seconds", "candles"}
        What the values are made of and come with: the ticks of a window, in each feature row; the closed
        seconds behind it, which whoever predicts keeps itself, so rows of any set of ticks will do; candles.
    needs_trades : bool
        Whether a window engine takes the last trade of each tick too; see ``inputs``.
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    source: Source = "ticks"
    needs_trades: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the integers that a window engine takes of each tick, in their order."""
        return QUOTE_INPUTS + (TRADE_INPUTS if self.needs_trades else ())

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
