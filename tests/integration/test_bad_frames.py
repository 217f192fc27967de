"""Every kind of bad frame over a real WebSocket: counted, kept with its bytes, and the stream goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from volspike.clock import SimulatedClock
from volspike.exchange.decimals import format_time_ns
from volspike.pipeline.assembly import open_live
from volspike.records import DeadLetter, Tick
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    adds_up,
    archived_frames,
    assert_identical,
    logged,
    settings_for,
    until,
)

NS = 1_000_000_000
HUGE = 20 * 1024 * 1024


class Exchange:
    """Writes the frames of a market that says what it is told to say, bad frames in between."""

    def __init__(self) -> None:
        self.trade_id = 100

    def fields(self, **changed: Any) -> dict[str, Any]:
        self.trade_id += 1
        stamp = format_time_ns(ORIGIN_NS + self.trade_id * NS // 10)
        return {
            "type": "ticker",
            "sequence": self.trade_id,
            "product_id": PRODUCT,
            "price": "100.00",
            "best_bid": "99.99",
            "best_bid_size": "0.5",
            "best_ask": "100.01",
            "best_ask_size": "0.5",
            "time": stamp,
            "trade_id": self.trade_id,
            "last_size": "0.1",
        } | changed

    def ticker(self, **changed: Any) -> bytes:
        return json.dumps(self.fields(**changed)).encode()

    def without(self, name: str) -> bytes:
        fields = self.fields()
        del fields[name]
        return json.dumps(fields).encode()


Bad = dict[str, tuple[bytes, bool]]

# name: (how the frame is made, whether it is kept as a dead letter)
BAD_FRAMES: dict[str, tuple[Callable[[Exchange], bytes], bool]] = {
    "malformed JSON": (lambda _: b'{"type":"ticker","product_id":', True),
    "no object": (lambda _: b"[1,2,3]", True),
    "empty frame": (lambda _: b"", True),
    "truncated UTF-8": (lambda e: e.ticker()[:-2] + b"\xe2\x82", True),
    "binary": (lambda _: bytes(range(256)), True),
    "20 MB": (lambda _: b'{"type":"ticker","x":"' + b"a" * HUGE + b'"}', True),
    "deep nesting": (lambda _: b'{"type":"ticker","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", True),
    "unknown type": (lambda _: b'{"type":"rumour","product_id":"BTC-USD"}', False),
    "missing bid": (lambda e: e.without("best_bid"), True),
    "missing time": (lambda e: e.without("time"), True),
    "empty string": (lambda e: e.ticker(best_bid=""), True),
    "NaN": (lambda e: e.ticker(best_ask="NaN"), True),
    "Infinity": (lambda e: e.ticker(best_bid="Infinity"), True),
    "a bare NaN": (lambda e: e.ticker().replace(b'"100.01"', b"NaN"), True),
    "negative price": (lambda e: e.ticker(best_bid="-1.00"), True),
    "zero price": (lambda e: e.ticker(best_bid="0.00"), True),
    "crossed book": (lambda e: e.ticker(best_bid="101.00"), True),
    "stamp in the future": (lambda e: e.ticker(time="2099-01-01T00:00:00Z"), True),
    "stamp of 1970": (lambda e: e.ticker(time="1970-01-01T00:00:00Z"), True),
    "no stamp": (lambda e: e.ticker(time="yesterday"), True),
    "time going back": (lambda e: e.ticker(time=format_time_ns(ORIGIN_NS + 12 * NS)), False),
    "sequence going back": (
        lambda e: e.ticker(trade_id=7, sequence=7, time=format_time_ns(ORIGIN_NS + 11 * NS)),
        False,
    ),
    "the trade before again": (lambda e: e.ticker(trade_id=e.trade_id), False),
    "product never subscribed": (lambda e: e.ticker(product_id="DOGE-USD"), False),
    "a tenfold price": (lambda e: e.ticker(best_bid="999.90", best_ask="1000.10"), True),
}


async def serve_frames(root: Path, frames: list[bytes]) -> dict[str, Any]:
    """Run a live job on a server that sends these frames after the acknowledgement, and nothing else."""

    async def tell(connection: ServerConnection) -> None:
        await connection.recv()
        channels = [{"name": name, "product_ids": [PRODUCT]} for name in ("ticker", "heartbeat")]
        await connection.send(json.dumps({"type": "subscriptions", "channels": channels}))
        try:
            for frame in frames:
                is_text = frame.isascii()
                await connection.send(frame.decode() if is_text else frame)
            await connection.wait_closed()
        except ConnectionClosed:
            return

    def stated_clock(connection: ServerConnection, request: object, response: Any) -> None:
        response.headers["X-Simulated-Clock"] = f"0,{ORIGIN_NS + 40 * NS},0.0"

    async with serve(tell, "127.0.0.1", 0, process_response=stated_clock, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        job = open_live(settings_for(root), SimulatedClock(), (), f"ws://127.0.0.1:{port}")
        stop = asyncio.Event()
        running = asyncio.create_task(job.run(stop))
        try:
            await until(lambda: job.pipeline.accounting.frames >= len(frames) + 1, 20.0)
        finally:
            stop.set()
            await asyncio.wait((running,))
            job.close()
        await running
    return job.as_dict()


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Bad]:
    root = tmp_path_factory.mktemp("spoiled")
    exchange = Exchange()
    frames = [exchange.ticker() for _ in range(60)]
    bad: Bad = {}
    for name, (make, is_dead) in BAD_FRAMES.items():
        bad[name] = make(exchange), is_dead
        frames += [bad[name][0], *(exchange.ticker() for _ in range(3))]
    return root, asyncio.run(serve_frames(root, frames)), bad


def test_invariant_07_the_stream_outlives_every_bad_frame(spoiled) -> None:
    root, report, bad = spoiled
    adds_up(report)
    assert report["reconnects"] == 0
    assert report["frames"] == 1 + 60 + 4 * len(bad)
    assert report["ticks"] == 59 + 3 * len(bad)  # the first one is the snapshot
    assert_identical(root)


def test_every_bad_frame_is_kept_with_its_bytes_unless_it_may_be_ignored(spoiled) -> None:
    root, report, bad = spoiled
    letters = [letter for letter in logged(root, "ticks.deadletter") if isinstance(letter, DeadLetter)]
    kept = {name for name, (frame, _) in bad.items() if frame in {letter.raw for letter in letters}}
    assert kept == {name for name, (_, is_dead) in bad.items() if is_dead}
    assert len(letters) == len(kept) == report["deadlettered"]
    assert all(letter.reason and letter.archive_seq for letter in letters)


def test_bad_frames_are_in_the_archive_verbatim(spoiled) -> None:
    root, _, bad = spoiled
    archived = {raw for _, raw in archived_frames(root)}
    assert all(frame in archived for frame, _ in bad.values())


def test_reasons_are_told_apart(spoiled) -> None:
    _, report, _ = spoiled
    assert len(report["deadletter_reasons"]) >= 8, report["deadletter_reasons"]
    assert {"late", "duplicate", "unsubscribed", "unknown_type"} <= set(report["ignored"]), report["ignored"]


def test_no_bad_quote_reaches_a_tick(spoiled) -> None:
    root, _, _ = spoiled
    for tick in logged(root, "ticks.raw"):
        assert isinstance(tick, Tick)
        assert (tick.bid, tick.ask) == (9_999_000_000, 10_001_000_000)
