"""One connection, from the subscription to the close.

It hands each frame to the sink, which archives and decodes it, and learns from the answer how the feed is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from volspike.clock import Clock
from volspike.exchange.connecting import ClientSettings, describe_close
from volspike.exchange.decimals import NS_PER_SECOND
from volspike.exchange.dialects import Dialect
from volspike.exchange.direct_connection import DirectConnection
from volspike.exchange.feed_status import FeedStatus
from volspike.exchange.items import Control, Decoded, Heartbeat, Quote
from volspike.exchange.simulator_clock import FollowingClock
from volspike.records import UNKNOWN

MOST_SECONDS_BETWEEN_BEATS = 5
"""Largest step of the heartbeat counter, which counts the server's seconds, on a feed that is whole."""


class FrameSink(Protocol):
    """Where a session's frames go: it archives, decodes and processes each one before it returns."""

    def begin(self, session: str) -> None:
        """Open a session; called before its first frame."""

    def frame(self, session: str, receive_ns: int, raw: bytes, monotonic_ns: int) -> Decoded:
        """Take one frame, verbatim, and return what it decodes to."""

    def end(self, session: str, reason: str) -> None:
        """Close a session; called after its last frame."""


@dataclass(frozen=True)
class SessionEnd:
    """How a session ended.

    Attributes
    ----------
    reason : str
        Label: ``stop``, ``silence``, ``heartbeat_jump``, ``no_ack``, ``subscribe_refused``, ``reset``,
        ``close_<code>``.
    words : str
        The same in words.
    refusal : str
        What the exchange said when it refused the subscription, else empty.
    was_live : bool
        Whether data flowed on an acknowledged subscription.
    """

    reason: str
    words: str
    refusal: str
    was_live: bool


