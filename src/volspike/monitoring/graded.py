"""Graded predictions on the 1 s grid, champion and challenger side by side: what verdicts are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.evaluation.episodes import GradedSeconds

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

BLOCK_S = 1_800


@dataclass(frozen=True, slots=True, eq=False)
class GradedRows:
    """The last prediction of each second of one product, with its outcome; n rows, seconds ascending.

    Attributes
    ----------
    second : int64[n]
        Epoch second at or after the tick, behind which the minute begins.
    covered_since_ns : int64[n]
        Since when the feed was whole.
    spike : int8[n]
        1 spike, 0 none, -1 unlabelled.
    tau_bps, sigma_future_bps : float64[n]
        What it was graded with; volatility is NaN where unlabelled.
    mid : float64[n]
        Mid price at the tick, quote currency.
    p, sigma_bps : float64[n]
        Of the model that served.
    reference_p, reference_sigma_bps, challenger_p, challenger_sigma_bps : float64[n]
        Of its reference, and of the model in its shadow; NaN where there was none.
    version, challenger_version : str[n]
        Which models; the challenger's is empty where there was none.
    in_sample, fallback : bool[n]
        Whether the row lies in the span that the model was trained on; whether the reference answered.
    step_s : int
        Seconds from one row to the next where none is missing.
    """

    second: I8
    covered_since_ns: I8
    spike: npt.NDArray[np.int8]
    tau_bps: F8
    sigma_future_bps: F8
    mid: F8
    p: F8
    sigma_bps: F8
    reference_p: F8
    reference_sigma_bps: F8
    challenger_p: F8
    challenger_sigma_bps: F8
    version: npt.NDArray[np.str_]
    challenger_version: npt.NDArray[np.str_]
    in_sample: npt.NDArray[np.bool_]
    fallback: npt.NDArray[np.bool_]
    step_s: int = field(default=1, kw_only=True)

    def __len__(self) -> int:
        """Return n."""
        return len(self.second)

    @property
    def run(self) -> npt.NDArray[np.int32]:
        """Number of the covered stretch of each row, int32[n]."""
        is_new = np.diff(self.covered_since_ns, prepend=self.covered_since_ns[:1]) != 0
        return np.cumsum(is_new).astype(np.int32)

    @property
    def graded(self) -> GradedSeconds:
        """The labels on the grid."""
        return GradedSeconds(self.second, self.run, self.spike, self.step_s)

    def where(self, chosen: npt.NDArray[np.bool_]) -> GradedRows:
        """Return the rows that a mask (bool[n]) chooses."""
        columns: dict[str, Any] = {name: getattr(self, name)[chosen] for name in DTYPES}
        return replace(self, **columns)

    def thinned(self, every_s: int) -> GradedRows:
        """Return the first row of each so many seconds of wall time; rows that are as thin are returned.

        Rows a second apart share 59 of their 60 seconds, so little is lost. A row is chosen by its time
        alone, which is known before its label: bets on those that are left are as fair.
        """
        if self.step_s >= every_s:
            return self
        return replace(self.where(is_first_of(self.second, every_s)), step_s=every_s)


def is_first_of(second: I8, every_s: int) -> npt.NDArray[np.bool_]:
    """Mark the first row of each so many seconds of wall time, bool[n]; ``second`` is int64[n], ascending."""
    is_first: npt.NDArray[np.bool_] = np.diff(second // every_s, prepend=-1) != 0
    return is_first


def join_rows(parts: Sequence[GradedRows]) -> GradedRows:
    """Return the rows of parts that follow one another, of one step; of none, no rows."""
    if not parts:
        return empty_rows()
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES
    }
    return replace(parts[0], **columns)


def empty_rows() -> GradedRows:
    """Return no rows."""
    columns: dict[str, Any] = {name: np.zeros(0, dtype) for name, dtype in DTYPES.items()}
    return GradedRows(**columns)


DTYPES: dict[str, str] = {
    "second": "int64",
    "covered_since_ns": "int64",
    "spike": "int8",
    "tau_bps": "float64",
    "sigma_future_bps": "float64",
    "mid": "float64",
    "p": "float64",
    "sigma_bps": "float64",
    "reference_p": "float64",
    "reference_sigma_bps": "float64",
    "challenger_p": "float64",
    "challenger_sigma_bps": "float64",
    "version": "str",
    "challenger_version": "str",
    "in_sample": "bool",
    "fallback": "bool",
}
