"""Average precision within sessions: does a score rank inside a day, or only tell calm days from wild?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.ranking import average_precision

SESSION_GAP_S = 3_600

F8 = npt.NDArray[np.float64]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def session_of(second: I8, run: I4) -> I8:
    """Return each row's session, int64[n] from 0 on: covered stretches less than an hour apart are one.

    Parameters
    ----------
    second : int64[n]
        Epoch second of each row, ascending.
    run : int32[n]
        Covered stretch of each row; quiet inside one never ends a session.
    """
    if not len(second):
        return np.zeros(0, np.int64)
    apart = (np.diff(run) != 0) & (np.diff(second) >= SESSION_GAP_S)
    return np.concatenate(([0], np.cumsum(apart))).astype(np.int64)


def within_session_precision(y: Mask, score: F8, session: I8) -> tuple[float | None, int]:
    """Return the mean average precision of the sessions, and of how many.

    Parameters
    ----------
    y : bool[n]
        Labels.
    score : float64[n]
        What ranks the rows; only its order inside a session matters.
    session : int64[n]
        Session of each row.

    Returns
    -------
    (float or None, int)
        Of the sessions that hold both classes, each weighted by its positives; None where there is none.
    """
    total, positives, sessions = 0.0, 0, 0
    for number in np.unique(session[y]):
        rows = session == number
        value = average_precision(y[rows], score[rows])
        if value is not None:
            weight = int(np.count_nonzero(y[rows]))
            total, positives, sessions = total + weight * value, positives + weight, sessions + 1
    return (total / positives if sessions else None), sessions