class FeedSession:
    """Subscribe once, hand over every frame, and watch that the feed is alive.

    Parameters
    ----------
    name : str
        Session id.
    socket : DirectConnection
        An open connection.
    dialect : Dialect
        Its protocol.
    products : Sequence[str]
        What to subscribe to.
    clock : Clock
        Market time stamps the frames, monotonic time the timeouts.
    sink : FrameSink
        Receives the frames.
    settings : ClientSettings
        Timeouts.
    status : FeedStatus
        Kept up to date for display.
    """

    def __init__(
        self,
        name: str,
        socket: DirectConnection,
        dialect: Dialect,
        products: Sequence[str],
        clock: Clock,
        sink: FrameSink,
        settings: ClientSettings,
        status: FeedStatus,
    ) -> None:
        self._name = name
        self._socket = socket
        self._dialect = dialect
        self._products = tuple(products)
        self._refused: tuple[str, ...] = ()  # products that the exchange named in an error
        self._clock = clock
        self._following = clock if isinstance(clock, FollowingClock) else None
        self._sink = sink
        self._settings = settings
        self._status = status
        self._opened_ns = self._frame_ns = self._heartbeat_ns = clock.monotonic_ns()
        self._heartbeat_counter = UNKNOWN
        self._acknowledged = False  # at least in part
        self._missing = dialect.expected_channels(self._products)
        self._has_quote = False
        self._overdue = False  # the time to acknowledge is over
        self._impaired = False  # the exchange reported an error
        self._refusal = ""
        self._end_reason = ""
        self._end_words = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> SessionEnd:
        """Run the session until the connection is closed, by either side, and say how it ended.

        When ``stop`` is set the connection is closed; every frame received by then is handed over first.
        """
        self._status.state = "subscribing"
        self._sink.begin(self._name)
        self._start(self._watch(stop))
        try:
            await self._subscribe()
            await self._socket.deliver(self._take)
        except ConnectionClosed as closed:
            self._end(*describe_close(closed))
        finally:
            for task in self._tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            self._sink.end(self._name, self._end_reason or "failed")
        was_live = self._has_quote and self._acknowledged
        return SessionEnd(self._end_reason, self._end_words, self._refusal, was_live)

    async def _subscribe(self) -> None:
        with suppress(ConnectionClosed):  # the receive loop reports it, after the frames that came before
            products = [product for product in self._products if product not in self._refused]
            for message in self._dialect.subscribe_frames(products):
                await self._socket.send(message)

    def _take(self, raw: bytes) -> None:
        now_ns = self._clock.monotonic_ns()
        decoded = self._sink.frame(self._name, self._clock.market_ns(), raw, now_ns)
        self._frame_ns = self._status.last_frame_monotonic_ns = now_ns
        if not (self._has_quote and type(decoded.items[0]) is Quote):
            refused = self._refused
            self._observe(decoded, now_ns)
            if self._refused is not refused:
                self._start(self._subscribe())

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def _observe(self, decoded: Decoded, now_ns: int) -> None:
        for item in decoded.items:
            match item:
                case Heartbeat():
                    self._note_heartbeat(item, now_ns)
                case Quote():
                    self._has_quote = True
                    self._show_state()
                case Control(kind="subscriptions"):
                    self._note_acknowledgement(item.channels)
                    self._show_state()
                case Control(kind="error"):
                    self._note_error(item)
                    self._show_state()

    def _note_heartbeat(self, beat: Heartbeat, now_ns: int) -> None:
        before, self._heartbeat_counter = self._heartbeat_counter, beat.counter
        if beat.counter == UNKNOWN or beat.counter != before:
            self._heartbeat_ns = now_ns  # a counter that stands still proves nothing
        if UNKNOWN not in (before, beat.counter):
            # It counts the server's seconds: beats are lost, or another server answers.
            step_s = beat.counter - before
            if not 0 <= step_s <= MOST_SECONDS_BETWEEN_BEATS:
                self._end("heartbeat_jump", f"the heartbeat counter went from {before} to {beat.counter}")
        if self._following is not None:
            self._following.heard(beat.event_ns)

    def _note_error(self, error: Control) -> None:
        self._impaired = True
        self._status.last_error = error.text
        self._status.count(f"error_{error.error_class}")
        if error.error_class in ("configuration", "authentication") and self._missing:
            self._refuse(error.text)

    def _refuse(self, text: str) -> None:
        """Do without a product that the exchange names; with none named, or none left, give up."""
        words = text.replace(":", " ").split()
        named = [product for product in self._products if product in words and product not in self._refused]
        if named and len(self._refused) + len(named) < len(self._products):
            self._refused += tuple(named)
        else:
            self._refusal = text

    def _note_acknowledgement(self, channels: Mapping[str, tuple[str, ...]]) -> None:
        """Work out what is missing, by channel; a product answered under another name is not."""
        self._acknowledged = True
        self._missing = {}
        served_as = self._dialect.served_as
        for channel, names in self._dialect.expected_channels(self._products).items():
            confirmed = frozenset(channels.get(channel, ()))
            absent = tuple(n for n in names if n not in confirmed and served_as(n) not in confirmed)
            if absent:
                self._missing[channel] = absent

    def _show_state(self) -> None:
        status = self._status
        status.missing = self._missing.get("ticker", ())
        status.acknowledged = tuple(name for name in self._products if name not in status.missing)
        if self._impaired or (self._missing and self._overdue):
            status.state = "degraded"
        elif self._has_quote and not self._missing:
            status.state = "live"

    async def _watch(self, stop: asyncio.Event) -> None:
        interval_s = self._settings.check_interval_s
        before_ns = self._clock.monotonic_ns()
        try:
            while not await stopped_within(stop, interval_s):
                now_ns = self._clock.monotonic_ns()
                # After a stall of our own the frames are here, unread: judge the feed when they are.
                stalled = now_ns - before_ns > 2 * interval_s * NS_PER_SECOND
                before_ns = now_ns
                if not stalled and self._is_over(now_ns):
                    break
            else:
                self._end("stop", "stopped")
            if self._end_reason != "silence":
                await self._socket.close()
        finally:
            # Whatever ends the watch, no unwatched connection stays; on one that is closed this does nothing.
            self._socket.transport.abort()

    def _is_over(self, now_ns: int) -> bool:
        silence_ns = self._settings.silence_timeout_s * NS_PER_SECOND
        if self._refusal:
            self._end("subscribe_refused", f"the exchange refused the subscription: {self._refusal}")
        elif now_ns - self._frame_ns > silence_ns:
            self._end("silence", f"no frame for {self._settings.silence_timeout_s:g} s")
        elif now_ns - self._heartbeat_ns > silence_ns:
            self._end("silence", f"no heartbeat for {self._settings.silence_timeout_s:g} s")
        elif not self._overdue and now_ns - self._opened_ns > self._settings.ack_timeout_s * NS_PER_SECOND:
            self._judge_acknowledgement()
        return bool(self._end_reason)

    def _judge_acknowledgement(self) -> None:
        """Go on with some of the products, but not with none and not without their heartbeats."""
        self._overdue = True
        absent = self._missing.get("ticker", ())
        unproven = [
            channel
            for channel, names in self._missing.items()
            if channel != "ticker" and not set(names) <= set(absent)
        ]
        if unproven or len(absent) == len(self._products):
            self._end("no_ack", "the exchange did not acknowledge: " + ", ".join(unproven or self._missing))
        elif absent:
            self._status.last_error = "not acknowledged: " + ", ".join(absent)
            self._status.count("partial_ack")
        self._show_state()

    def _end(self, reason: str, words: str) -> None:
        if not self._end_reason:
            self._end_reason, self._end_words = reason, words


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for ``stop``, at most some seconds, and return whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()
