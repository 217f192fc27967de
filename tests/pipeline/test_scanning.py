"""The scanning decoder gives the answers of the general one, frame by frame, whatever it has learned."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.exchange.dialects import get_dialect
from volspike.exchange.items import Decoded, Quote
from volspike.exchange.products import PriceScales
from volspike.pipeline.scanning import ScanningDecoder
from volspike.recording.template import MAX_ROWS

TICKER = (
    b'{"type":"ticker","sequence":3178131511,"product_id":"BTC-USD","price":"61804.37","open_24h":"6","side":"buy",'
    b'"best_bid":"61804.36","best_bid_size":"0.5","best_ask":"61804.4","best_ask_size":"12.00000001",'
    b'"time":"2031-05-17T09:12:44.123456Z","trade_id":900701309,"last_size":"0.00068754","volume_24h":"7310.44820915"}'
)
BEAT = b'{"type":"heartbeat","last_trade_id":58,"product_id":"ETH-USD","time":"2031-05-17T09:12:45.000000Z"}'
ROW = (
    '{{"type":"ticker","product_id":"{}","price":"{}","volume_24_h":"1.5","best_bid":"{}",'
    '"best_bid_quantity":"0.1","best_ask":"{}","best_ask_quantity":"2"}}'
)


def advanced(*rows: str) -> bytes:
    return (
        '{"channel":"ticker","client_id":"","timestamp":"2031-05-17T09:12:44.00812Z","sequence_num":17,'
        '"events":[{"type":"update","tickers":[' + ",".join(rows) + "]}]}"
    ).encode()


ONE = advanced(ROW.format("ETH-USD", "3200.5", "3200.4", "3200.6"))
TWO = advanced(
    ROW.format("ETH-USD", "3200.5", "3200.4", "3200.6"),
    ROW.format("SHIB-USD", "0.00001234", "0.000012339999", "0.00001235"),
)
FRAMES = {"exchange": (TICKER, TICKER.replace(b'"price":"61804.37",', b""), BEAT), "advanced": (ONE, TWO)}


class Asked:
    """The general decoder, which counts what it is asked."""

    def __init__(self, dialect: str) -> None:
        self._decoder = get_dialect(dialect).make_decoder(PriceScales())
        self.frames = 0

    def decode(self, raw: bytes) -> Decoded:
        self.frames += 1
        return self._decoder.decode(raw)


def taught(dialect: str) -> tuple[ScanningDecoder, Asked]:
    general = Asked(dialect)
    decoder = ScanningDecoder(general, dialect)
    for raw in FRAMES[dialect]:
        check(decoder, dialect, raw)
    general.frames = 0
    return decoder, general


def check(decoder: ScanningDecoder, dialect: str, raw: bytes) -> None:
    assert decoder.decode(raw) == get_dialect(dialect).make_decoder(PriceScales()).decode(raw)


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_a_shape_once_seen_is_read_without_the_general_decoder(dialect: str) -> None:
    decoder, general = taught(dialect)
    quotes = [raw for raw in FRAMES[dialect] if raw is not BEAT]
    for raw in quotes * 2:
        check(decoder, dialect, raw)
        check(decoder, dialect, raw.replace(b"09:12:44", b"10:00:00"))
    assert general.frames == 0


def test_each_product_is_learned_with_its_own_scale() -> None:
    decoder, general = taught("exchange")
    cheap = re.sub(rb'"6180[0-9.]+"', b'"0.000012345678"', TICKER).replace(b"BTC-USD", b"SHIB-USD")
    for _ in range(3):
        check(decoder, "exchange", cheap)
        check(decoder, "exchange", TICKER)
    assert general.frames == 1
    quote = decoder.decode(cheap).items[0]
    assert isinstance(quote, Quote)
    assert quote.price_decimals > 8


def test_what_a_longer_frame_left_behind_is_not_read() -> None:
    decoder, _ = taught("exchange")
    for cut in range(len(TICKER)):
        check(decoder, "exchange", TICKER)
        check(decoder, "exchange", TICKER[:cut])
    check(decoder, "exchange", TICKER + b"}")
    check(decoder, "exchange", TICKER + TICKER)
    check(decoder, "exchange", b"")


def test_frames_too_long_and_too_many_rows_go_the_general_way() -> None:
    decoder, general = taught("advanced")
    row = ROW.format("ETH-USD", "3200.5", "3200.4", "3200.6")
    for rows in (MAX_ROWS, MAX_ROWS + 1, 200):
        for _ in range(2):
            check(decoder, "advanced", advanced(*[row] * rows))
    assert general.frames == 4


def test_an_odd_feed_is_not_studied_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    studied = []
    monkeypatch.setattr("volspike.pipeline.scanning.learn_template", lambda *_: studied.append(1))
    decoder = ScanningDecoder(Asked("exchange"), "exchange")
    for number in range(500):
        check(decoder, "exchange", TICKER.replace(b"900701309", b"%d" % number))
    assert len(studied) == 64


texts = [
    "",
    "0",
    "612345678901.5",
    "-1",
    "0.1",
    "61804.360",
    "61804.4",
    "1e5",
    "null",
    '"',
    "\\u0030",
    "é",
    "12.3.4",
    "\x00",
]
names_and_times = ["BTC-USD", "BTC-USDC", "2031-05-17T09:12:44Z", "2100-02-29T00:00:00.5Z", "99999999999.5"]
values = st.sampled_from([*texts, *names_and_times, "7"])


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["exchange", "advanced"]),
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 40), values), max_size=2),
    st.lists(st.tuples(st.integers(0, 600), st.characters(codec="latin-1")), max_size=2),
)
def test_fuzzed_frames_decode_to_the_same(
    dialect: str, which: int, fields: list[tuple[int, str]], characters: list[tuple[int, str]]
) -> None:
    frames = FRAMES[dialect]
    text = frames[which % len(frames)].decode()
    for index, value in fields:
        scalars = list(re.finditer(r'(?<=:")[^"]*(?=")|(?<=:)[0-9]+', text))
        place = scalars[index % len(scalars)]
        text = text[: place.start()] + value + text[place.end() :]
    for index, character in characters:
        text = text[: index % len(text)] + character + text[index % len(text) + 1 :]
    decoder, _ = taught(dialect)
    for raw in (text.encode("latin-1", errors="ignore"), *frames, text.encode()):
        check(decoder, dialect, raw)
