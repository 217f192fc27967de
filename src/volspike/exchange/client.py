"""Keep a feed connected: connect, run a session, wait, connect again.

Here a tick's life begins: each session hands its frames, verbatim, to a sink, which live is the pipeline.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence
from random import Random

from volspike.clock import Clock
from volspike.errors import FeedError, printable
from volspike.exchange.backoff import TokenBucket
from volspike.exchange.connecting import (
    CONNECT_ERRORS,
    ClientSettings,
    describe_connect_error,
    open_socket,
    shown_url,
)
from volspike.exchange.decimals import NS_PER_SECOND, format_time_ns
from volspike.exchange.dialects import DIALECTS, Dialect
from volspike.exchange.direct_connection import DirectConnection
from volspike.exchange.feed_status import FeedStatus
from volspike.exchange.session import FeedSession, FrameSink, SessionEnd, stopped_within
from volspike.exchange.simulator_clock import follow_simulator

__all__ = ["ClientSettings", "FeedClient", "FeedStatus", "FrameSink", "session_name"]

_CLEAN_CLOSES = frozenset({"close_1000", "close_1001", "close_1012"})
# Ends that more attempts hardly cure. A policy close (1008) may be lifted, so it only shows.
_REFUSALS = frozenset({"subscribe_refused", "close_1008", "close_1009"})
_FATAL_REFUSALS = frozenset({"subscribe_refused", "close_1009"})

_connection_numbers = itertools.count(1)


class FeedClient:
    """Receive the tickers of some products for as long as it takes.

    Parameters
    ----------
    dialect : Dialect
        Protocol of the feed.
    url : str
        Address of the feed; ``dialect.url`` is the production feed.
    products : Sequence[str]
        Products to subscribe to, at least one.
    clock : Clock
        Market and monotonic time. A clock that can follow a simulator does so when the server asks for it.
    rng : Random
        Source of the jitter.
    sink : FrameSink
        Receives every frame of every session, in order.
    settings : ClientSettings
        Timeouts, sizes and the backoff.
    bucket : TokenBucket or None
        Bounds the connection attempts; share one among clients behind the same address.

    Attributes
    ----------
    status : FeedStatus
        For display.

    Raises
    ------
    FeedError
        If no product is given.
    """

    def __init__(
        self,
        dialect: Dialect,
        url: str,
        products: Sequence[str],
        clock: Clock,
        rng: Random,
        sink: FrameSink,
        settings: ClientSettings | None = None,
        bucket: TokenBucket | None = None,
    ) -> None:
        if not products:
            raise FeedError(
                f"feed {dialect.name}", "no product is given", "name at least one, such as BTC-USD"
            )
        self._dialect = dialect
        self._url = url
        self._products = tuple(dict.fromkeys(products))
        self._clock = clock
        self._rng = rng
        self._sink = sink
        self._settings = settings or ClientSettings()
        self._bucket = bucket or TokenBucket(rate_per_s=dialect.connects_per_s)
        self._retry = 0  # attempts since the feed was last well
        self._refusals = 0  # sessions in a row that ended in a refusal
        self.status = FeedStatus(
            missing=self._products,
            aliases={n: dialect.served_as(n) for n in self._products if dialect.served_as(n) != n},
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until ``stop`` is set.

        Raises
        ------
        FeedError
            If the address is malformed, or the exchange refuses the subscription time and again.
        """
        try:
            while await self._wait_for_turn(stop):
                socket = await self._connect(stop)
                if socket is not None:
                    await self._serve(socket, stop)
        finally:
            self.status.state = "stopped"

    async def _wait_for_turn(self, stop: asyncio.Event) -> bool:
        """Sit out the backoff, then the token bucket; return False when it is time to stop."""
        if self._retry:
            self.status.state = "degraded" if self._refusals else "waiting"
            if await stopped_within(stop, self._settings.backoff.delay_s(self._retry, self._rng)):
                return False
        wait_ns = self._bucket.reserve_ns(self._clock.monotonic_ns())
        return not (stop.is_set() or (wait_ns and await stopped_within(stop, wait_ns / NS_PER_SECOND)))

    async def _connect(self, stop: asyncio.Event) -> DirectConnection | None:
        self.status.state = "connecting"
        opening = asyncio.create_task(open_socket(self._url, self._settings, self._retry))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not opening.done():
                opening.cancel()
        try:
            return await opening
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
        except CONNECT_ERRORS as error:
            reason, words = describe_connect_error(error)
            self._note_failure(reason, words)
        return None

    async def _serve(self, socket: DirectConnection, stop: asyncio.Event) -> None:
        try:
            if socket.response is not None:
                follow_simulator(self._clock, socket.response.headers, shown_url(self._url))
            opened_ns = self._clock.monotonic_ns()
            end = await self._open_session(socket).run(stop)
        finally:
            socket.transport.abort()  # does nothing on a connection that is closed
        self._judge(end, (self._clock.monotonic_ns() - opened_ns) / NS_PER_SECOND)

    def _open_session(self, socket: DirectConnection) -> FeedSession:
        self.status.sessions += 1
        self.status.reconnects = self.status.sessions - 1
        self.status.session = session_name(self._clock.market_ns(), os.getpid(), next(_connection_numbers))
        return FeedSession(
            self.status.session,
            socket,
            self._dialect,
            self._products,
            self._clock,
            self._sink,
            self._settings,
            self.status,
        )

    def _judge(self, end: SessionEnd, lasted_s: float) -> None:
        """Draw the consequences of a session's end for the next attempt."""
        well = end.was_live and (end.reason in _CLEAN_CLOSES or lasted_s >= self._settings.stable_s)
        if well:
            self._retry = 0
        refused = end.reason in _REFUSALS or bool(end.refusal)
        self._refusals = self._refusals + 1 if refused else 0
        self._note_failure(end.reason, end.words)
        if end.reason == "stop":
            return
        fatal = end.reason in _FATAL_REFUSALS or bool(end.refusal)
        if fatal and self._refusals >= self._settings.refusal_limit:
            raise self._refusal_error(end)

    def _note_failure(self, reason: str, words: str) -> None:
        self._retry += 1
        self.status.count(reason)
        if reason not in _CLEAN_CLOSES and reason != "stop":
            self.status.last_error = printable(words)

    def _refusal_error(self, end: SessionEnd) -> FeedError:
        if end.refusal:
            other = next(name for name in DIALECTS if name != self._dialect.name)
            listed = ", ".join(self._products)
            remedy = f"check that this feed lists the products ({listed}), or try --dialect {other}"
        else:
            remedy = "subscribe to fewer products or raise max_frame_bytes"
        return FeedError(
            f"feed {self._dialect.name} at {shown_url(self._url)}", end.refusal or end.words, remedy
        )


def session_name(market_ns: int, process_id: int, connection: int) -> str:
    """Return a session id: unique, and sorted by its time.

    Examples
    --------
    >>> session_name(1775343297123456789, 1234, 1)
    '20260404T225457.123456789-p1234-1'
    """
    stamp = format_time_ns(market_ns, trim=False).translate({ord(c): None for c in "-:Z"})
    return f"{stamp}-p{process_id}-{connection}"
