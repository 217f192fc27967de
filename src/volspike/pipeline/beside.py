"""What runs beside a job for its models: retrainings and reports of drift, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from volspike.models.standing import Standing
from volspike.pipeline.background import Background, Finished
from volspike.pipeline.home import Home
from volspike.pipeline.retraining import Request, note_end

# A verb that failed is not tried again sooner: what it lacked is not there yet.
_PAUSE_S = 300.0

Heard = Callable[[Standing, Mapping[str, Any] | None], None]


class Beside:
    """Begins verbs and hears how they end.

    Asked for one while another runs, or soon after it failed, it does nothing: whoever asks, asks again.

    Parameters
    ----------
    home : Home
        Of the models.
    limit_s : float
        After so long a verb is killed.
    now_s : callable
        Reads the monotonic clock, seconds.
    is_to_store : callable
        Tells whether a verb is to store rows that are archived only: where no job does as they come.
    """

    def __init__(
        self,
        home: Home,
        limit_s: float,
        now_s: Callable[[], float],
        is_to_store: Callable[[], bool] = lambda: False,
    ) -> None:
        self._home = home
        self._now_s = now_s
        self._is_to_store = is_to_store
        self._verb = Background(limit_s, now_s)
        self._about: Request | Standing | None = None
        self._failed_s: dict[tuple[str, str], float] = {}

    def retrain(self, request: Request) -> None:
        """Begin a retraining."""
        flags = ("--by", request.by, "--market-ns", str(request.market_ns))
        self._begin("retrain", request, *flags)

    def report_drift(self, standing: Standing) -> None:
        """Begin a report of drift."""
        self._begin("drift", standing, "--compare", "recent", "--bounded")

    def look(self, heard_of_drift: Heard) -> None:
        """See whether the verb that runs has ended.

        Parameters
        ----------
        heard_of_drift : callable
            Told of a report of drift; None where it could not be made.

        Raises
        ------
        ModelError
            When the journal can't be told of a retraining that has failed.
        """
        finished = self._verb.look()
        if finished is None:
            return
        about, self._about = self._about, None
        if isinstance(about, Request):
            self._end(("retrain", about.product), finished)
            if finished.code:
                note_end(self._home, about, finished.code)
        elif about is not None:
            self._end(("drift", about.product), finished)
            heard_of_drift(about, finished.report)

    def close(self) -> None:
        """Kill the verb that runs: what it has made so far is made again."""
        self._verb.close()

    def _end(self, what: tuple[str, str], finished: Finished) -> None:
        if finished.code:
            self._failed_s[what] = self._now_s()

    def _begin(self, verb: str, about: Request | Standing, *flags: str) -> None:
        failed_s = self._failed_s.get((verb, about.product))
        if self._verb.is_busy or (failed_s is not None and self._now_s() - failed_s < _PAUSE_S):
            return
        rows = ("--replay",) if self._is_to_store() else ()
        self._about = about
        home = ("--data-dir", str(self._home.root))
        self._verb.begin((verb, *home, "--product", about.product, "--feed", about.feed, *flags, *rows))
