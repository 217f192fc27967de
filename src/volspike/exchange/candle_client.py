"""The exchange's public REST candles: one product and span of minutes a request.

``GET /products/{id}/candles?granularity=60&start=&end=`` answers ``[time, low, high, open, close, volume]``
rows, newest first, at most 300; a minute without a trade has none. More than 300 are refused. The documents
do not say whether the minute at ``end`` is among them, and earlier ones than ``start`` may be.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from random import Random
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec
from websockets.exceptions import InvalidURI

from volspike.clock import Clock
from volspike.errors import FeedError, ProtocolError
from volspike.exchange.backoff import BackoffPolicy, TokenBucket
from volspike.exchange.candles import MINUTE_NS, MINUTE_S, Candle, CandleTable, assemble, fault_of
from volspike.exchange.connecting import is_loopback, shown_url
from volspike.exchange.decimals import NS_PER_SECOND, format_time_ns
from volspike.exchange.simulator_clock import follow_simulator

SOURCE = "coinbase"

# A request for these minutes, and the next one as its end, asks for no more than 300 candles, however the
# exchange counts; only these count as answered.
MINUTES_A_REQUEST = 299

SETTLE_MINUTES = 5
"""A minute this young without a candle may still get one, and is asked for again another time."""

_ROW_FIELDS = ("low", "high", "open", "close", "volume")
_SHOWN_CHARS = 200
_SOUND = frozenset({"unasked", "unfinished"})  # what is left out of an answer that is as it should be


@dataclass(frozen=True)
class CandleClientSettings:
    """How a client behaves towards the exchange.

    Attributes
    ----------
    requests_per_s : float
        Most requests a second, evenly spaced; the public limit is 10 a second an address.
    timeout_s : float
        Longest wait for a connection, and between two parts of an answer.
    attempt_limit : int
        Attempts at one request before the client gives up.
    longest_pause_s : float
        A ``Retry-After`` beyond it is not waited for.
    backoff : BackoffPolicy
        Delays between attempts at one request.
    """

    requests_per_s: float = 8.0
    timeout_s: float = 10.0
    attempt_limit: int = 6
    longest_pause_s: float = 300.0
    backoff: BackoffPolicy = field(default_factory=lambda: BackoffPolicy(first_s=0.5))


@dataclass(frozen=True)
class Answer:
    """What the exchange said to one request.

    Attributes
    ----------
    table : CandleTable
        Its sound candles of minutes that are over.
    rows : int
        How many it sent; those in ``table`` and in ``rejected``.
    rejected : Counter
        Rows by the reason they can't be used for: ``schema``, ``number``, ``off_minute``, ``unasked``,
        ``unfinished``, and those of ``fault_of`` and ``assemble``.
    answered : tuple of (int, int)
        The minutes that need not be asked for again, candle or not; the second is not among them. None where
        a row was not as it should be.
    now : int
        The minute that was not over.
    """

    table: CandleTable
    rows: int
    rejected: Counter[str]
    answered: tuple[int, int]
    now: int


class CandleClient:
    """Asks the exchange for candles, at its pace, for as long as it takes; an async context manager.

    Parameters
    ----------
    url : str
        ``https://`` or ``http://`` address of the REST interface.
    clock : Clock
        Says which minutes are over, as far as the exchange's own clock agrees; follows a simulator's.
    rng : Random
        Source of the jitter.
    settings : CandleClientSettings, optional
        Rate, patience and backoff.
    sleep : callable, optional
        Waits for seconds.

    Attributes
    ----------
    requests : int
        Requests sent.
    retries : Counter
        Requests that had to be sent again, by reason: ``http_429``, ``http_503``, ``timeout``, ``network``,
        ``json``.

    Raises
    ------
    FeedError
        If the address, or that of the proxy, is malformed or of no kind that can be used.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        rng: Random,
        settings: CandleClientSettings | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = _checked(url)
        self._settings = settings or CandleClientSettings()
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self._bucket = TokenBucket(self._settings.requests_per_s)
        self.requests = 0
        self.retries: Counter[str] = Counter()
        self._http = _opened(self._url, self._settings.timeout_s)

    async def __aenter__(self) -> CandleClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def candles(self, product: str, first: int, end: int) -> Answer:
        """Ask for the candles of a span of minutes.

        Parameters
        ----------
        product : str
            Such as ``BTC-USD``.
        first, end : int
            Minutes since 1970: from the first to before the end, at most ``MINUTES_A_REQUEST``.

        Raises
        ------
        FeedError
            If the exchange refuses, or has not answered properly after every attempt.
        """
        if not 0 < end - first <= MINUTES_A_REQUEST:
            raise ValueError(f"{end - first} minutes can't be asked for at once")
        query = {
            "granularity": str(MINUTE_S),
            "start": format_time_ns(first * MINUTE_NS),
            "end": format_time_ns(end * MINUTE_NS),
        }
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._read(product, first, end, await self._ask(product, query))
            except _AgainError as failure:
                self.retries[failure.reason] += 1
                if attempt == self._settings.attempt_limit:
                    raise self._given_up(attempt, failure) from failure
                await self._sleep(max(failure.pause_s, self._settings.backoff.delay_s(attempt, self._rng)))

    def _given_up(self, attempts: int, failure: _AgainError) -> FeedError:
        return FeedError(
            shown_url(self._url),
            f"gave up after {attempts} attempts: {failure.words}",
            "check the network and candles_url, and run it again: it goes on where it stopped",
        )

    async def _ask(self, product: str, query: dict[str, str]) -> httpx.Response:
        wait_ns = self._bucket.reserve_ns(self._clock.monotonic_ns())
        if wait_ns:
            await self._sleep(wait_ns / NS_PER_SECOND)
        self.requests += 1
        try:
            response = await self._http.get(f"{self._url}/products/{quote(product)}/candles", params=query)
        except httpx.TimeoutException:
            raise _AgainError("timeout", f"no answer within {self._settings.timeout_s:g} s") from None
        except httpx.RequestError as error:
            raise _AgainError("network", f"the network failed ({error})") from None
        if response.status_code != httpx.codes.OK:
            raise self._refusal(product, response)
        return response

    def _refusal(self, product: str, response: httpx.Response) -> _AgainError | FeedError:
        """Return what an answer other than 200 leads to: another attempt, or the end."""
        status, said = response.status_code, response.text[:_SHOWN_CHARS].strip()
        words = f"it answered HTTP {status}" + (f" ({said})" if said else "")
        if status == httpx.codes.NOT_FOUND:
            return FeedError(product, f"{shown_url(self._url)} does not know it", "check the product's name")
        if status != httpx.codes.TOO_MANY_REQUESTS and status < 500:
            return FeedError(shown_url(self._url), words, "check candles_url and the span of time")
        pause_s = self._asked_pause_s(response)
        if pause_s > self._settings.longest_pause_s:
            return FeedError(
                shown_url(self._url), f"{words} and asks for {pause_s:.0f} s of peace", "run it again then"
            )
        return _AgainError(f"http_{status}", words, pause_s)

    def _asked_pause_s(self, response: httpx.Response) -> float:
        """Return what ``Retry-After`` asks for: seconds, or a date by the exchange's own clock."""
        text = response.headers.get("Retry-After", "").strip()
        if text.isdigit() and text.isascii():
            return float(text[:9])
        until = _date_ns(text)
        now_ns = _date_ns(response.headers.get("Date", "")) or self._clock.market_ns()
        return 0.0 if until is None else max(0.0, (until - now_ns) / NS_PER_SECOND)

    def _read(self, product: str, first: int, end: int, response: httpx.Response) -> Answer:
        try:
            rows = msgspec.json.decode(response.content, type=list[Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _AgainError("json", f"its answer is no list of candles ({error})") from None
        now = self._now_minute(response)
        rejected: Counter[str] = Counter()
        candles = []
        for row in rows:
            try:
                candles.append(_candle(row, first, end, now))
            except ProtocolError as error:
                rejected[error.reason] += 1
        table = assemble(product, SOURCE, candles, rejected)
        is_sound = rejected.keys() <= _SOUND
        settled = max(first, min(end, now - SETTLE_MINUTES)) if is_sound else first
        return Answer(table, len(rows), rejected, (first, settled), now)

    def _now_minute(self, response: httpx.Response) -> int:
        """Return the minute that is not over: by this clock or the exchange's, whichever is behind."""
        now_ns = self._clock.market_ns()
        if follow_simulator(self._clock, response.headers, shown_url(self._url)):
            return self._clock.market_ns() // MINUTE_NS
        return min(now_ns, _date_ns(response.headers.get("Date", "")) or now_ns) // MINUTE_NS


class _AgainError(Exception):
    """A request did not succeed and may be sent again, not before a pause."""

    def __init__(self, reason: str, words: str, pause_s: float = 0.0) -> None:
        super().__init__(words)
        self.reason, self.words, self.pause_s = reason, words, pause_s


def _candle(row: Any, first: int, end: int, now: int) -> Candle:
    """Read a row as a candle of a minute that was asked for and is over."""
    if not isinstance(row, list) or len(row) <= len(_ROW_FIELDS) or type(row[0]) is not int:
        raise ProtocolError("schema")
    minute, rest_s = divmod(row[0], MINUTE_S)
    if rest_s:
        raise ProtocolError("off_minute")
    # The one at ``end`` begins the next request: it is welcome, and arrives again.
    if not first <= minute <= end:
        raise ProtocolError("unasked")
    if minute >= now:
        raise ProtocolError("unfinished")
    figures = dict(zip(_ROW_FIELDS, map(_number, row[1:]), strict=False))
    candle = Candle(minute, **figures)
    if fault := fault_of(candle):
        raise ProtocolError(fault)
    return candle


def _number(value: Any) -> float:
    """Return a JSON number as the nearest float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtocolError("number")
    try:
        number = float(value)
    except OverflowError:
        raise ProtocolError("number") from None
    if not math.isfinite(number):
        raise ProtocolError("number")
    return number


def _date_ns(text: str) -> int | None:
    """Read a date of an HTTP header as nanoseconds since 1970; None where it is none."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return None if date.tzinfo is None else int(date.timestamp()) * NS_PER_SECOND


def _opened(url: str, timeout_s: float) -> httpx.AsyncClient:
    """Return a client that asks the proxy of the environment, but for an address on this machine."""
    headers = {"User-Agent": "volspike", "Accept": "application/json"}
    try:
        return httpx.AsyncClient(timeout=timeout_s, headers=headers, trust_env=not is_loopback(url))
    except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:  # ImportError: a SOCKS proxy
        remedy = "check the proxy settings and SSL_CERT_FILE of the environment"
        raise FeedError(shown_url(url), f"can't be asked ({error})", remedy) from None


def _checked(url: str) -> str:
    remedy = "give an https:// address such as https://api.exchange.coinbase.com"
    try:
        parts = urlsplit(url)
        is_loopback(url)
    except (ValueError, InvalidURI) as error:
        raise FeedError(shown_url(url), str(error), remedy) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FeedError(shown_url(url) or "candles_url", "is no address of the web", remedy)
    return url.rstrip("/")
