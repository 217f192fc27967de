"""The control port, and that each fault does what its name says and nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from volspike.errors import ConfigError
from volspike.simulation.faults import Fault, parse_fault


def test_the_state_is_json_and_counts_everything(kit):
    async def run():
        async with kit.serving(kit.steady(10.0)) as simulator:
            idle = await kit.admin(simulator, "/admin/state")
            async with connect(simulator.urls["exchange"]) as ws:
                await ws.send(kit.subscriptions("exchange", ["BTC-USD"])[0])
                await ws.recv()
                busy = await kit.admin(simulator, "/admin/state")
            unknown = await kit.admin(simulator, "/admin/nonsense")
            return idle, busy, unknown

    idle, busy, unknown = asyncio.run(run())
    assert idle[:2] == (200, "application/json")
    assert idle[2]["connections"] == 0
    assert idle[2]["market_ns"] == kit.START
    assert busy[2]["connections"] == busy[2]["open"] == busy[2]["subscribes_received"] == 1
    assert busy[2]["sent"]["total"] == sum(busy[2]["sent_by_type"].values()) >= 3
    assert unknown[0] == 404


def test_finish_hands_over_what_was_sent_and_refuses_newcomers(kit):
    async def run():
        async with kit.serving(kit.steady(3_000.0, 50.0), speed=100.0) as simulator:
            url, messages = simulator.urls["advanced"], kit.subscriptions("advanced", ["BTC-USD"])
            listening = asyncio.create_task(kit.listen(url, messages, pause_s=0.5))
            await asyncio.sleep(1.0)
            status, _, state = await kit.admin(simulator, "/admin/finish")
            transcript = await listening
            with pytest.raises(InvalidStatus) as refused:
                await connect(url)
            return status, state, transcript, refused.value.response.status_code

    status, state, transcript, refused = asyncio.run(run())
    assert status == 200
    assert state["finished"] is True
    assert state["sent"]["total"] == len(transcript.raw) > 100
    assert transcript.close_code == 1000
    assert refused == 503


def faulted(kit, dialect, kind, seconds=20.0, speed=20.0):
    """Run a market with one fault after 4.95 s of market time; return the transcript and the state."""
    market, plan = kit.steady(seconds), (parse_fault(kind, after_s=4.95),)

    async def run():
        async with kit.serving(market, speed=speed, plan=plan) as simulator:
            messages = kit.subscriptions(dialect, market.products)
            async with asyncio.timeout(15):
                transcript = await kit.listen(simulator.urls[dialect], messages)
                return transcript, simulator.state()

    return asyncio.run(run())


def trade_ids(transcript):
    return [f["trade_id"] for f in transcript.frames if f["type"] == "ticker"]


def test_close_ends_the_connection_with_its_code_and_keeps_what_was_told(kit):
    transcript, state = faulted(kit, "exchange", "close:4000")
    assert transcript.close_code == 4000
    assert state["faults"] == {"close": 1}
    assert state["sent"]["total"] == len(transcript.raw)
    assert trade_ids(transcript) == list(range(100, 151))


def test_drop_resets_the_connection_in_the_middle_of_a_frame(kit):
    transcript, state = faulted(kit, "exchange", "drop")
    assert transcript.close_code == 1006
    assert state["sessions"][0]["close_code"] == 1006


def test_a_fault_reads_its_number():
    assert parse_fault("gap:3", 5.0) == Fault("gap", 3, 5.0)
    assert parse_fault("duplicate") == Fault("duplicate", 1)
    assert parse_fault("close") == Fault("close", 1012)


def test_a_malformed_frame_is_one_more_frame(kit):
    market = kit.steady(20.0)
    transcript, state = kit.whole_run(market, "advanced", speed=500.0, plan=(parse_fault("malformed", 4.95),))
    broken = [text for text in transcript.raw if not parses(text)]
    assert len(broken) == state["sent_by_type"]["malformed"] == 1
    whole = [json.loads(text)["sequence_num"] for text in transcript.raw if parses(text)]
    assert whole == list(range(len(transcript.raw) - 1))
    assert state["sent"]["total"] == len(transcript.raw)


async def count_until(ws, end):
    """Count frames until receiving raises ``end``."""
    received = 0
    try:
        while True:
            await asyncio.wait_for(ws.recv(), 0.5)
            received += 1
    except end:
        return received


def parses(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_a_duplicate_repeats_a_frame_to_the_byte(kit):
    transcript, _ = kit.whole_run(
        kit.steady(20.0), "exchange", speed=500.0, plan=(parse_fault("duplicate:2", 4.95),)
    )
    repeated = [
        a for a, b in zip(transcript.raw, transcript.raw[1:], strict=False) if a == b and "trade_id" in a
    ]
    assert [json.loads(text)["trade_id"] for text in repeated] == [151, 152]
    assert sorted(set(trade_ids(transcript))) == list(range(100, 301))


def test_a_gap_uses_up_the_identities_of_what_is_missing(kit):
    plan = (parse_fault("gap:3", 4.95),)
    transcript, state = kit.whole_run(kit.steady(20.0), "exchange", speed=500.0, plan=plan)
    assert sorted(set(range(100, 301)) - set(trade_ids(transcript))) == [151, 152, 153]
    assert state["withheld"] == {"gap": 3}
    transcript, _ = kit.whole_run(kit.steady(20.0), "advanced", speed=500.0, plan=plan)
    numbers = [f["sequence_num"] for f in transcript.frames]
    assert len(set(range(numbers[-1] + 1)) - set(numbers)) == 3


def test_disorder_swaps_two_neighbours(kit):
    plan = (parse_fault("disorder", 4.95),)
    transcript, state = kit.whole_run(kit.steady(20.0), "exchange", speed=500.0, plan=plan)
    ids = trade_ids(transcript)
    assert ids[50:54] == [150, 152, 151, 153]
    assert sorted(ids) == list(range(100, 301))
    assert state["sent"]["total"] == len(transcript.raw)


def test_a_stall_ends_the_heartbeats_only(kit):
    plan = (parse_fault("stall", 4.95),)
    transcript, state = kit.whole_run(kit.steady(20.0), "exchange", speed=500.0, plan=plan)
    assert trade_ids(transcript) == list(range(100, 301))
    assert 5 <= state["sent_by_type"]["heartbeat"] <= 7


def test_silence_keeps_the_socket_open_and_answers_nothing(kit):
    async def run():
        async with kit.connected(kit.steady(200.0), speed=20.0, dialect="exchange") as (simulator, ws):
            await ws.send(kit.subscriptions("exchange", ["BTC-USD"])[0])
            await ws.recv()
            status, _, _ = await kit.admin(simulator, "/admin/fault?kind=silence")
            received = await count_until(ws, TimeoutError)
            pong = await ws.ping()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pong, 0.3)
            return status, received + 1, simulator.state()

    status, received, state = asyncio.run(run())
    assert status == 200
    assert state["sent"]["total"] == received
    assert state["withheld"]["ticker"] > 0
    assert state["open"] == 1


def test_a_fault_by_the_control_port_hits_the_open_connection(kit):
    async def run():
        async with kit.connected(kit.steady(100.0), dialect="advanced") as (simulator, ws):
            for message in kit.subscriptions("advanced", ["BTC-USD"]):
                await ws.send(message)
            status, _, state = await kit.admin(simulator, "/admin/fault?kind=close:1013")
            await count_until(ws, ConnectionClosed)
            refused = await kit.admin(simulator, "/admin/fault?kind=close:1006")
            return status, state, ws.close_code, refused

    status, state, code, refused = asyncio.run(run())
    assert (status, code) == (200, 1013)
    assert state["faults"] == {"close": 1}
    assert refused[0] == 400
    assert "use drop" in refused[2]


@pytest.mark.parametrize("text", ["", "explode", "gap:x", "close:99", "close:1006", "gap:-1"])
def test_an_unknown_fault_is_refused(text):
    with pytest.raises(ConfigError):
        parse_fault(text)
