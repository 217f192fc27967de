"""Both decoders: what each kind of frame becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding import (
    ETH_TIME_NS,
    Golden,
    advanced,
    changed,
    changed_row,
    exchange,
    only,
    rejection,
)

from volspike.exchange.exchange_dialect import ExchangeDecoder
from volspike.exchange.items import Control, Decoded, Heartbeat, Ignored, Quote, Rejected
from volspike.exchange.products import PriceScales
from volspike.records import UNKNOWN

# --- Exchange ------------------------------------------------------------------------------------------


def test_exchange_ticker_is_a_quote(golden: Golden) -> None:
    quote = Quote(
        product="ETH-USD",
        event_ns=ETH_TIME_NS,
        bid=287_405_000_000,
        ask=287_431_000_000,
        price_decimals=8,
        bid_size=120_500_310,
        ask_size=75_000_000,
        price=287_416_000_000,
        size=4_417_205,
        trade_id=388_120_457,
        volume_24h=7_712_000_413_902,
    )
    assert exchange(golden("exchange_ticker")) == Decoded((quote,), UNKNOWN, ETH_TIME_NS)


def test_exchange_heartbeat_proves_its_product(golden: Golden) -> None:
    beat = Heartbeat(event_ns=1_961_711_999_000_318_000, product="ETH-USD")
    assert exchange(golden("exchange_heartbeat")) == Decoded((beat,), UNKNOWN, beat.event_ns)


def test_exchange_subscriptions_list_products_by_channel(golden: Golden) -> None:
    channels = {"ticker": ("ETH-USD", "BTC-USD"), "heartbeat": ("BTC-USD", "ETH-USD")}
    assert only(exchange(golden("exchange_subscriptions"))) == Control(
        kind="subscriptions", channels=channels
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exchange_ticker_batch", "ticker_batch"),
        ("exchange_match", "type:match"),
        ("exchange_l2update", "type:l2update"),
    ],
)
def test_fault_17_exchange_types_of_no_use_are_ignored(golden: Golden, name: str, reason: str) -> None:
    assert only(exchange(golden(name))) == Ignored(reason=reason)


def test_fault_17_exchange_unknown_types_share_one_label() -> None:
    labels = {only(exchange(b'{"type":"brand_new_%d"}' % n)) for n in range(50)}
    assert labels == {Ignored(reason="unknown_type")}


def test_fault_17_exchange_optional_fields_may_be_missing(golden: Golden) -> None:
    raw = changed(golden("exchange_ticker"), best_bid_size=..., best_ask_size=None, price=..., last_size=...)
    quote = only(exchange(raw))
    assert isinstance(quote, Quote)
    assert (quote.bid_size, quote.ask_size, quote.price, quote.size) == (UNKNOWN,) * 4
    assert (quote.bid, quote.ask) == (287_405_000_000, 287_431_000_000)


VOLUMES = [
    ("0", 0),
    ("92233720368.54775807", 2**63 - 1),
    (12.5, 1_250_000_000),
    ("12.500000000", 1_250_000_000),
    ("92233720368.54775808", UNKNOWN),
    ("612345678901234", UNKNOWN),
    ("0.000000001", UNKNOWN),
    ("-1", UNKNOWN),
    ("-0.00000001", UNKNOWN),
    ("1e3", UNKNOWN),
    ("", UNKNOWN),
    ("a\\u00e9", UNKNOWN),
    ("\u00e9", UNKNOWN),
    (None, UNKNOWN),
    (..., UNKNOWN),
    (True, UNKNOWN),
    ({"deep": ["1"]}, UNKNOWN),
]


@pytest.mark.parametrize(("written", "volume_24h"), VOLUMES)
def test_fault_19_a_volume_of_24_h_that_can_not_be_read_costs_no_quote(
    golden: Golden, written: object, volume_24h: int
) -> None:
    for decoded in (
        exchange(changed(golden("exchange_ticker"), volume_24h=written)),
        advanced(changed_row(golden("advanced_ticker_snapshot"), volume_24_h=written)),
    ):
        quote = only(decoded)
        assert isinstance(quote, Quote)
        assert quote.volume_24h == volume_24h
        assert quote.bid > 0


BAD_FIELDS = [
    ("product_id", "", "product"),
    ("product_id", "../../etc", "product"),
    ("product_id", "X" * 100, "product"),
    ("product_id", 7, "schema"),
    ("product_id", ..., "missing_field"),
    ("best_bid", "", "number"),
    ("best_bid", "NaN", "number"),
    ("best_bid", "Infinity", "number"),
    ("best_bid", "1e-8", "number"),
    ("best_bid", "2874.050000001", "number"),
    ("best_bid", "99999999999999999999", "number"),
    ("best_bid", 2874.05, "schema"),
    ("best_bid", None, "schema"),
    ("best_bid", ..., "missing_field"),
    ("best_bid", "0", "price"),
    ("best_bid", "0.00", "price"),
    ("best_bid", "-2874.05", "price"),
    ("best_ask", "-0.01", "price"),
    ("price", "0", "price"),
    ("price", "", "number"),
    ("best_bid_size", "-0.00000001", "size"),
    ("best_ask_size", "-1", "size"),
    ("last_size", "-1", "size"),
    ("last_size", "NaN", "number"),
    ("best_ask", "2874.04", "crossed"),
    ("time", "", "time"),
    ("time", "2032-02-30T00:00:00Z", "time"),
    ("time", 1961711998, "schema"),
    ("time", ..., "missing_field"),
    ("trade_id", ..., "missing_field"),
    ("trade_id", -3, "schema"),
    ("trade_id", 2**63, "schema"),
    ("trade_id", "388120457", "schema"),
    ("type", 5, "schema"),
    ("type", ..., "missing_field"),
]


@pytest.mark.parametrize(("field", "value", "reason"), BAD_FIELDS)
def test_fault_19_20_exchange_bad_fields_are_rejected(
    golden: Golden, field: str, value: object, reason: str
) -> None:
    assert rejection(exchange(changed(golden("exchange_ticker"), **{field: value}))) == reason


@pytest.mark.parametrize(("field", "value", "reason"), BAD_FIELDS)
def test_a_bad_frame_leaves_no_trace_in_the_next(
    golden: Golden, field: str, value: object, reason: str
) -> None:
    decoder, raw = ExchangeDecoder(PriceScales()), golden("exchange_ticker")
    expected = decoder.decode(raw)
    decoder.decode(changed(raw, **{field: value}))
    assert decoder.decode(raw) == expected
    assert rejection(decoder.decode(changed(raw, **{field: value}))) == reason


def test_fault_20_a_locked_book_is_a_quote(golden: Golden) -> None:
    quote = only(exchange(changed(golden("exchange_ticker"), best_bid="2874.31")))
    assert isinstance(quote, Quote)
    assert quote.bid == quote.ask


def test_fault_12_tickers_of_one_stamp_are_all_kept(golden: Golden) -> None:
    decoder, raw = ExchangeDecoder(PriceScales()), golden("exchange_ticker")
    quotes = [only(decoder.decode(changed(raw, trade_id=n))) for n in range(118)]
    assert {(q.trade_id, q.event_ns) for q in quotes if isinstance(q, Quote)} == {
        (n, ETH_TIME_NS) for n in range(118)
    }


@pytest.mark.parametrize(
    ("time", "ns"),
    [("1970-01-01T00:00:00Z", 0), ("2199-01-01T00:00:00.07Z", 7_226_582_400_070_000_000)],
)
def test_fault_15_any_stamp_of_the_calendar_decodes(golden: Golden, time: str, ns: int) -> None:
    assert exchange(changed(golden("exchange_ticker"), time=time)).event_ns == ns


@pytest.mark.parametrize(
    ("message", "reason", "error_class"),
    [
        ("Failed to subscribe", "QUX-USDX is not a valid product", "configuration"),
        ("Failed to subscribe", "tickr is not a valid channel", "configuration"),
        ("Failed to subscribe", "QUX-USDC is delisted", "configuration"),
        ("Failed to subscribe", "No channels provided", "configuration"),
        ("Failed to subscribe", "Invalid product ID provided", "configuration"),
        ("Failed to subscribe", "level2, level3 and full now require authentication", "authentication"),
        ("ErrSlowConsume", "", "capacity"),
        ("ErrSlowRead", "", "rate"),
        ("Message too big", "", "capacity"),
        ("Something new", "", "unknown"),
    ],
)
def test_fault_18_exchange_errors_are_classified(message: str, reason: str, error_class: str) -> None:
    control = only(exchange(json.dumps({"type": "error", "message": message, "reason": reason}).encode()))
    assert isinstance(control, Control)
    assert (control.kind, control.error_class) == ("error", error_class)
    assert message in control.text
    assert reason in control.text


# --- Advanced Trade ------------------------------------------------------------------------------------


def test_advanced_snapshot_is_marked(golden: Golden) -> None:
    quote = Quote(
        product="BTC-USD",
        event_ns=1_961_711_998_703_118_460,
        bid=5_823_087_000_000,
        ask=5_823_090_000_000,
        price_decimals=8,
        bid_size=10_250_000,
        ask_size=200_401_900,
        price=5_823_090_000_000,
        snapshot=True,
        volume_24h=612_055_810_077,
    )
    assert advanced(golden("advanced_ticker_snapshot")) == Decoded((quote,), 0, quote.event_ns)


def test_advanced_rows_of_all_events_are_items(golden: Golden) -> None:
    decoded = advanced(golden("advanced_ticker_update"))
    quotes = [item for item in decoded.items if isinstance(item, Quote)]
    assert [(q.product, q.snapshot, q.price_decimals) for q in quotes] == [
        ("BTC-USD", False, 8),
        ("SHIB-USD", False, 12),
        ("ETH-USD", True, 8),
    ]
    assert {q.event_ns for q in quotes} == {1_961_712_000_000_000_000}
    assert quotes[1].bid == 18_720_000
    assert decoded.sequence == 17


def test_advanced_batch_rows_carry_no_quote(golden: Golden) -> None:
    decoded = advanced(golden("advanced_ticker_batch"))
    assert decoded.items == (Ignored(reason="ticker_batch"),) * 2
    assert (decoded.sequence, decoded.event_ns) == (18, 1_961_712_005_120_000_000)


@pytest.mark.parametrize("counter", [90211, "90211"])
def test_advanced_heartbeat_counter_is_a_number_or_text(golden: Golden, counter: object) -> None:
    message = json.loads(golden("advanced_heartbeats"))
    message["events"][0]["heartbeat_counter"] = counter
    decoded = advanced(json.dumps(message).encode())
    assert only(decoded) == Heartbeat(event_ns=1_961_712_001_000_204_771, counter=90211)
    assert decoded.sequence == 19


def test_advanced_subscriptions(golden: Golden) -> None:
    decoded = advanced(golden("advanced_subscriptions"))
    channels = {"heartbeats": ("heartbeats",), "ticker": ("BTC-USD", "ETH-USD")}
    assert only(decoded) == Control(kind="subscriptions", channels=channels)
    assert decoded.sequence == 1


@pytest.mark.parametrize(
    ("name", "reason", "sequence"),
    [
        ("advanced_market_trades", "channel:market_trades", 21),
        ("advanced_l2_data", "channel:l2_data", 22),
        ("advanced_candles", "channel:candles", 23),
    ],
)
def test_fault_17_ignored_channels_keep_the_sequence(
    golden: Golden, name: str, reason: str, sequence: int
) -> None:
    decoded = advanced(golden(name))
    assert only(decoded) == Ignored(reason=reason)
    assert decoded.sequence == sequence
    assert decoded.event_ns > 0


def test_fault_17_unknown_channels_share_one_label() -> None:
    frames = [b'{"channel":"new_%d","timestamp":"","sequence_num":4,"events":5}' % n for n in range(50)]
    assert {advanced(raw) for raw in frames} == {Decoded((Ignored(reason="unknown_channel"),), 4)}


@pytest.mark.parametrize(
    ("message", "error_class"),
    [
        ("authentication failure", "configuration"),  # no token was sent: it means the channel name
        ("failure to subscribe", "unknown"),
        ("too many L2 streams requested in a single session", "capacity"),
        ("too many requests", "rate"),
    ],
)
def test_fault_18_advanced_errors_are_classified(message: str, error_class: str) -> None:
    control = only(advanced(json.dumps({"type": "error", "message": message}).encode()))
    assert control == Control(kind="error", error_class=error_class, text=message)


def test_advanced_golden_error(golden: Golden) -> None:
    assert isinstance(only(advanced(golden("advanced_error"))), Control)


@pytest.mark.parametrize("fields", [{"best_bid": ...}, {"best_ask": ""}, {"best_bid": "", "best_ask": ""}])
def test_advanced_row_without_quote_is_ignored(golden: Golden, fields: dict[str, Any]) -> None:
    decoded = advanced(changed_row(golden("advanced_ticker_snapshot"), **fields))
    assert decoded.items == (Ignored(reason="no_quote"),)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("best_bid", "NaN", "number"),
        ("best_bid", "0", "price"),
        ("best_bid", "-1", "price"),
        ("best_ask", "1", "crossed"),
        ("best_bid_quantity", "-1", "size"),
        ("product_id", "", "product"),
        ("product_id", ..., "missing_field"),
        ("best_bid", 5, "schema"),
        ("price", "1e5", "number"),
    ],
)
def test_fault_19_20_a_bad_row_costs_only_itself(
    golden: Golden, field: str, value: object, reason: str
) -> None:
    whole = advanced(golden("advanced_ticker_update"))
    decoded = advanced(changed_row(golden("advanced_ticker_update"), **{field: value}))
    first, *others = decoded.items
    assert isinstance(first, Rejected)
    assert first.reason == reason
    assert tuple(others) == whole.items[1:]
    assert (decoded.sequence, decoded.event_ns) == (17, whole.event_ns)


@pytest.mark.parametrize("events", [[], [{"type": "update", "tickers": []}]])
def test_advanced_frame_without_rows_is_one_ignored_item(golden: Golden, events: list[object]) -> None:
    for channel in ("ticker", "ticker_batch"):
        raw = changed(golden("advanced_ticker_snapshot"), events=events, channel=channel)
        assert advanced(raw).items == (Ignored(reason="no_rows"),)


@pytest.mark.parametrize(
    ("fields", "reason", "sequence"),
    [
        ({"timestamp": "yesterday"}, "time", 0),
        ({"timestamp": ...}, "missing_field", 0),
        ({"sequence_num": ...}, "missing_field", UNKNOWN),
        ({"sequence_num": -1}, "schema", UNKNOWN),
        ({"sequence_num": "5"}, "schema", UNKNOWN),
        ({"channel": ...}, "missing_field", UNKNOWN),
        ({"channel": 9}, "schema", UNKNOWN),
        ({"events": {}}, "schema", 0),
        ({"events": [{"tickers": 1}]}, "schema", 0),
        ({"events": ...}, "missing_field", 0),
    ],
)
def test_advanced_bad_envelopes_are_one_item(
    golden: Golden, fields: dict[str, Any], reason: str, sequence: int
) -> None:
    decoded = advanced(changed(golden("advanced_ticker_snapshot"), **fields))
    assert (rejection(decoded), decoded.sequence) == (reason, sequence)
