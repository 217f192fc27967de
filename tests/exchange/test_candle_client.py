"""The client of REST candles against the simulator on loopback: pages, pace, faults, odd answers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from made_candles import MINUTE_NS, NOW, PRODUCT, candles_of, exchange, trades
from volspike.errors import FeedError
from volspike.exchange.candle_client import (
    MINUTES_A_REQUEST,
    SETTLE_MINUTES,
    Answer,
    CandleClient,
    CandleClientSettings,
)
from volspike.exchange.candles import CandleTable
from volspike.simulation.limits import Limits
from volspike.testing.manual_clock import ManualClock

SETTINGS = CandleClientSettings(requests_per_s=1e6, timeout_s=5.0)


class Sleeps:
    """Moves the clock instead of waiting, and notes for how long."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.clock.advance(round(seconds * 1e9))


def client_of(url: str, settings: CandleClientSettings = SETTINGS) -> tuple[CandleClient, Sleeps]:
    sleeps = Sleeps(ManualClock(NOW * MINUTE_NS + 30_000_000_000))
    return CandleClient(url, sleeps.clock, Random(1), settings, sleeps), sleeps


def asked(
    ticks: Sequence[Any],
    spans: Sequence[tuple[int, int]],
    *faults: str,
    settings: CandleClientSettings = SETTINGS,
    product: str = PRODUCT,
    **served: Any,
) -> tuple[list[Answer], CandleClient, Sleeps, dict[str, Any]]:
    """Ask a simulator for spans; return the answers, the client, its sleeps and the simulator's books."""

    async def run() -> tuple[list[Answer], CandleClient, Sleeps, dict[str, Any]]:
        async with exchange(ticks, faults, **served) as simulator, asyncio.timeout(30):
            client, sleeps = client_of(simulator.admin_url, settings)
            async with client:
                answers = [await client.candles(product, *span) for span in spans]
            return answers, client, sleeps, simulator.state()

    return asyncio.run(run())


def figures_of(table: CandleTable) -> dict[int, tuple[float, ...]]:
    columns = (table.open, table.high, table.low, table.close, table.volume)
    return dict(zip(table.minute.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True))


def test_every_candle_of_every_page_is_that_of_the_trades() -> None:
    first = NOW - 3 * MINUTES_A_REQUEST
    holes = {first + 7, first + 8, first + MINUTES_A_REQUEST, NOW - 20}
    ticks = list(trades(first, NOW, holes))
    pages = [(begin, begin + MINUTES_A_REQUEST) for begin in range(first, NOW, MINUTES_A_REQUEST)]
    answers, client, _, state = asked(ticks, pages)
    found: dict[int, tuple[float, ...]] = {}
    for answer in answers:
        found |= figures_of(answer.table)
    assert found == candles_of(ticks)
    assert not holes & found.keys()
    assert state["candle_answers"] == {"200": 3}
    assert client.requests == 3
    # the minute at the end of a page comes with it, and again with the next
    assert [len(answer.table) for answer in answers[:2]] == [297, 299]
    assert all(answer.rows == len(answer.table) + answer.rejected.total() for answer in answers)


def test_the_minute_that_is_not_over_is_never_returned() -> None:
    answers, *_ = asked(list(trades(NOW - 10, NOW + 1)), [(NOW - 10, NOW + 5)])
    assert answers[0].table.minute.tolist() == list(range(NOW - 10, NOW))
    assert answers[0].rejected == {"unfinished": 1}
    assert answers[0].now == NOW
    # a young minute without a candle may still get one
    assert answers[0].answered == (NOW - 10, NOW - SETTLE_MINUTES)


def test_the_exchanges_clock_counts_where_ours_is_ahead() -> None:
    async def run() -> Answer:
        rows = [[minute * 60, 1, 2, 1, 2, 3] for minute in (NOW - 1, NOW, NOW + 1)]
        async with answering([(200, {"Date": "Mon, 01 Jan 2024 00:01:59 GMT"}, rows)]) as url:
            client, sleeps = client_of(url)
            sleeps.clock.advance(600 * 10**9)
            async with client:
                return await client.candles(PRODUCT, NOW - 5, NOW + 5)

    answer = asyncio.run(run())
    assert answer.table.minute.tolist() == [NOW - 1, NOW]
    assert answer.now == NOW + 1


