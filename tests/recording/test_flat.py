"""Flat rows: exact numbers, any usual clock, and no row that stops the stream."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ImportFormatError, ProtocolError
from volspike.exchange.items import Ignored, Quote, Rejected
from volspike.exchange.products import PriceScales
from volspike.recording.flat import FlatDecoder
from volspike.recording.foreign_values import TimeReader, guess_unit, rounded_units
from volspike.recording.frame import FlatMapping

MAPPING = FlatMapping(time="t", bid="bid", ask="ask", product="p")
NESTED = FlatMapping(
    time="when",
    bid="q.0.bid",
    ask="q.0.ask",
    fixed_product="ETH-USD",
    bid_size="raw.best_bid_quantity",
    ask_size="raw.best_ask_quantity",
    price="raw.price",
    size="last",
    trade_id="id",
    event_type="kind",
    time_unit="ms",
    volume_24h="raw.volume_24_h",
)


def decode(mapping: FlatMapping, row: object) -> object:
    raw = row if isinstance(row, bytes) else json.dumps(row).encode()
    decoded = FlatDecoder(mapping, PriceScales()).decode(raw)
    assert len(decoded.items) == 1
    return decoded.items[0]


def test_strings_and_numbers_give_the_same_integers() -> None:
    text = decode(
        MAPPING, {"p": "BTC-USD", "t": "2031-05-17T09:12:44.5Z", "bid": "61804.36", "ask": "61804.4"}
    )
    number = decode(MAPPING, b'{"p":"BTC/USD","t":"2031-05-17T09:12:44.5","bid":61804.36,"ask":6.18044e4}')
    assert text == number
    assert isinstance(text, Quote)
    assert (text.bid, text.ask, text.price_decimals) == (6_180_436_000_000, 6_180_440_000_000, 8)
    assert (text.bid_size, text.price, text.trade_id, text.snapshot) == (-1, -1, -1, False)


def test_nested_fields_lists_and_snapshots_are_read() -> None:
    row = {
        "when": 1_900_000_000_123.5,
        "q": [{"bid": "10", "ask": "10.1"}],
        "raw": {
            "best_bid_quantity": "0.5",
            "best_ask_quantity": 2,
            "price": "10.05",
            "volume_24_h": "7310.5",
        },
        "last": "0.1",
        "id": 77,
        "kind": "snapshot",
    }
    quote = decode(NESTED, row)
    assert quote == Quote(
        product="ETH-USD",
        event_ns=1_900_000_000_123_500_000,
        bid=1_000_000_000,
        ask=1_010_000_000,
        price_decimals=8,
        bid_size=50_000_000,
        ask_size=200_000_000,
        price=1_005_000_000,
        size=10_000_000,
        trade_id=77,
        snapshot=True,
        volume_24h=731_050_000_000,
    )


def test_a_key_that_holds_a_dot_is_found() -> None:
    mapping = FlatMapping(time="t", bid="a.b", ask="c.d.e", fixed_product="X-USD")
    quote = decode(mapping, {"t": "2031-05-17T09:12:44Z", "a.b": 1, "c.d": {"e": 2}})
    assert isinstance(quote, Quote)
    assert (quote.bid, quote.ask) == (10**8, 2 * 10**8)


def test_the_noise_digits_of_a_float_are_rounded_away() -> None:
    row = b'{"p":"BTC-USD","t":"2031-05-17T09:12:44Z","bid":0.11244000000000001,"ask":0.30000000000000004}'
    quote = decode(MAPPING, row)
    assert isinstance(quote, Quote)
    assert (quote.bid, quote.ask) == (11_244_000, 30_000_000)


@pytest.mark.parametrize(
    ("written", "volume_24h"),
    [
        (b'"0.1"', 10_000_000),
        (b"7.3e3", 730_000_000_000),
        (b"0.11244000000000001", 11_244_000),
        (b'"612345678901.5"', -1),
        (b'"-5"', -1),
        (b'"x"', -1),
        (b"true", -1),
        (b"[1]", -1),
        (b"null", -1),
    ],
)
def test_a_volume_of_24_h_is_rounded_or_left_out_and_costs_no_row(written: bytes, volume_24h: int) -> None:
    mapping = FlatMapping(time="t", bid="bid", ask="ask", product="p", volume_24h="v")
    quote = decode(
        mapping, b'{"p":"BTC-USD","t":"2031-05-17T09:12:44Z","bid":"1","ask":"2","v":%b}' % written
    )
    assert isinstance(quote, Quote)
    assert quote.volume_24h == volume_24h


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"", "json"),
        (b"[1]", "json"),
        (b'{"p":', "json"),
        (b'{"a":' + b"[" * 100_000, "nesting"),
        ({"p": "BTC-USD", "t": "2031-05-17T09:12:44Z", "bid": "1"}, "missing_field"),
        ({"p": "BTC-USD", "bid": "1", "ask": "2"}, "missing_field"),
        ({"t": "2031-05-17T09:12:44Z", "bid": "1", "ask": "2"}, "missing_field"),
        ({"p": "BTC-USD", "t": "yesterday", "bid": "1", "ask": "2"}, "time"),
        ({"p": "BTC-USD", "t": "1969-12-31T23:59:59Z", "bid": "1", "ask": "2"}, "time"),
        ({"p": "BTC-USD", "t": "2031-05-17T09:12:44Z", "bid": "NaN", "ask": "2"}, "number"),
        ({"p": "BTC-USD", "t": "2031-05-17T09:12:44Z", "bid": "1e400", "ask": "2"}, "number"),
        ({"p": "BTC-USD", "t": "2031-05-17T09:12:44Z", "bid": True, "ask": "2"}, "schema"),
        ({"p": "BTC-USD", "t": "2031-05-17T09:12:44Z", "bid": -1, "ask": "2"}, "price"),
        ({"p": "BTC-USD", "t": "2031-05-17T09:12:44Z", "bid": 0, "ask": "2"}, "price"),
        ({"p": "BTC-USD", "t": "2031-05-17T09:12:44Z", "bid": "3", "ask": "2"}, "crossed"),
        ({"p": "?", "t": "2031-05-17T09:12:44Z", "bid": "1", "ask": "2"}, "product"),
    ],
)
def test_a_bad_row_is_rejected_under_its_reason(row: object, reason: str) -> None:
    item = decode(MAPPING, row)
    assert isinstance(item, Rejected)
    assert item.reason == reason


def test_a_row_without_a_quote_is_ignored() -> None:
    assert decode(MAPPING, {"p": "BTC-USD", "bid": None, "ask": ""}) == Ignored(reason="no_quote")


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=80)
    | st.text(max_size=60).map(lambda text: json.dumps({"bid": text, "ask": 1}).encode())
)
def test_no_bytes_make_the_decoder_raise(raw: bytes) -> None:
    decoder = FlatDecoder(NESTED, PriceScales())
    assert len(decoder.decode(raw).items) == 1


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        ("2025-11-30T23:56:11.637517", "America/New_York", "2025-12-01T04:56:11.637517Z"),
        ("2025-11-30T23:56:11.637517", "-05:00", "2025-12-01T04:56:11.637517Z"),
        ("2025-07-01 12:00:00", "America/New_York", "2025-07-01T16:00:00Z"),
        ("2025-11-02T01:30:00", "America/New_York", "2025-11-02T05:30:00Z"),
        ("2025-11-30T23:56:11Z", "-05:00", "2025-11-30T23:56:11Z"),
        ("2025-11-30T23:56:11+01:00", "UTC", "2025-11-30T22:56:11Z"),
        ("2025-11-30 23:56:11.5 +0000 UTC", "-05:00", "2025-11-30T23:56:11.5Z"),
        ("2025-11-30T23:56:11 UTC", "-05:00", "2025-11-30T23:56:11Z"),
        ("2025-11-30T23:56:11.1234567899", "UTC", "2025-11-30T23:56:11.123456789Z"),
    ],
)
def test_iso_times_are_read_in_their_zone(text: str, zone: str, utc: str) -> None:
    assert TimeReader(zone).read(text, "iso") == TimeReader("UTC").read(utc, "iso")


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1762932011.609013", "s"),
        ("1762932011609.013", "ms"),
        ("1762932011609013", "us"),
        ("1762932011609013000", "ns"),
        ("1762932011609013e3", "ns"),
    ],
)
def test_epoch_times_are_told_apart_by_magnitude(text: str, unit: str) -> None:
    assert guess_unit(text) == unit
    assert TimeReader("UTC").read(text, unit) == 1_762_932_011_609_013_000


def test_an_unknown_zone_is_told_with_a_remedy() -> None:
    with pytest.raises(ImportFormatError, match="America/New_York"):
        TimeReader("Mars/Olympus")


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**15), 10**15), st.integers(0, 8))
def test_rounding_leaves_exact_numbers_alone(units: int, decimals: int) -> None:
    assert rounded_units(f"{units}e-{decimals}", decimals) == units


@pytest.mark.parametrize("text", ["", "nan", "Infinity", "0x10", "1_000", "1e999", "9" * 30, "1,5"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="number"):
        rounded_units(text, 8)
