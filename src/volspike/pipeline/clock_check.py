"""Refuses to record what the archive is already ahead of: every tick would be late."""

from __future__ import annotations

from volspike.clock import Clock
from volspike.errors import ConfigError
from volspike.exchange.decimals import format_time_ns
from volspike.exchange.session import FrameSink

AHEAD_LIMIT_NS = 60_000_000_000


class ClockCheck:
    """A sink that compares the market clock with the archive when a connection opens.

    Parameters
    ----------
    sink : FrameSink
        Takes everything.
    clock : Clock
        It knows market time once a connection is open.
    newest_ns : int
        The newest event time in the archive of the products watched.
    subject : str
        What an error names: the data directory.
    """

    def __init__(self, sink: FrameSink, clock: Clock, newest_ns: int, subject: str) -> None:
        self._sink, self._clock, self._newest_ns, self._subject = sink, clock, newest_ns, subject
        self.frame = sink.frame
        self.end = sink.end

    def begin(self, session: str) -> None:
        """Begin a connection.

        Raises
        ------
        ConfigError
            If the archive is more than a minute ahead of the market clock.
        """
        now_ns = self._clock.market_ns()
        if self._newest_ns - now_ns > AHEAD_LIMIT_NS:
            raise ConfigError(
                self._subject,
                f"holds ticks up to {format_time_ns(self._newest_ns, 0)}, and the market clock says"
                f" {format_time_ns(now_ns, 0)}: every tick until then would be late",
                "choose another --data-dir, or set the clock right",
            )
        self._sink.begin(session)
