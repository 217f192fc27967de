"""Retraining in a process of its own: it neither delays predictions nor takes the job down with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from volspike.logs import get_logger
from volspike.pipeline.home import Home
from volspike.pipeline.retraining import Request, note_end

# Beyond its own limit, the time it may take to end.
_GRACE_S = 30.0
# One that failed is not tried again sooner: what it lacked is not there yet.
_PAUSE_S = 300.0

log = get_logger()


class RetrainProcess:
    """At most one ``volspike retrain`` at a time.

    Parameters
    ----------
    home : Home
        Of the models.
    limit_s : float
        After so long it is killed.
    now_s : callable
        Reads the monotonic clock, seconds.
    """

    def __init__(self, home: Home, limit_s: float, now_s: Callable[[], float]) -> None:
        self._home = home
        self._limit_s = limit_s + _GRACE_S
        self._now_s = now_s
        self._running: subprocess.Popen[bytes] | None = None
        self._begun_s = 0.0
        self._request: Request | None = None
        self._failed_s: dict[str, float] = {}

    def begin(self, request: Request) -> None:
        """Begin a retraining, unless one runs or the product's last has failed a few minutes ago."""
        self.look()
        failed_s = self._failed_s.get(request.product)
        if self._running is not None or (failed_s is not None and self._now_s() - failed_s < _PAUSE_S):
            return
        command = _command(self._home, request)
        self._begun_s, self._request = self._now_s(), request
        log.info("retraining", product=request.product, by=request.by)
        self._running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def look(self) -> None:
        """See whether the one that runs has ended, and end one that is over its time.

        Raises
        ------
        ModelError
            When the journal can't be told of one that has failed.
        """
        running, request = self._running, self._request
        if running is None or request is None:
            return
        code = running.poll()
        if code is None and self._now_s() - self._begun_s > self._limit_s:
            running.kill()
            code = running.wait()
        if code is not None:
            self._running = None
            if code:
                self._failed_s[request.product] = self._now_s()
                log.error("retraining failed; the models stay as they are", code=code)
                note_end(self._home, request, code)

    def close(self) -> None:
        """End the one that runs: what it has made so far is made again."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None


def _command(home: Home, request: Request) -> Sequence[str]:
    flags = {
        "--data-dir": str(home.root),
        "--product": request.product,
        "--feed": request.feed,
        "--by": request.by,
        "--market-ns": str(request.market_ns),
    }
    return [sys.executable, "-m", "volspike", "retrain", *(word for pair in flags.items() for word in pair)]
