"""What a report needs of whoever decides about drift. It never decides itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

JUDGED = "judged"


class ColumnVerdict(Protocol):
    """The decision about one column.

    ``status`` is ``judged``, or why it was not, such as ``not enough data``; ``score`` how far the current
    window lies from the reference; ``p_value`` how often as far where nothing has changed; ``words`` what is
    to be said of it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def score(self) -> float | None: ...  # noqa: D102
    @property
    def p_value(self) -> float | None: ...  # noqa: D102
    @property
    def drifted(self) -> bool: ...  # noqa: D102
    @property
    def words(self) -> str: ...  # noqa: D102


class DriftVerdict(Protocol):
    """The decision about all columns together.

    ``score`` is what must exceed ``threshold``, None without enough data; ``false_alarm_rate`` how often
    unchanged data alarm; ``words`` the decision in a line.
    """

    @property
    def columns(self) -> Sequence[ColumnVerdict]: ...  # noqa: D102
    @property
    def score(self) -> float | None: ...  # noqa: D102
    @property
    def threshold(self) -> float | None: ...  # noqa: D102
    @property
    def false_alarm_rate(self) -> float | None: ...  # noqa: D102
    @property
    def alarm(self) -> bool: ...  # noqa: D102
    @property
    def words(self) -> str: ...  # noqa: D102

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON-able dict."""


class DriftScore(Protocol):
    """Decides whether a window has drifted, at a false-alarm rate that it keeps on autocorrelated data."""

    def __call__(
        self,
        reference_second: I8,
        reference: F8,
        current_second: I8,
        current: F8,
        names: Sequence[str],
    ) -> DriftVerdict:
        """Hold the current values of each column against those of the reference.

        Parameters
        ----------
        reference_second, current_second : int64[n], int64[m]
            Epoch second of each row, ascending, the reference's first: blocks are cut in wall time.
        reference, current : float64[n, p], float64[m, p]
            The columns; NaN where there is no value.
        names : sequence of str
            Of the p columns.
        """
