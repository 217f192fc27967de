"""The simulated exchange's REST interface: ``GET /products/{id}/candles`` on the port of either dialect."""

from __future__ import annotations

import asyncio
import http
from collections import Counter
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from volspike.clock import Clock
from volspike.errors import ProtocolError
from volspike.exchange.decimals import NS_PER_SECOND, parse_time_ns
from volspike.simulation.admin import json_response
from volspike.simulation.candle_book import MINUTE_NS, MINUTE_S, CandleBook
from volspike.simulation.door import Door
from volspike.simulation.limits import Limits, TokenBucket

PREFIX = "/products/"
MOST_CANDLES = 300


class CandleDesk:
    """Answers requests for candles as the exchange does.

    Parameters
    ----------
    products : sequence of str
        What there is.
    book : CandleBook
        The candles.
    door : Door
        Deals out the faults meant for the next request.
    limits : Limits
        The rate beyond which a request is answered 429.
    answered : Counter
        Answers by HTTP status, kept up to date.
    clock : Clock
        Monotonic time for the rate.
    """

    def __init__(
        self,
        products: Sequence[str],
        book: CandleBook,
        door: Door,
        limits: Limits,
        answered: Counter[str],
        clock: Clock,
    ) -> None:
        self._products = products
        self._book = book
        self._door = door
        self._bucket = TokenBucket(limits.requests_per_s, limits.request_burst)
        self._answered = answered
        self._clock = clock

    async def answer(self, connection: ServerConnection, target: str, now_ns: int) -> Response:
        """Answer a request at market time ``now_ns``; the minute that is not over has a candle too."""
        slow_ms = self._door.take("restslow")
        if slow_ms is not None:
            await asyncio.sleep(slow_ms / 1_000)
        try:
            body = self._body(target, now_ns)
            status = http.HTTPStatus.OK
        except _RefusedError as refused:
            status, body = refused.status, f'{{"message":"{refused}"}}'
        if status == http.HTTPStatus.OK and self._door.take("restcut") is not None:
            body = body[: len(body) // 2]
        self._answered[str(status.value)] += 1
        response = json_response(connection, status, body)
        if status == http.HTTPStatus.TOO_MANY_REQUESTS:
            response.headers["Retry-After"] = "1"
        return response

    def _body(self, target: str, now_ns: int) -> str:
        fault = self._door.take("rest")
        if fault is not None:
            raise _RefusedError(http.HTTPStatus(fault), http.HTTPStatus(fault).phrase)
        if not self._bucket.take(self._clock.monotonic_ns()):
            raise _RefusedError(http.HTTPStatus.TOO_MANY_REQUESTS, "Public rate limit exceeded")
        url = urlsplit(target)
        product, _, what = url.path.removeprefix(PREFIX).partition("/")
        if what != "candles" or unquote(product) not in self._products:
            raise _RefusedError(http.HTTPStatus.NOT_FOUND, "NotFound")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if query.get("granularity", str(MINUTE_S)) != str(MINUTE_S):
            raise _RefusedError(http.HTTPStatus.BAD_REQUEST, "Unsupported granularity")
        first, last = _span(query, now_ns // MINUTE_NS)
        return f"[{','.join(self._book.rows(unquote(product), first, last, MOST_CANDLES))}]"


class _RefusedError(Exception):
    """A request is answered with another status than 200."""

    def __init__(self, status: http.HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def _span(query: dict[str, str], now: int) -> tuple[int, int]:
    """Return the first and last minute asked for; without both ends, the last ones up to now."""
    if "start" not in query or "end" not in query:
        return now - MOST_CANDLES + 1, now
    first = -(-_time_ns(query["start"]) // MINUTE_NS)
    last = _time_ns(query["end"]) // MINUTE_NS
    if last < first:
        raise _RefusedError(http.HTTPStatus.BAD_REQUEST, "start must be before end")
    if last - first + 1 > MOST_CANDLES:
        raise _RefusedError(
            http.HTTPStatus.BAD_REQUEST,
            "granularity too small for the requested time range. "
            f"Count of aggregations requested exceeds {MOST_CANDLES}",
        )
    return first, min(last, now)


def _time_ns(text: str) -> int:
    """Read an ISO time or seconds since 1970."""
    if text.isdigit() and len(text) < 11:
        return int(text) * NS_PER_SECOND
    try:
        return parse_time_ns(text)
    except ProtocolError:
        raise _RefusedError(http.HTTPStatus.BAD_REQUEST, "Invalid start or end") from None
