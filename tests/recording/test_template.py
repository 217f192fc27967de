"""The scanner reads what the general decoder reads, or hands the line over."""

from __future__ import annotations

import re
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from volspike.exchange.dialects import get_dialect
from volspike.exchange.items import Decoded, Heartbeat, Quote
from volspike.exchange.products import PriceScales
from volspike.recording import checksum
from volspike.recording import template as t
from volspike.recording.reader import SPARE_BYTES
from volspike.recording.scanner import ITEMS_FULL, MISMATCH, SCANNED, LineScanner
from volspike.recording.segment import encode_line

SESSION = "s-1"
PRODUCTS = ("BTC-USD", "ETH-USD", "SHIB-USD")
SCALES = PriceScales()

TICKER = (
    b'{"type":"ticker","sequence":3178131511,"product_id":"BTC-USD","price":"61804.37","open_24h":"6","side":"buy",'
    b'"best_bid":"61804.36","best_bid_size":"0.5","best_ask":"61804.4","best_ask_size":"12.00000001",'
    b'"time":"2031-05-17T09:12:44.123456Z","trade_id":900701309,"last_size":"0.00068754","volume_24h":"7310.44820915"}'
)
BEAT = (
    b'{"type":"heartbeat","sequence":31,"last_trade_id":58,"product_id":"ETH-USD",'
    b'"time":"2031-05-17T09:12:45.000000Z"}'
)
ROW = (
    '{{"type":"ticker","product_id":"{}","price":"{}","volume_24_h":"1.5","best_bid":"{}",'
    '"best_bid_quantity":"0.1","best_ask":"{}","best_ask_quantity":"2"}}'
)
ADVANCED = (
    '{"channel":"ticker","client_id":"","timestamp":"2031-05-17T09:12:44.00812Z","sequence_num":17,'
    '"events":[{"type":"update","tickers":['
    + ROW.format("ETH-USD", "3200.5", "3200.4", "3200.6")
    + ","
    + ROW.format("SHIB-USD", "0.00001234", "0.000012339999", "0.00001235")
    + "]}]}"
).encode()
ADVANCED_BEAT = (
    b'{"channel":"heartbeats","client_id":"","timestamp":"2031-05-17T09:12:45Z","sequence_num":18,'
    b'"events":[{"current_time":"2031-05-17 09:12:45.1 +0000 UTC m=+5.1","heartbeat_counter":3049}]}'
)
FRAMES = {
    "exchange": (TICKER, BEAT),
    "advanced": (ADVANCED, ADVANCED_BEAT),
}


def decode(dialect: str, raw: bytes) -> Decoded:
    return get_dialect(dialect).make_decoder(SCALES).decode(raw)


def learned(dialect: str, raw: bytes) -> t.Template | None:
    return t.learn_template(dialect, raw, decode(dialect, raw))


def scanner_of(dialect: str, *frames: bytes, session: str | None = SESSION) -> LineScanner:
    scanner = LineScanner(
        session, [(product, SCALES.decimals(product)) for product in PRODUCTS], capacity=100
    )
    for raw in frames:
        template = learned(dialect, raw)
        assert template is not None
        assert scanner.add(template)
    return scanner


