"""The line format: any bytes survive, and nothing damaged is taken for whole."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ArchiveError
from volspike.recording.frame import FlatMapping, Frame, SegmentHeader
from volspike.recording.segment import (
    Recovered,
    check_names,
    decode_header,
    decode_line,
    decode_marker,
    encode_header,
    encode_line,
    encode_marker,
    frame_or_none,
    resync,
    whole_lines,
)

SEQ = st.integers(0, 2**63 - 1)
RAW = st.binary(max_size=300) | st.text(max_size=200).map(str.encode)


@settings(max_examples=100, deadline=None)
@given(SEQ, SEQ, RAW)
def test_any_bytes_come_back_from_one_line(seq: int, receive_ns: int, raw: bytes) -> None:
    line = encode_line(seq, receive_ns, "s-1.a_b", raw)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_line(line) == Frame(seq, receive_ns, "s-1.a_b", raw)


@settings(max_examples=100, deadline=None)
@given(RAW, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_never_changes_a_frame(raw: bytes, position: int, bit: int) -> None:
    line = bytearray(encode_line(7, 1_900_000_000, "s", raw))
    line[position % (len(line) - 1)] ^= 1 << bit
    assert frame_or_none(bytes(line)) in (None, Frame(7, 1_900_000_000, "s", raw))


def test_the_keys_stand_in_their_order_with_the_text_last() -> None:
    line = encode_line(12, 34, "s", b'{"type":"ticker"}')
    assert list(json.loads(line)) == ["seq", "receive_ns", "session", "crc", "raw"]
    assert line.startswith(b'{"seq":12,"receive_ns":34,"session":"s","crc":')
    assert line.endswith(b',"raw":"{\\"type\\":\\"ticker\\"}"}\n')


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"two\nlines", b"carriage\rreturn"])
def test_what_is_no_line_of_text_is_kept_in_base64(raw: bytes) -> None:
    line = encode_line(1, 2, "s", raw)
    assert "raw_b64" in json.loads(line)
    assert decode_line(line).raw == raw


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"{}",
        b"\x00" * 64,
        b"[" * 50_000,
        b'{"seq":1,"receive_ns":2,"session":"s","crc":3}',
        b'{"seq":1,"receive_ns":2,"session":"s","crc":3,"raw":"a"}',
        b'{"seq":1,"receive_ns":2,"session":"s","crc":3,"raw":"a","raw_b64":"YQ=="}',
        b'{"seq":1,"receive_ns":2,"session":"s","crc":3,"raw_b64":"?"}',
        b'{"seq":1,"receive_ns":2,"session":"s","crc":3,"raw":"a","more":1}',
    ],
)
def test_a_malformed_line_is_refused(line: bytes) -> None:
    with pytest.raises(ArchiveError, match="archive line"):
        decode_line(line)


def test_header_and_marker_come_back_and_damage_is_refused() -> None:
    mapping = FlatMapping(time="t", bid="b", ask="a", zone="-05:00")
    header = SegmentHeader(
        feed="advanced", dialect="flat", session="s", products=("BTC-USD",), heartbeats=False, mapping=mapping
    )
    line = encode_header(header)
    assert decode_header(line) == header
    with pytest.raises(ArchiveError, match="crc"):
        decode_header(line.replace(b"-05:00", b"-06:00"))
    marker = Recovered(cut_bytes=3, bad_lines=1)
    assert decode_marker(encode_marker(marker)) == marker
    with pytest.raises(ArchiveError, match="marker"):
        decode_marker(line)


HEADER = SegmentHeader(feed="exchange", dialect="exchange", session="s", products=(), heartbeats=True)


@pytest.mark.parametrize("session", ["", "a/b", "../a", 'a"b', "ä", "a" * 121, "-a"])
def test_a_session_that_is_no_file_name_is_refused(session: str) -> None:
    with pytest.raises(ArchiveError, match="session"):
        check_names(msgspec.structs.replace(HEADER, session=session))


@pytest.mark.parametrize("feed", ["", "../../evil", "x/y", "EXCHANGE"])
def test_an_unknown_feed_is_refused(feed: str) -> None:
    with pytest.raises(ArchiveError, match="feed"):
        check_names(msgspec.structs.replace(HEADER, feed=feed))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=20)), st.binary(max_size=5))
def test_blocks_are_regrouped_into_whole_lines(lines: list[bytes], torn: bytes) -> None:
    text = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines) + torn.replace(b"\n", b"")
    blocks = [text[start : start + 7] for start in range(0, len(text), 7)]
    regrouped = list(whole_lines(blocks))
    assert b"".join(regrouped) == text
    assert all(block.endswith(b"\n") for block in regrouped[:-1])


def test_a_frame_behind_a_lost_newline_is_found() -> None:
    first, second = encode_line(1, 2, "s", b'{"seq":1}'), encode_line(2, 3, "s", b"b")
    joined = first[:-1] + b"\x0b" + second[:-1]
    assert [frame_or_none(piece) for piece in resync(joined)] == [None, Frame(2, 3, "s", b"b")]
