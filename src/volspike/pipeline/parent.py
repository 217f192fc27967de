"""A verb that was begun beside a job ends with who began it, however that one ends."""

from __future__ import annotations

import os
import signal
import threading
import time

_LOOK_S = 1.0


def end_with(parent: int | None) -> None:
    """Have this process killed when it is not the child of a process any more, as that one would have.

    Parameters
    ----------
    parent : int, optional
        Number of the process that began this one; None: nobody is to be followed.
    """
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGKILL)