def test_requests_are_spaced_evenly_below_the_public_limit() -> None:
    ticks = list(trades(NOW - 40, NOW))
    settings = CandleClientSettings(requests_per_s=8.0)
    spans = [(NOW - 40 + n, NOW - 39 + n) for n in range(20)]
    _, _, sleeps, state = asked(ticks, spans, settings=settings)
    assert sum(sleeps.seconds) == pytest.approx(19 / 8, abs=1e-6)
    assert max(sleeps.seconds) <= 1 / 8 + 1e-9
    assert state["candle_answers"] == {"200": 20}


def test_an_impatient_client_is_told_to_wait_and_waits() -> None:
    limits = Limits(requests_per_s=0.001, request_burst=2)
    settings = CandleClientSettings(requests_per_s=1e6, attempt_limit=2)
    with pytest.raises(FeedError, match=r"gave up after 2 attempts: it answered HTTP 429 .*rate limit"):
        asked([], [(NOW - 9, NOW - 8)] * 3, settings=settings, limits=limits)


@pytest.mark.parametrize(
    ("faults", "retries", "least_s"),
    [
        (["rest:429"], {"http_429": 1}, 1.0),  # what Retry-After asks for
        (["rest:500", "rest:503"], {"http_500": 1, "http_503": 1}, 0.0),
        (["restcut:2"], {"json": 2}, 0.0),
        (["rest:502", "restcut", "rest:429"], {"http_502": 1, "http_429": 1, "json": 1}, 1.0),
    ],
)
def test_what_passes_is_asked_again(faults: list[str], retries: dict[str, int], least_s: float) -> None:
    ticks = list(trades(NOW - 50, NOW))
    answers, client, sleeps, _ = asked(ticks, [(NOW - 50, NOW)], *faults)
    assert figures_of(answers[0].table) == candles_of(ticks)
    assert client.retries == retries
    assert client.requests == 1 + sum(retries.values())
    ceilings = [SETTINGS.backoff.ceiling_s(n) for n in range(1, client.requests)]
    assert len(sleeps.seconds) == len(ceilings)
    assert all(s <= max(c, 1.0) for s, c in zip(sleeps.seconds, ceilings, strict=True))
    assert sum(sleeps.seconds) >= least_s


def test_an_answer_that_takes_too_long_is_asked_for_again() -> None:
    ticks = list(trades(NOW - 50, NOW))
    settings = CandleClientSettings(requests_per_s=1e6, timeout_s=0.3)
    answers, client, *_ = asked(ticks, [(NOW - 50, NOW)], "restslow:700", settings=settings)
    assert client.retries == {"timeout": 1}
    assert len(answers[0].table) == 50


def test_it_gives_up_where_nobody_listens() -> None:
    async def run() -> None:
        client, sleeps = client_of("http://127.0.0.1:9")
        async with client:
            try:
                await client.candles(PRODUCT, NOW - 9, NOW)
            finally:
                assert client.retries == {"network": 6}
                assert len(sleeps.seconds) == 5

    with pytest.raises(FeedError, match="gave up after 6 attempts: the network failed"):
        asyncio.run(run())


