"""Numbers and times of the wire are exact, both ways."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ProtocolError
from volspike.exchange.decimals import (
    INT64_MAX,
    format_decimal,
    format_time_ns,
    parse_decimal,
    parse_time_ns,
)

few = settings(max_examples=100, deadline=None)


def attempt(parse: Callable[[], int]) -> tuple[int | None, str]:
    """Return the result, or the reason of a ProtocolError; anything else fails the test."""
    try:
        return parse(), ""
    except ProtocolError as error:
        return None, error.reason


times_ns = st.integers(0, INT64_MAX - 1_000_000_000)


@few
@given(st.integers(-INT64_MAX, INT64_MAX), st.integers(0, 12))
def test_decimal_parse_after_format_is_the_identity(value: int, decimals: int) -> None:
    assert parse_decimal(format_decimal(value, decimals), decimals) == value


@few
@given(st.decimals(-1_000_000, 1_000_000, places=8), st.integers(8, 12))
def test_decimal_agrees_with_the_decimal_module(number: Decimal, decimals: int) -> None:
    assert parse_decimal(f"{number:f}", decimals) == int(number.scaleb(decimals))


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("61804.37", 8, 6_180_437_000_000),
        ("61804", 8, 6_180_400_000_000),
        ("0.00000001", 8, 1),
        ("0.000000000001", 12, 1),
        ("1000000000", 8, 10**17),
        ("-12.5", 2, -1250),
        ("1.230000000000", 2, 123),
        ("00.10", 1, 1),
        ("92233720368.54775807", 8, INT64_MAX),
    ],
)
def test_decimal_at_known_values(text: str, decimals: int, units: int) -> None:
    assert parse_decimal(text, decimals) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e-8",
        "1E3",
        "1_000",
        " 1",
        "1 ",
        "+1",
        "--1",
        "-",
        ".",
        "-.",
        "1.2.3",
        "0x10",
        "1,5",
        "٣.٥",
        "1²",
        "1.2345",
        "92233720368.54775808",
        "9" * 5000,
        "1." + "0" * 5000,
        "\0",
    ],
)
def test_fault_19_numbers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_decimal(text, 8 if text.startswith("9") else 3)
    assert caught.value.reason == "number"


@few
@given(st.text(max_size=12))
def test_decimal_never_raises_anything_else(text: str) -> None:
    units, reason = attempt(lambda: parse_decimal(text, 8))
    assert reason == "number" or isinstance(units, int)


@few
@given(times_ns, st.integers(0, 9), st.booleans())
def test_fault_15_time_parse_after_format_is_the_identity(ns: int, digits: int, trim: bool) -> None:
    shown = ns - ns % 10 ** (9 - digits)
    assert parse_time_ns(format_time_ns(ns, digits, trim)) == shown
    assert parse_time_ns(format_time_ns(shown)) == shown


@few
@given(st.integers(0, 9_000_000_000), st.integers(0, 999_999))
def test_time_agrees_with_datetime(second: int, microsecond: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second, microseconds=microsecond)
    text = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert parse_time_ns(text) == second * 10**9 + microsecond * 1000
    assert format_time_ns(second * 10**9 + microsecond * 1000, digits=6, trim=False) == text


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2000-02-29T00:00:00.5Z", 951_782_400_500_000_000),
        ("1970-01-01T01:00:00.25+01:00", 250_000_000),
        ("1970-01-01T00:00:00-05:30", 19_800_000_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
        ("2262-04-11T23:47:15.999999999Z", 9_223_372_035_999_999_999),
    ],
)
def test_time_at_known_values(text: str, ns: int) -> None:
    assert parse_time_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "now",
        "2031-05-17",
        "2031-05-17T09:12:44",
        "2031-05-17T09:12:44.",
        "2031-05-17T09:12:44.Z",
        "2031-13-01T00:00:00Z",
        "2031-00-01T00:00:00Z",
        "2031-04-31T00:00:00Z",
        "2031-02-29T00:00:00Z",
        "2031-05-17T24:00:00Z",
        "2031-05-17T09:60:00Z",
        "2031-05-17T09:12:60Z",
        "2031-05-17T09:12:61.5Z",
        "2031-05-17T09:12:44.1234567890Z",
        "2031-05-17T09:12:44.12x4Z",
        "2031-05-17T09:12:44.1ZZ",
        "2031-05-17T09:12:44+24:00",
        "2031-05-17T09:12:44+01:60",
        "2031-05-17T09:12:44+0100",
        "2031-5-17T09:12:44Z",
        "2031-05-17 09:12:44Z",
        "2031/05/17T09:12:44Z",
        "-031-05-17T09:12:44Z",
        "1969-12-31T23:59:59Z",
        "2262-04-11T23:47:16Z",
        "9999-12-31T23:59:59Z",
        "٢٠٣١-05-17T09:12:44.1Z",
    ],
)
def test_fault_15_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_time_ns(text)
    assert caught.value.reason == "time"


@given(
    st.text(max_size=32) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,10})?.{0,6}", fullmatch=True)
)
def test_time_never_raises_anything_else(text: str) -> None:
    ns, reason = attempt(lambda: parse_time_ns(text))
    assert reason == "time" or (ns is not None and 0 <= ns <= INT64_MAX)
