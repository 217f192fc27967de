"""Both decoders: what each kind of frame becomes, and that no bytes make them raise."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.exchange.advanced_trade import AdvancedTradeDecoder
from volspike.exchange.decimals import format_decimal, format_time_ns
from volspike.exchange.exchange_dialect import ExchangeDecoder
from volspike.exchange.items import Control, Decoded, Decoder, Heartbeat, Ignored, Item, Quote, Rejected
from volspike.exchange.products import PriceScales
from volspike.exchange.rejection import MAX_FRAME_BYTES
from volspike.records import UNKNOWN

Golden = Callable[[str], bytes]

REJECTIONS = {"json", "utf8", "too_large", "nesting", "schema", "missing_field", "number", "price", "size"}
REJECTIONS |= {"crossed", "time", "product"}

ETH_TIME_NS = 1_961_711_998_070_401_000

few = settings(max_examples=60, deadline=None)


def exchange(raw: bytes) -> Decoded:
    return ExchangeDecoder(PriceScales()).decode(raw)


def advanced(raw: bytes) -> Decoded:
    return AdvancedTradeDecoder(PriceScales()).decode(raw)


def only(decoded: Decoded) -> Item:
    (item,) = decoded.items
    return item


def rejection(decoded: Decoded) -> str:
    item = only(decoded)
    assert isinstance(item, Rejected)
    return item.reason


def changed(raw: bytes, **fields: Any) -> bytes:
    """Return a flat frame with some fields replaced, or removed where the value is ``...``."""
    message = json.loads(raw) | fields
    return json.dumps({k: v for k, v in message.items() if v is not ...}).encode()


def changed_row(raw: bytes, **fields: Any) -> bytes:
    """Return an envelope whose first ticker row has some fields replaced or removed."""
    message = json.loads(raw)
    rows = message["events"][0]["tickers"]
    rows[0] = json.loads(changed(json.dumps(rows[0]).encode(), **fields))
    return json.dumps(message).encode()


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
    ("best_bid_size", "0.00000000", "size"),
    ("best_bid_size", "-0.00000001", "size"),
    ("best_ask_size", "-1", "size"),
    ("last_size", "0", "size"),
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


# --- both ----------------------------------------------------------------------------------------------

DECODERS = [ExchangeDecoder(PriceScales()), AdvancedTradeDecoder(PriceScales())]
both = pytest.mark.parametrize("decoder", DECODERS, ids=["exchange", "advanced"])


@both
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "json"),
        (b"{", "json"),
        (b'{"type":"ticker","channel":"ticker"', "json"),
        (b'{"type":"ticker"} trailing', "json"),
        (b'{"type":NaN,"channel":NaN}', "json"),
        (b'{"type":"\\ud800","channel":"\\ud800"}', "json"),
        (b"\x00\x01\x02\x03", "json"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "utf8"),
        ('{"type":"tické'.encode()[:-1], "utf8"),
        (b'{"type":"\xff","channel":"\xff"}', "utf8"),
        (b"[]", "schema"),
        (b"null", "schema"),
        (b'"ticker"', "schema"),
        (b"17", "schema"),
        (b"{}", "missing_field"),
        (b"[" * 200_000, "schema"),
        (b'{"x":' + b"[" * 200_000, "nesting"),
        (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, "nesting"),
        (b" " * (MAX_FRAME_BYTES + 1), "too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:12].hex(),
)
def test_fault_16_frames_that_are_none_are_one_rejected_item(
    decoder: Decoder, raw: bytes, reason: str
) -> None:
    assert rejection(decoder.decode(raw)) == reason


@both
def test_fault_16_a_twenty_megabyte_frame_is_rejected_at_once(decoder: Decoder) -> None:
    raw = b'{"type":"ticker","padding":"' + b"x" * 20_000_000 + b'"}'
    assert rejection(decoder.decode(raw)) == "too_large"


def assert_well_formed(decoded: Decoded) -> None:
    assert len(decoded.items) >= 1
    assert decoded.sequence >= UNKNOWN
    for item in decoded.items:
        if isinstance(item, Rejected):
            assert item.reason in REJECTIONS
            assert len(item.detail) <= 200
        if isinstance(item, Quote):
            assert 0 < item.bid <= item.ask
            assert all(n == UNKNOWN or n > 0 for n in (item.price, item.size, item.bid_size, item.ask_size))
            assert item.event_ns >= 0


@both
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_fault_16_no_bytes_make_a_decoder_raise(decoder: Decoder, raw: bytes) -> None:
    assert_well_formed(decoder.decode(raw))


NAMES = ["exchange_ticker", "exchange_heartbeat", "exchange_subscriptions", "exchange_error"]
NAMES += ["advanced_ticker_update", "advanced_ticker_batch", "advanced_heartbeats", "advanced_subscriptions"]


@both
@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=4)), max_size=4),
)
def test_fault_16_no_mutation_makes_a_decoder_raise(
    decoder: Decoder, golden: Golden, name: str, edits: list[tuple[int, int, bytes]]
) -> None:
    raw = golden(name)
    for at, removed, inserted in edits:
        place = at % (len(raw) + 1)
        raw = raw[:place] + inserted + raw[place + removed :]
    assert_well_formed(decoder.decode(raw))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@few
@given(field=st.sampled_from(["type", "time", "best_bid", "best_ask_size", "trade_id"]), value=json_values)
def test_fault_16_no_value_of_a_field_makes_the_exchange_decoder_raise(
    golden: Golden, field: str, value: object
) -> None:
    assert_well_formed(exchange(changed(golden("exchange_ticker"), **{field: value})))


@few
@given(field=st.sampled_from(["channel", "timestamp", "sequence_num", "events"]), value=json_values)
def test_fault_16_no_value_of_a_field_makes_the_advanced_decoder_raise(
    golden: Golden, field: str, value: object
) -> None:
    assert_well_formed(advanced(changed(golden("advanced_ticker_update"), **{field: value})))


unknown_fields = st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), json_values, max_size=5)


@few
@given(extra=unknown_fields, first=st.booleans())
def test_fault_17_unknown_fields_change_nothing(
    golden: Golden, extra: dict[str, object], first: bool
) -> None:
    for name in NAMES:
        decode = exchange if name.startswith("exchange") else advanced
        message = json.loads(golden(name))
        grown = (extra | message) if first else (message | extra)
        for event in grown.get("events", []):
            event.update(extra)
            for row in event.get("tickers", []):
                row.update(extra)
        assert decode(json.dumps(grown).encode()) == decode(golden(name))


@few
@given(
    bid=st.integers(1, 10**15),
    spread=st.integers(0, 10**6),
    sizes=st.tuples(st.integers(1, 10**12), st.integers(1, 10**12)),
    ns=st.integers(0, 9_000_000_000 * 10**9),
)
def test_quotes_survive_the_wire_exactly(
    golden: Golden, bid: int, spread: int, sizes: tuple[int, int], ns: int
) -> None:
    raw = changed(
        golden("exchange_ticker"),
        best_bid=format_decimal(bid, 8),
        best_ask=format_decimal(bid + spread, 8),
        best_bid_size=format_decimal(sizes[0], 8),
        best_ask_size=format_decimal(sizes[1], 8),
        time=format_time_ns(ns),
    )
    quote = only(exchange(raw))
    assert isinstance(quote, Quote)
    assert (quote.bid, quote.ask) == (bid, bid + spread)
    assert (quote.bid_size, quote.ask_size, quote.event_ns) == (*sizes, ns)


def test_every_real_frame_decodes(shared: Any) -> None:
    path = shared / "data" / "ticks" / "nov-2025-exchange-feed.ndjson.gz"
    decoder = ExchangeDecoder(PriceScales())
    kinds: dict[str, int] = {}
    with gzip.open(path) as lines:
        for line in lines:
            for item in decoder.decode(msgspec.json.decode(line)["raw"].encode()).items:
                kinds[type(item).__name__] = kinds.get(type(item).__name__, 0) + 1
    assert kinds == {"Quote": 5996, "Control": 4}
