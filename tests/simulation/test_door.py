"""Faults of the market, of heartbeats, and of the next connection."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from volspike.simulation.faults import parse_fault

BOTH = pytest.mark.parametrize("dialect", ["exchange", "advanced"])
TWO = ("BTC-USD", "ETH-USD")


def two_products(kit: Any, seconds: int = 20) -> Any:
    """Return a market in which two products trade in turn, twice a second each."""
    from volspike.simulation.market import MarketBreak

    ticks = [kit.tick(i / 4, 101 + i // 2, TWO[i % 2]) for i in range(4 * seconds)]
    opening = tuple(kit.tick(-20.0, 100, product) for product in TWO)
    return kit.ListMarket([MarketBreak("start", kit.START, opening), *ticks])


def run(kit: Any, dialect: str, *faults: str, market: Any = None) -> tuple[list[dict[str, Any]], Any]:
    plan = tuple(parse_fault(text) for text in faults)
    transcript, state = kit.whole_run(market or two_products(kit), dialect, speed=500.0, plan=plan)
    return transcript.frames, state


def rows(frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (product, stamp) of every ticker row."""
    flat = [(f["product_id"], f["time"]) for f in frames if f.get("type") == "ticker"]
    return flat + [
        (row["product_id"], f["timestamp"])
        for f in frames
        if f.get("channel") == "ticker"
        for event in f["events"]
        for row in event["tickers"]
    ]


