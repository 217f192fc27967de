"""Bounds of time and memory for work beside a live stream."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NICE = 15
_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_IO_THREADS", "NUMBA_NUM_THREADS")


def one_thread() -> None:
    """Have libraries that are not imported yet use one thread: others take memory and the stream's time."""
    for name in _COUNTS:
        os.environ.setdefault(name, "1")


@contextmanager
def bounded(limit_s: float, memory_mb: int, what: str = "retraining") -> Iterator[None]:
    """Run a block that gives way to other processes, and ends this one where it takes too long.

    What asks for more memory than ``memory_mb`` is refused it and raises MemoryError. A process that ends
    here in the middle of its work leaves what a death leaves.

    Parameters
    ----------
    limit_s : float
        Seconds.
    memory_mb : int
        Data segment of the process, MB.
    what : str
        Who says so where it takes too long.
    """
    os.nice(NICE)
    # Begun first: a thread needs memory too.
    watchdog = threading.Timer(limit_s, _give_up, (limit_s, what))
    watchdog.daemon = True
    watchdog.start()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    _, hard = before
    wanted = memory_mb * 1024 * 1024
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
        yield
    finally:
        watchdog.cancel()
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _give_up(limit_s: float, what: str) -> None:
    remedy = "raise retrain_limit_s or lower retrain_days"
    sys.stderr.write(f"volspike: {what}: it took longer than {limit_s:g} s and was ended; {remedy}\n")
    sys.stderr.flush()
    os._exit(1)
