"""What a decision about drift says. Whoever decides is given to the report; it never decides itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """The decision about one column.

    Attributes
    ----------
    score, limit : float or None
        How far the current window lies from the reference, and from which score on that is drift; None where
        there is not enough data.
    alarm : bool or None
        Whether it is; None: not enough data.
    words : str
        What is to be known about it, such as that it changes too slowly for the window; may be empty.
    """

    score: float | None
    limit: float | None
    alarm: bool | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class DriftVerdict:
    """The decision about all columns together.

    Attributes
    ----------
    alarm : bool or None
        Whether there is drift; None: not enough data.
    false_alarm_rate : float or None
        How often unchanged data alarm, all columns together; None where nothing was decided.
    words : str
        The decision in a sentence.
    columns : dict of str to ColumnVerdict
        By column.
    """

    alarm: bool | None
    false_alarm_rate: float | None
    words: str
    columns: Mapping[str, ColumnVerdict]

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON-able dict."""
        return {**asdict(self), "columns": {name: asdict(column) for name, column in self.columns.items()}}


class DriftScore(Protocol):
    """Decides whether a window has drifted, at a false-alarm rate that it keeps on autocorrelated data."""

    def __call__(
        self,
        reference: Mapping[str, F8],
        current: Mapping[str, F8],
        reference_second: I8,
        current_second: I8,
    ) -> DriftVerdict:
        """Hold the current values of each column against those of the reference.

        Parameters
        ----------
        reference, current : dict of str to float64[n], float64[m]
            The columns by name, the same in both; NaN where there is no value.
        reference_second, current_second : int64[n], int64[m]
            Epoch second of each row, ascending: blocks are cut in wall time.
        """