def test_a_product_that_the_exchange_does_not_know_is_no_reason_to_try_again() -> None:
    with pytest.raises(FeedError, match=r"^NOPE-USD: .* does not know it"):
        asked([], [(NOW - 9, NOW)], product="NOPE-USD")
    with pytest.raises(FeedError, match="HTTP 403"):
        asked([], [(NOW - 9, NOW)], "rest:403")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "candles_url: is no address of the web"),
        ("ws://127.0.0.1:1", "is no address of the web"),
        ("https://", "is no address of the web"),
        ("http://[::1", "Invalid IPv6"),
        ("http://host:99999", "out of range"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, words: str) -> None:
    with pytest.raises(FeedError, match=words):
        CandleClient(url, ManualClock(), Random(1))


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense://x"])
def test_a_proxy_that_can_not_be_used_is_told(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(FeedError, match="check the proxy settings"):
        CandleClient("https://candles.example", ManualClock(), Random(1))
    CandleClient("http://127.0.0.1:1", ManualClock(), Random(1))  # nobody asks a proxy for this machine


@asynccontextmanager
async def answering(answers: Sequence[tuple[int, dict[str, str], Any]]) -> Any:
    """Answer requests with status, headers and body, one after the other; the last again and again."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, headers, body = left.pop(0) if len(left) > 1 else left[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {**headers, "Content-Length": str(len(data)), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def told(ask: Callable[[CandleClient], Awaitable[Any]], *answers: tuple[int, dict[str, str], Any]) -> Any:
    async def run() -> Any:
        async with answering(answers) as url:
            client, sleeps = client_of(url)
            async with client:
                return await ask(client), client, sleeps

    return asyncio.run(run())


async def ten_minutes(client: CandleClient) -> Answer:
    return await client.candles(PRODUCT, NOW - 10, NOW)


def test_every_row_that_is_no_candle_is_counted_and_leaves_its_minutes_unanswered() -> None:
    time = (NOW - 10) * 60
    rows: list[Any] = [
        [time, 9, 12, 10, 11.5, 1],
        [time + 60, 12, 9, 10, 11, 1],
        [time + 120, 9, 12, 10, 12.5, 1],
        [time + 180, 0, 12, 10, 11, 1],
        [time + 241, 9, 12, 10, 11, 1],
        [time + 300, 9, "12", 10, 11, 1],
        [time + 300, 9, True, 10, 11, 1],
        [time + 300, 9, 12, 10, None, 1],
        [time + 300, 9, 12, 10],
        [float(time), 9, 12, 10, 11, 1],
        "candle",
        [time - 60, 9, 12, 10, 11, 1],
        [6 * 10**30, 9, 12, 10, 11, 1],
        [time, 9, 12, 10, 11.5, 1],
        [time, 9, 12, 10, 11, 1],
    ]
    answer, _, _ = told(ten_minutes, (200, {}, rows))
    assert answer.table.minute.tolist() == [NOW - 10]
    assert answer.rejected == {
        "high_below_low": 1,
        "outside_range": 1,
        "non_positive": 1,
        "off_minute": 1,
        "number": 3,
        "schema": 3,
        "unasked": 2,
        "repeated": 1,
        "contradictory": 1,
    }
    assert answer.rows == len(rows)
    assert answer.answered == (NOW - 10, NOW - 10)


def test_figures_are_the_nearest_floats_to_what_was_written() -> None:
    written = ("0.00001234", "61822.123456789012345", "1e-4", "0.1", "0.30000000000000004")
    body = f"[[{(NOW - 9) * 60},{','.join(written)}]]".encode()
    answer, _, _ = told(ten_minutes, (200, {}, body))
    low, high, open_, close, volume = map(Fraction, written)
    found = figures_of(answer.table)[NOW - 9]
    assert not answer.rejected
    for figure, exact in zip(found, (open_, high, low, close, volume), strict=True):
        around = (math.nextafter(figure, -math.inf), math.nextafter(figure, math.inf))
        assert all(abs(Fraction(figure) - exact) <= abs(Fraction(other) - exact) for other in around)


@pytest.mark.parametrize("body", [b"", b"null", b'{"message":"hello"}', b"[[1,2", b"\xff\xfe", b"<html>"])
def test_an_answer_that_is_no_list_is_asked_for_again_until_it_gives_up(body: bytes) -> None:
    with pytest.raises(FeedError, match="gave up after 6 attempts: its answer is no list of candles"):
        told(ten_minutes, (200, {}, body))
    answer, client, _ = told(ten_minutes, (200, {}, body), (200, {}, []))
    assert answer.rows == 0
    assert client.retries == {"json": 1}


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:21 GMT", "Date": "Mon, 01 Jan 2024 00:00:10 GMT"}, 11.0),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:55 GMT"}, 25.0),  # by our own clock
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
    ],
)
def test_what_retry_after_asks_for_is_waited(headers: dict[str, str], pause_s: float) -> None:
    _, client, sleeps = told(ten_minutes, (429, headers, {}), (200, {}, []))
    assert client.retries == {"http_429": 1}
    assert sleeps.seconds[0] == pause_s or (pause_s == 0.0 and 0 <= sleeps.seconds[0] <= 0.5)


def test_a_pause_of_hours_is_not_waited_for() -> None:
    with pytest.raises(FeedError, match="asks for 86400 s of peace; run it again then"):
        told(ten_minutes, (503, {"Retry-After": "86400"}, {}))
