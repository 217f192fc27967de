"""A place in the code where a test makes the process fail or die; off unless a test turns it on."""

from __future__ import annotations

import os
import signal


class CrashError(Exception):
    """Raised at a crash point in ``raise`` mode."""


class CrashPoint:
    """Fails the ``nth`` time the named point is reached.

    Code under test takes an optional callable and calls it with the name of each step it reaches; pass an
    instance of this class there.

    Parameters
    ----------
    point : str
        The step at which to fail, for example ``bus.append.before_commit``.
    nth : int
        Fail at this visit, counted from 1; the visits before and after pass.
    kill : bool
        Die by SIGKILL (no clean-up runs, as in ``kill -9``), else raise CrashError.

    Examples
    --------
    >>> point = CrashPoint("commit", nth=2)
    >>> point("begin"), point("commit")
    (None, None)
    >>> point("commit")
    Traceback (most recent call last):
    volspike.testing.crash_point.CrashError: commit, visit 2
    """

    def __init__(self, point: str, *, nth: int = 1, kill: bool = False) -> None:
        self._point = point
        self._nth = nth
        self._kill = kill
        self.visits = 0

    def __call__(self, point: str) -> None:
        """Note that ``point`` is reached."""
        if point != self._point:
            return
        self.visits += 1
        if self.visits != self._nth:
            return
        if self._kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise CrashError(f"{point}, visit {self.visits}")
