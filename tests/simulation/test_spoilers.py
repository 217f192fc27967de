"""Each way to spoil a ticker frame, in both dialects, and its way over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from volspike.simulation import wire
from volspike.simulation.board import Board
from volspike.simulation.faults import parse_fault
from volspike.simulation.spoilers import SPOILERS

Row = dict[str, Any]


def whole_frame(kit: Any, dialect: str) -> bytes:
    """Return a ticker frame as the simulator writes it."""
    sweep = Board(1).publish([kit.tick(1.5, 101), kit.tick(1.5, 102)], [dialect])
    if dialect == "exchange":
        return sweep.exchange_frames[0]
    event = wire.advanced_ticker_event("update", sweep.advanced_rows)
    return wire.advanced_frame("ticker", sweep.stamp, 7, event)


def row_of(frame: Row) -> Row:
    return frame["events"][0]["tickers"][0] if "events" in frame else frame


def size_of(row: Row) -> str:
    return row.get("best_bid_size") or row["best_bid_quantity"]


def stamp_of(frame: Row) -> str | None:
    return frame.get("time") or frame.get("timestamp")


# kind: what holds of (frame, row, row before)
CHANGED: dict[str, Callable[[Row, Row, Row], bool]] = {
    "nan": lambda f, r, b: r["best_bid"] == "NaN",
    "infinite": lambda f, r, b: r["best_ask"] == "Infinity",
    "exponent": lambda f, r, b: r["best_bid"] == "1e-8",
    "negative": lambda f, r, b: Decimal(r["best_bid"]) == -Decimal(b["best_bid"]),
    "zero": lambda f, r, b: Decimal(r["best_bid"]) == 0,
    "empty": lambda f, r, b: r["best_bid"] == "",
    "zerosize": lambda f, r, b: Decimal(size_of(r)) == 0,
    "crossed": lambda f, r, b: Decimal(r["best_bid"]) > Decimal(r["best_ask"]),
    "locked": lambda f, r, b: r["best_bid"] == r["best_ask"] == b["best_bid"],
    "wide": lambda f, r, b: Decimal(r["best_ask"]) > 2 * Decimal(r["best_bid"]),
    "outlier": lambda f, r, b: Decimal(r["price"]) == Decimal("1.2") * Decimal(b["price"]),
    "past": lambda f, r, b: (stamp_of(f) or "").startswith("1970-"),
    "future": lambda f, r, b: (stamp_of(f) or "").startswith("2099-"),
    "undated": lambda f, r, b: stamp_of(f) is None,
    "missing": lambda f, r, b: "product_id" not in r,
    "stranger": lambda f, r, b: r["product_id"] == "NOBODY-USD",
    "extra": lambda f, r, b: {**b, **r} == r and len(r) > len(b),
    "unknown": lambda f, r, b: "rumour" in (f.get("channel"), f.get("type")),
}
BROKEN = {"nested", "utf8", "binary", "huge"}


def test_every_kind_is_described() -> None:
    assert set(SPOILERS) == set(CHANGED) | BROKEN


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
@pytest.mark.parametrize("kind", sorted(CHANGED))
def test_a_spoiled_field_is_the_only_change(kit: Any, kind: str, dialect: str) -> None:
    before = json.loads(whole_frame(kit, dialect))
    frame = json.loads(SPOILERS[kind](whole_frame(kit, dialect)))
    assert CHANGED[kind](frame, row_of(frame), row_of(before))
    for fields, was in ((frame, before), (row_of(frame), row_of(before))):
        changed = {name for name in was if name != "events" and fields.get(name) != was[name]}
        assert len(changed) <= (3 if kind == "outlier" else 2), changed
    if dialect == "advanced":
        assert frame["events"][0]["tickers"][1:] == before["events"][0]["tickers"][1:]


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_broken_frames_are_broken_in_their_own_way(kit: Any, dialect: str) -> None:
    frame = whole_frame(kit, dialect)
    spoiled = {kind: SPOILERS[kind](frame) for kind in BROKEN}
    assert len(spoiled["huge"]) > 20 * 2**20
    assert json.loads(spoiled["huge"]).keys() - json.loads(frame).keys() == {"x"}
    with pytest.raises(RecursionError):
        json.loads(spoiled["nested"])
    with pytest.raises(UnicodeDecodeError, match="unexpected end"):
        spoiled["utf8"].decode()
    with pytest.raises(UnicodeDecodeError, match="invalid"):
        spoiled["binary"].decode()


def test_spoiled_frames_take_the_place_of_whole_ones_on_the_wire(kit: Any) -> None:
    market = kit.steady(20.0)
    plan = (parse_fault("binary:2,at=4.95"), parse_fault("utf8,at=6.95"), parse_fault("nan:3,at=8.95"))

    async def run() -> tuple[list[str | bytes], dict[str, Any]]:
        received: list[str | bytes] = []
        async with kit.serving(market, speed=500.0, plan=plan) as simulator, asyncio.timeout(20):
            async with connect(simulator.urls["exchange"], max_size=None) as ws:
                await ws.send(kit.subscriptions("exchange", ["BTC-USD"])[0])
                try:
                    while True:
                        received.append(await ws.recv(decode=False))
                except ConnectionClosed:
                    pass
            return received, simulator.state()

    received, state = asyncio.run(run())
    told = [json.loads(frame) for frame in received if frame.isascii()]
    ids = [frame["trade_id"] for frame in told if frame["type"] == "ticker"]
    assert sorted(set(range(100, 301)) - set(ids)) == [151, 152, 171]
    bids = {f["trade_id"]: f["best_bid"] for f in told if f["type"] == "ticker"}
    assert [trade_id for trade_id, bid in bids.items() if bid == "NaN"] == [191, 192, 193]
    by_type = state["sent_by_type"]
    assert (by_type["binary"], by_type["utf8"], by_type["nan"], by_type["ticker"]) == (2, 1, 3, 194)
    assert state["sent"]["total"] == len(received)
