"""A verb in a process of its own: it neither delays predictions nor takes the job down with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from volspike.logs import get_logger

# Beyond its own limit, the time it may take to end.
_GRACE_S = 30.0

log = get_logger()


@dataclass(frozen=True)
class Finished:
    """How a verb ended: its exit code, and its report where it printed one."""

    code: int
    report: dict[str, Any] | None


class Background:
    """Runs ``volspike VERB --json``, at most one at a time.

    Parameters
    ----------
    limit_s : float
        After so long, and half a minute, it is killed.
    now_s : callable
        Reads the monotonic clock, seconds.
    """

    def __init__(self, limit_s: float, now_s: Callable[[], float]) -> None:
        self._limit_s = limit_s + _GRACE_S
        self._now_s = now_s
        self._running: subprocess.Popen[bytes] | None = None
        self._printed: IO[bytes] | None = None
        self._begun_s = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether one runs, or has ended and not been looked at."""
        return self._running is not None

    def begin(self, words: Sequence[str]) -> None:
        """Begin a verb; none must be running."""
        assert self._running is None, "one at a time"
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the verb has ended
        self._begun_s = self._now_s()
        self._running = subprocess.Popen(_command(words), stdin=subprocess.DEVNULL, stdout=self._printed)
        log.info("begun beside the job", verb=words[0])

    def look(self) -> Finished | None:
        """Return, once, how the verb ended; None while it runs. One that is over its time is killed."""
        running = self._running
        if running is None:
            return None
        code = running.poll()
        if code is None and self._now_s() - self._begun_s > self._limit_s:
            running.kill()
            code = running.wait()
        return None if code is None else self._end(code)

    def close(self) -> None:
        """Kill the one that runs: what it has not finished is begun again."""
        if self._running is not None:
            self._running.kill()
            self._end(self._running.wait())

    def _end(self, code: int) -> Finished:
        assert self._printed is not None
        self._printed.seek(0)
        printed = self._printed.read()
        self._printed.close()
        self._running = self._printed = None
        try:
            report = json.loads(printed)
        except ValueError:
            report = None
        if code:
            log.error("a verb beside the job has failed", code=code)
        return Finished(code, report if isinstance(report, dict) else None)


def _command(words: Sequence[str]) -> Sequence[str]:
    # By number: where this one is killed, nobody else would end it.
    return [sys.executable, "-m", "volspike", *words, "--with-parent", str(os.getpid()), "--json"]
