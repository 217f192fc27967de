"""Both decoders: no bytes make them raise, and what is known survives what is not."""

from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest
from decoding import (
    REJECTIONS,
    Golden,
    advanced,
    changed,
    exchange,
    few,
    only,
    rejection,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.exchange.advanced_trade import AdvancedTradeDecoder
from volspike.exchange.decimals import format_decimal, format_time_ns
from volspike.exchange.exchange_dialect import ExchangeDecoder
from volspike.exchange.items import Decoded, Decoder, Quote, Rejected
from volspike.exchange.products import PriceScales
from volspike.exchange.rejection import MAX_FRAME_BYTES
from volspike.records import UNKNOWN

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