def block_of(lines: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(lines + bytes(SPARE_BYTES), np.uint8)


def scanned(scanner: LineScanner, line: bytes) -> list[list[int]] | None:
    n, offset, status = scanner.scan(block_of(line), 0, len(line))
    assert (offset, status) == ((len(line), SCANNED) if n else (0, MISMATCH))
    return scanner.items[:n].tolist() if n else None


def check(dialect: str, scanner: LineScanner, raw: bytes) -> bool:
    """Compare one frame's items with the decoder's; return whether the scanner took the line."""
    items = scanned(scanner, encode_line(7, 1_900_000_000_000_000_001, SESSION, raw))
    if items is None:
        return False
    decoded = decode(dialect, raw)
    assert len(items) == len(decoded.items)
    for row, (found, item) in enumerate(zip(items, decoded.items, strict=True)):
        assert found[: t.EVENT_NS] == [0, 7, 1_900_000_000_000_000_001]
        assert found[t.EVENT_NS] == decoded.event_ns
        assert found[t.SEQUENCE] == decoded.sequence
        assert (found[t.ROW], found[t.ROWS]) == (row, len(decoded.items))
        product = PRODUCTS[found[t.PRODUCT_INDEX]] if found[t.PRODUCT_INDEX] >= 0 else ""
        if isinstance(item, Heartbeat):
            assert (found[t.KIND], product) == (t.BEAT, item.product)
            continue
        assert isinstance(item, Quote)
        assert (found[t.KIND], product, item.snapshot) == (t.QUOTE, item.product, False)
        numbers = (item.trade_id, item.bid, item.ask, item.bid_size, item.ask_size)
        assert tuple(found[t.TRADE_ID : t.ROW]) == numbers
        trade = (item.price, item.size, item.volume_24h)
        assert (found[t.LAST_PRICE], found[t.LAST_SIZE], found[t.VOLUME_24H]) == trade
    return True


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_the_shapes_of_a_dialect_are_read(dialect: str) -> None:
    scanner = scanner_of(dialect, *FRAMES[dialect])
    for raw in FRAMES[dialect]:
        assert check(dialect, scanner, raw)


def test_a_shape_serves_every_product_at_its_own_scale() -> None:
    scanner = scanner_of("exchange", TICKER)
    assert check("exchange", scanner, TICKER.replace(b"BTC-USD", b"ETH-USD"))
    cheap = re.sub(rb'"6180[0-9.]+"', b'"0.000012345678"', TICKER).replace(b"BTC-USD", b"SHIB-USD")
    assert check("exchange", scanner, cheap)
    assert not check("exchange", scanner, TICKER.replace(b"BTC-USD", b"BTC-USDT"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"61804.36"', b'"61804.360000000"'),
        (b'"61804.36"', b'"61804.4000001"'),
        (b'"61804.36"', b'"-1"'),
        (b'"61804.36"', b'"0"'),
        (b'"61804.36"', b'"1e3"'),
        (b'"61804.36"', b'".5"'),
        (b'"61804.36"', b'"5."'),
        (b'"61804.36"', b'"9999999999"'),
        (b'"61804.36"', b'""'),
        (b'"0.5"', b"null"),
        (b'"0.00068754"', b'"x"'),
        (b'"7310.44820915"', b'"x"'),
        (b'"7310.44820915"', b'"-1"'),
        (b'"7310.44820915"', b'"612345678901e-9"'),
        (b'"7310.44820915"', b'"000000000000000000000000000007310"'),
        (b'"7310.44820915"', b'"7310.448209151"'),
        (b'"7310.44820915"', b"7310.5"),
        (b"900701309", b"0900701309"),
        (b"900701309", b"9223372036854775808"),
        (b"900701309", b"-5"),
        (b"2031-05-17", b"2031-02-29"),
        (b"2031-05-17", b"2031-13-17"),
        (b"2031-05-17", b"1969-05-17"),
        (b"09:12:44", b"24:12:44"),
        (b"09:12:44", b"23:59:60"),
        (b"09:12:44", b"0a:12:44"),
        (b".123456Z", b".1234567890Z"),
        (b".123456Z", b".Z"),
        (b".123456Z", b".123456+00:00"),
        (b'"buy"', b'"b\\u0075y"'),
        (b'"buy"', '"büy"'.encode()),
        (b'"buy"', b'"b\xffy"'),
        (b'"buy"', b"null"),
        (b'"side"', b'"edis"'),
        (b"3178131511", b"3178131511.5"),
        (b'"type":"ticker"', b'"type":"match"'),
        (b"}", b',"trade_id":5}'),
        (b"}", b"} "),
        (b"{", b"{ "),
    ],
)
def test_what_is_out_of_the_ordinary_is_handed_over(old: bytes, new: bytes) -> None:
    assert old in TICKER
    assert not check("exchange", scanner_of("exchange", TICKER), TICKER.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b".123456Z", b"Z"),
        (b".123456Z", b".123456789Z"),
        (b"2031-05-17", b"2028-02-29"),
        (b"900701309", b"9223372036854774999"),
        (b"900701309", b"0"),
        (b'"0.5"', b'"0000000012.50000000"'),
        (b'"61804.36"', b'"1"'),
        (b'"7310.44820915"', b'"0"'),
        (b'"7310.44820915"', b'"92233720368"'),
        (b'"7310.44820915"', b'"92233720369"'),
        (b'"7310.44820915"', b'"612345678901"'),
        (b'"7310.44820915"', b'"612345678901.12345678"'),
        (b'"7310.44820915"', b'"612345678901..5"'),
        (b'"7310.44820915"', b'"123456789012345678901234567890"'),
    ],
)
def test_what_is_only_unusual_is_read(old: bytes, new: bytes) -> None:
    assert check("exchange", scanner_of("exchange", TICKER), TICKER.replace(old, new, 1))


