"""Rows under audit: features, times, labels and prices of anybody's file, or of volspike's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.seconds import SecondSums
from volspike.evaluation.leaks.tick_returns import TickReturns
from volspike.features.coverage import SILENCE_LIMIT_NS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
I4 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

MOST_SAMPLED = 20_000
FEWEST_OF_A_CLASS = 20
STEPS_OF_SILENCE = 3.0


@dataclass(frozen=True, eq=False)
class AuditRows:
    """Rows sorted by product, then time; n of them.

    Attributes
    ----------
    subject : str
        The file or directory they come from.
    products : tuple of str
        Names by number.
    product : int32[n]
        Number of each row's product.
    time_ns : int64[n]
        Time the rows are ordered by, ns.
    stretch : int32[n]
        Number of the connected stretch, over all products.
    names, values : tuple of str, float64[n, k]
        The features; NaN is missing.
    levels : tuple of str
        Price columns, of which it is not known whether a model sees them.
    label : int8[n]
        1, 0, or -1 where there is none.
    target : float64[n] or None
        The volatility that the label is made of; NaN where there is none.
    target_name, label_name : str
        Their columns.
    mid : float64[n] or None
        Price in quote currency.
    receive_ns : int64[n] or None
        The recorder's clock, where that is a column besides ``time_ns``.
    clock : {"exchange", "either", "receive"}
        Whose clock ``time_ns`` is, by its name.
    came : float64[n] or None
        The volatility of the horizon after each row, in units of ``tau``, where it is known otherwise than
        from ``mid``.
    trade_id : int64[n] or None
        Numbers that occur once in a product.
    whole_rows : int64[n] or None
        Hash of all columns of a row but the time of receipt, the row's number and the recorder's name.
    in_test : int8[n] or None
        Of a given split: 1 test, 0 training, -1 neither.
    tau : float64[n] or None
        The threshold in force, where the rows say it, in units of ``target``.
    whole_until_ns : int64[n] or None
        Until when the row's stretch is known to be whole, where that is later than its last row.
    train_frac : float
        Share of the rows, from the first on, that training may see.
    window_s, horizon_s : float
        How far features look back and labels ahead.
    notes : tuple of str
        What of the file could not be used, in words.
    """

    subject: str
    products: tuple[str, ...]
    product: I4
    time_ns: I8
    stretch: I4
    names: tuple[str, ...]
    values: F8
    label: npt.NDArray[np.int8]
    levels: tuple[str, ...] = ()
    target: F8 | None = None
    target_name: str = ""
    label_name: str = "label"
    mid: F8 | None = None
    receive_ns: I8 | None = None
    clock: Literal["exchange", "either", "receive"] = "exchange"
    came: F8 | None = None
    trade_id: I8 | None = None
    whole_rows: I8 | None = None
    in_test: npt.NDArray[np.int8] | None = None
    tau: F8 | None = None
    whole_until_ns: I8 | None = None
    train_frac: float = 0.7
    window_s: float = 60.0
    horizon_s: float = 60.0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.time_ns)

    @cached_property
    def sample(self) -> I8:
        """Return the labelled rows, evenly thinned to 20,000, as positions."""
        return thinned(np.flatnonzero(self.label >= 0), MOST_SAMPLED)

    @cached_property
    def is_spike(self) -> Bools:
        """Return whether each row of ``sample`` is a positive."""
        positive: Bools = self.label[self.sample] == 1
        return positive

    @property
    def is_labelled(self) -> bool:
        """Tell whether both classes occur often enough to say anything."""
        return has_both(self.is_spike)

    @cached_property
    def seconds(self) -> SecondSums | None:
        """Return the sums over the 1 s grid of the prices; None without prices."""
        if self.mid is None:
            return None
        return SecondSums(self.product, self.stretch, self.time_ns, self.mid)

    @cached_property
    def tick_returns(self) -> TickReturns | None:
        """Return the sums of the returns from row to row; None without prices."""
        return None if self.mid is None else TickReturns(self.stretch, self.time_ns, self.mid)

    @cached_property
    def trained(self) -> Bools:
        """Return whether each row lies in the part that training may see (bool[n])."""
        labelled = np.flatnonzero(self.label >= 0)
        end = round(self.train_frac * len(labelled))
        if not 0 < end < len(labelled):
            return np.full(len(self), end > 0)
        first_later_ns = np.partition(self.time_ns[labelled], end)[end]
        trained: Bools = self.time_ns < first_later_ns
        return trained

    def by_product(self) -> Iterator[slice]:
        """Yield the rows of each product."""
        edges = np.flatnonzero(np.diff(self.product)) + 1
        for first, stop in pairwise([0, *edges.tolist(), len(self)]):
            yield slice(first, stop)

    def first_after(self, at: I8, bound_ns: I8) -> I8:
        """Return the position of the first row of each row's product that is later than a time.

        Parameters
        ----------
        at : int64[m]
            Rows, ascending.
        bound_ns : int64[m]
            A time for each, ns.
        """
        place = np.empty(len(at), np.int64)
        for part in self.by_product():
            mine = slice(*np.searchsorted(at, (part.start, part.stop)))
            place[mine] = part.start + np.searchsorted(self.time_ns[part], bound_ns[mine], side="right")
        return place


def has_both(y: Bools) -> bool:
    """Tell whether both classes are there often enough to say anything."""
    positives = int(np.count_nonzero(y))
    return min(positives, len(y) - positives) >= FEWEST_OF_A_CLASS


def thinned(positions: I8, most: int) -> I8:
    """Return at most so many of the positions, evenly spread."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]


def silence_ns(product: I4, time_ns: I8) -> int:
    """Return from what distance of two rows on there is a gap: 15 s, or 3 usual steps of slower rows."""
    steps = np.diff(time_ns)[np.diff(product) == 0]
    usual = float(np.median(steps)) if len(steps) else 0.0
    return int(max(SILENCE_LIMIT_NS, STEPS_OF_SILENCE * usual))


def number_stretches(product: I4, time_ns: I8) -> I4:
    """Number the stretches of rows without a gap, over all products, from 0 (int32[n])."""
    begins = (np.diff(time_ns) > silence_ns(product, time_ns)) | (np.diff(product) != 0)
    number: I4 = np.concatenate(([0], np.cumsum(begins)))[: len(time_ns)].astype(np.int32)
    return number
