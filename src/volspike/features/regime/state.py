"""The online regime values of one product: fed with closed seconds, asked at most once a second."""

from __future__ import annotations

import numpy as np

from volspike.features.grid import ClosedSecond
from volspike.features.regime.columns import LOOKBACK_S, REGIME_COLUMNS
from volspike.features.regime.kernel import evaluate
from volspike.features.regime.returns import with_room

_FIRST_ROWS = 4_096
# A day, and an hour of room: an hour passes before the rows are moved again.
_MOST_ROWS = LOOKBACK_S + 3_600


class RegimeState:
    """The returns of the last day, and the regime values made of them.

    The values are a pure function of the closed seconds of the 86,400 s that end with the last one: whoever
    feeds those to a fresh state has the same bits again.

    Examples
    --------
    >>> state = RegimeState()
    >>> for second in range(1, 7):
    ...     state.add(ClosedSecond(second, 2**44, 0, 20_000))
    >>> state.values(6)[0]
    1.1819407184470878
    """

    __slots__ = ("_count", "_done", "_newest", "_out", "_rows")

    def __init__(self) -> None:
        self._rows = with_room(_FIRST_ROWS)
        self._count = 0
        self._done = 0  # rows that are summed up
        self._newest: int | None = None
        self._out = np.empty(len(REGIME_COLUMNS))

    def add(self, closed: ClosedSecond) -> None:
        """Take the next closed second.

        Raises
        ------
        ValueError
            If it does not lie after all before it.
        """
        second, q = closed.second, closed.q
        if self._newest is not None and second <= self._newest:
            raise ValueError(f"second {second} comes after {self._newest}")
        self._newest = second
        if q is None:
            return
        if self._count == len(self._rows.q):
            self._make_room()
        self._rows.second[self._count] = second
        self._rows.q[self._count] = q
        self._count += 1

    def values(self, last_second: int) -> tuple[float, ...]:
        """Return a value for each of ``REGIME_COLUMNS`` at the end of a second, NaN where missing.

        Parameters
        ----------
        last_second : int
            The last second that is over, seconds since 1970; no second after it has been added.

        Raises
        ------
        ValueError
            If one has: what lies a day before may be forgotten.
        """
        if self._newest is not None and last_second < self._newest:
            raise ValueError(f"second {last_second} lies before {self._newest}, which is closed")
        evaluate(*self._rows, self._done, self._count, last_second, self._out)
        self._done = self._count
        return tuple(self._out.tolist())

    def _make_room(self) -> None:
        """Move the rows that are still inside the look-back to arrays with room for more."""
        old, count = self._rows, self._count
        start = int(np.searchsorted(old.second[:count], old.second[count - 1] - LOOKBACK_S, side="right"))
        kept = count - start
        self._rows = with_room(min(max(2 * kept, _FIRST_ROWS), _MOST_ROWS))
        self._rows.second[:kept] = old.second[start:count]
        self._rows.q[:kept] = old.q[start:count]
        self._count, self._done = kept, 0