@pytest.mark.parametrize(
    ("dialect", "raw"),
    [
        ("exchange", b'{"type":"subscriptions","channels":[]}'),
        ("exchange", TICKER.replace(b'"61804.37"', b"null")),
        ("exchange", TICKER.replace(b'"best_bid"', b'"best\\u005fbid"')),
        (
            "exchange",
            TICKER.replace(b'"product_id":"BTC-USD",', b"").replace(b"}", b',"product_id":"BTC-USD"}'),
        ),
        ("exchange", TICKER.replace(b"}", b',"side":"sell"}')),
        ("advanced", ADVANCED.replace(b'"update"', b'"snapshot"')),
        ("advanced", ADVANCED_BEAT.replace(b"3049", b'"3049"')),
        ("advanced", ADVANCED_BEAT.replace(b"}]}", b"},{}]}")),
    ],
)
def test_a_shape_that_is_not_safe_is_not_learned(dialect: str, raw: bytes) -> None:
    assert learned(dialect, raw) is None


def test_another_session_and_a_damaged_prefix_are_handed_over() -> None:
    scanner = scanner_of("exchange", TICKER)
    line = encode_line(7, 5, SESSION, TICKER)
    assert scanned(scanner, line) is not None
    for old, new in (
        (b"s-1", b"s-2"),
        (b'"seq":7', b'"seq":07'),
        (b'"seq":7', b'"seq": 7'),
        (b'"}\n', b'" }\n'),
    ):
        assert scanned(scanner, line.replace(old, new)) is None


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_frames_off_the_wire_are_lines_of_their_own(dialect: str) -> None:
    frames = FRAMES[dialect]
    in_lines, bare = scanner_of(dialect, *frames), scanner_of(dialect, *frames, session=None)
    for raw in frames:
        expected = scanned(in_lines, encode_line(7, 5, SESSION, raw))
        found = scanned(bare, raw + b"\n")
        assert expected is not None
        assert found is not None
        for one, other in zip(expected, found, strict=True):
            assert one[t.EVENT_NS :] == other[t.EVENT_NS :]
        assert scanned(bare, raw + b" \n") is None
        assert scanned(bare, raw[:-1] + b"\n") is None


def test_scanning_stops_before_the_room_ends_and_goes_on() -> None:
    scanner = scanner_of("exchange", TICKER)
    lines = encode_line(7, 5, SESSION, TICKER) * 500
    total, offset, status = 0, 0, ITEMS_FULL
    while status == ITEMS_FULL:
        n, offset, status = scanner.scan(block_of(lines), offset, len(lines))
        total += n
    assert (total, offset, status) == (500, len(lines), SCANNED)
    assert scanner.scan(block_of(b""), 0, 0) == (0, 0, SCANNED)


def test_a_block_that_could_be_read_beyond_is_refused() -> None:
    scanner = scanner_of("exchange", TICKER)
    lines = encode_line(7, 5, SESSION, TICKER)
    for block, stop in ((block_of(lines)[:-1], len(lines)), (block_of(lines), len(lines) - 1)):
        with pytest.raises(ValueError, match="whole lines"):
            scanner.scan(block, 0, stop)