def beats(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [f for f in frames if f.get("type") == "heartbeat" or f.get("channel") == "heartbeats"]


def acknowledged(frames: list[dict[str, Any]]) -> list[list[str]]:
    """Return the ticker products of every acknowledgement."""
    of_exchange = [
        channel["product_ids"]
        for f in frames
        if f.get("type") == "subscriptions"
        for channel in f["channels"]
        if channel["name"] == "ticker"
    ]
    events = [event for f in frames if f.get("channel") == "subscriptions" for event in f["events"]]
    return of_exchange + [e["subscriptions"]["ticker"] for e in events if "ticker" in e["subscriptions"]]


@BOTH
def test_handshakes_are_refused_with_the_status_asked_for(kit: Any, dialect: str) -> None:
    async def main() -> tuple[list[int], Any]:
        plan = tuple(parse_fault(text) for text in ("http:403,at=0", "http:500,at=0"))
        statuses = []
        async with kit.serving(kit.steady(5.0), plan=plan) as simulator:
            for status in (0, 0, 429, 0):
                if status:
                    await kit.admin(simulator, f"/admin/fault?kind=http:{status}")
                try:
                    async with connect(simulator.urls[dialect]):
                        statuses.append(101)
                except InvalidStatus as refused:
                    statuses.append(refused.response.status_code)
            return statuses, simulator.state()

    statuses, state = asyncio.run(main())
    assert statuses == [403, 500, 429, 101]
    assert state["refused"] == {"403": 1, "500": 1, "429": 1}
    assert state["faults"] == {"http": 3}


def test_a_slow_handshake_takes_its_time_once(kit: Any) -> None:
    async def main() -> list[float]:
        taken = []
        async with kit.serving(kit.steady(5.0), plan=(parse_fault("slow:400"),)) as simulator:
            for _ in range(2):
                began = time.monotonic()
                async with connect(simulator.urls["advanced"]):
                    taken.append(time.monotonic() - began)
        return taken

    first, second = asyncio.run(main())
    assert second < 0.4 <= first


@BOTH
def test_a_subscription_can_stay_unacknowledged_while_it_is_served(kit: Any, dialect: str) -> None:
    frames, state = run(kit, dialect, "noack")
    assert "subscriptions" not in state["sent_by_type"]
    assert state["subscribes_received"] == (2 if dialect == "advanced" else 1)
    assert len(rows(frames)) == 82
    if dialect == "advanced":
        assert [f["sequence_num"] for f in frames] == list(range(len(frames)))


@BOTH
def test_a_subscription_can_be_served_in_part(kit: Any, dialect: str) -> None:
    frames, _ = run(kit, dialect, "partial")
    assert {product for product, _ in rows(frames)} == {"BTC-USD"}
    assert acknowledged(frames)[0] == ["BTC-USD"]
    assert len(beats(frames)) > 100
    assert {f.get("product_id", "BTC-USD") for f in beats(frames)} == {"BTC-USD"}


@BOTH
def test_a_quiet_market_beats_and_tells_nothing(kit: Any, dialect: str) -> None:
    frames, state = run(kit, dialect, "quiet:10,at=4.9")
    told_s = {float(stamp[17:-1]) for _, stamp in rows(frames)}
    assert [s for s in told_s if 5 <= s < 14.9] == []
    assert {4.75, 15.0} <= told_s
    assert state["withheld"] == {"quiet": 40}
    if dialect == "advanced":
        assert [f["sequence_num"] for f in frames] == list(range(len(frames)))


@BOTH
@pytest.mark.parametrize("step_s", [5, -5])
def test_the_exchanges_clock_can_step(kit: Any, dialect: str, step_s: int) -> None:
    clean = [stamp for _, stamp in rows(run(kit, dialect)[0])]
    stepped = [stamp for _, stamp in rows(run(kit, dialect, f"clock:{step_s},at=9.9")[0])]

    def second(stamp: str) -> float:
        return int(stamp[14:16]) * 60 + float(stamp[17:-1])

    shifts = [round(second(b) - second(a), 3) for a, b in zip(clean, stepped, strict=True)]
    assert set(shifts) == {0.0, float(step_s)}
    assert shifts == sorted(shifts, key=abs)
    assert shifts.count(step_s) == 40


def test_a_delisted_product_trades_no_more_and_can_not_be_subscribed(kit: Any) -> None:
    status = json.dumps({"type": "subscribe", "channels": ["status"]})
    again = json.dumps({"type": "subscribe", "channels": ["ticker"], "product_ids": list(TWO)})

    async def main() -> list[dict[str, Any]]:
        async with kit.connected(two_products(kit, 600), "exchange", speed=20.0) as (simulator, ws):
            await ws.send(kit.subscriptions("exchange", TWO)[0])
            await ws.send(status)
            for _ in range(20):
                await ws.recv()
            await kit.admin(simulator, "/admin/fault?kind=delist")
            await ws.send(again)
            frames = []
            async with asyncio.timeout(10):
                while len(frames) < 60:
                    frames.append(json.loads(await ws.recv()))
            return frames

    frames = asyncio.run(main())
    index = next(i for i, f in enumerate(frames) if f["type"] == "status")
    assert [p["status"] for p in frames[index]["products"]] == ["online", "delisted"]
    assert {product for product, _ in rows(frames[index:])} == {"BTC-USD"}
    refusals = [f["reason"] for f in frames if f["type"] == "error"]
    assert refusals == ["ETH-USD is delisted"]


@pytest.mark.parametrize(
    ("faults", "steps"), [((), {1}), (("skip:40,at=9.5",), {1, 41}), (("freeze,at=9.5",), {0, 1})]
)
def test_the_heartbeat_counter_can_jump_and_stand_still(kit: Any, faults: Any, steps: set[int]) -> None:
    frames, _ = run(kit, "advanced", *faults)
    counters = [event["heartbeat_counter"] for f in beats(frames) for event in f["events"]]
    assert {later - earlier for earlier, later in pairwise(counters)} == steps
    assert len(counters) > 100


@BOTH
def test_an_error_frame_can_be_sent_at_any_time(kit: Any, dialect: str) -> None:
    frames, _ = run(
        kit, dialect, "error:Failed to subscribe: X-USD is delisted,at=3", "error:ErrSlowConsume,at=4"
    )
    errors = [f for f in frames if f.get("type") == "error"]
    assert errors == [
        {"type": "error", "message": "Failed to subscribe", "reason": "X-USD is delisted"},
        {"type": "error", "message": "ErrSlowConsume"},
    ]


def test_the_control_port_injects_at_once_and_nothing_else(kit: Any) -> None:
    async def main() -> tuple[Any, Any]:
        async with kit.serving(kit.steady(5.0)) as simulator:
            timed = await kit.admin(simulator, "/admin/fault?kind=nan,every=3")
            unknown = await kit.admin(simulator, "/admin/fault?kind=nonsense")
            return timed, unknown

    timed, unknown = asyncio.run(main())
    assert (timed[0], unknown[0]) == (400, 400)
    assert "at once" in timed[2]
    assert "outlier" in unknown[2]