@pytest.mark.parametrize("rows", [1, 2, 3, 17, t.MAX_ROWS, t.MAX_ROWS + 1])
@pytest.mark.parametrize("known", [1, 2])
def test_one_shape_serves_any_number_of_rows(rows: int, known: int) -> None:
    head, tail = ADVANCED.split(b"[", 2)[0] + b"[" + ADVANCED.split(b"[", 2)[1] + b"[", b"]}]}"

    def frame(count: int) -> bytes:
        texts = [ROW.format("ETH-USD", "3200.5", f"3200.{i % 5}", f"3201.{5 + i % 7}1") for i in range(count)]
        return head + ",".join(texts).encode() + tail

    assert check("advanced", scanner_of("advanced", frame(known)), frame(rows)) == (rows <= t.MAX_ROWS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"},{"', b'"} ,{"'),
        (b'"}]}]}', b'"}],"more":[]}]}'),
        (b'"volume_24_h":"1.5",', b""),
        (b'"volume_24_h":"1.5"', b'"volume_24_h":{"a":"1.5"}'),
        (b'"volume_24_h":"1.5"', b'"volume_24_h":["1.5"]'),
    ],
)
def test_rows_of_another_shape_are_handed_over(old: bytes, new: bytes) -> None:
    scanner = scanner_of("advanced", ADVANCED)
    assert not check("advanced", scanner, ADVANCED.replace(old, new, 1))


def test_rows_that_are_not_flat_or_not_alike_are_not_learned() -> None:
    for new in (b"", b'"volume_24_h":{"a":"1.5"},', b'"volume_24_h":["1.5"],', b'"volume_24_h":"{",'):
        assert learned("advanced", ADVANCED.replace(b'"volume_24_h":"1.5",', new, 1)) is None
    assert learned("advanced", ADVANCED.replace(b"},{", b"} , {")) is not None


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_a_line_that_fails_its_crc_is_handed_over(dialect: str) -> None:
    scanner = scanner_of(dialect, *FRAMES[dialect])
    for raw in FRAMES[dialect]:
        line = encode_line(7, 1_900_000_000_000_000_001, SESSION, raw)
        assert scanned(scanner, line) is not None
        for i in range(len(line) - 1):
            for bit in range(8):
                changed = line[:i] + bytes([line[i] ^ 1 << bit]) + line[i + 1 :]
                assert scanned(scanner, changed) is None, (i, bit)


def test_the_checksum_is_that_of_zlib_with_and_without_carryless_products() -> None:
    rng = np.random.default_rng(7)
    for length in (*range(4, 200), 1000, 4096, 99_999):
        memory = np.zeros(checksum.ROOM + length + 8, np.uint8)
        start = memory.ctypes.data + checksum.ROOM
        text = rng.integers(0, 256, length, np.uint8)
        for remainder in (checksum.folded, checksum.looked_up):
            memory[checksum.ROOM : checksum.ROOM + length] = text
            memory[checksum.ROOM : checksum.ROOM + 4] ^= 0xFF
            assert remainder(start, start + length) ^ 0xFFFFFFFF == zlib.crc32(text), length
        memory[checksum.ROOM : checksum.ROOM + length] = text
        assert checksum.crc32(start, start + length) == zlib.crc32(text)


texts = [
    "",
    "0",
    "-1",
    "0.1",
    "61804.360",
    "612345678901.5",
    "1e5",
    "null",
    "true",
    '"',
    "\\",
    "\\u0030",
    "é",
    "12.3.4",
    "\x00",
]
names_and_times = ["BTC-USD", "BTC-USDC", "2031-05-17T09:12:44Z", "2100-02-29T00:00:00.5Z", "99999999999.5"]
values = st.sampled_from([*texts, *names_and_times, "18446744073709551616"])


@settings(max_examples=100, deadline=None)
@example("exchange", 0, [], [(60, "9")])
@given(
    st.sampled_from(["exchange", "advanced"]),
    st.integers(0, 1),
    st.lists(st.tuples(st.integers(0, 40), values), max_size=2),
    st.lists(st.tuples(st.integers(0, 600), st.characters(codec="latin-1")), max_size=2),
)
def test_fuzzed_frames_give_the_same_integers_or_are_handed_over(
    dialect: str, which: int, fields: list[tuple[int, str]], characters: list[tuple[int, str]]
) -> None:
    scanner = scanner_of(dialect, *FRAMES[dialect])
    text = FRAMES[dialect][which].decode()
    for index, value in fields:
        scalars = list(re.finditer(r'(?<=:")[^"]*(?=")|(?<=:)[0-9]+', text))
        place = scalars[index % len(scalars)]
        text = text[: place.start()] + value + text[place.end() :]
    for index, character in characters:
        text = text[: index % len(text)] + character + text[index % len(text) + 1 :]
    check(dialect, scanner, text.encode("latin-1", errors="ignore"))
