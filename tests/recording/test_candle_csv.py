"""Minute candles of CSV files: every shape is recognised, every bad row is counted under its reason."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ImportFormatError
from volspike.exchange.candles import FIGURES
from volspike.recording.candle_csv import read_candle_csv

HEADER = "time,low,high,open,close,volume"
RECORDER = "minute_epoch,minute_utc,close,book_imb,ofi,day,trades,volume,buy_share,high,low"
T0 = 1_700_000_040  # a whole minute
M0 = T0 // 60


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(time: object, low: object = 9, high: object = 12, open_: object = 10, close: object = 11) -> str:
    return f"{time},{low},{high},{open_},{close},3.25"


def test_a_plain_file_is_read_to_the_last_digit(tmp_path: Path) -> None:
    path = written(tmp_path / "BTC-USD_a.csv", HEADER, f"{T0},61804.37,61822.5,61810.1,61811.99,0.12345678")
    table, rejected = read_candle_csv(path)
    assert (table.product, table.source, rejected) == ("BTC-USD", "csv", {})
    assert table.minute.tolist() == [M0]
    assert (table.low[0], table.high[0], table.open[0]) == (61804.37, 61822.5, 61810.1)
    assert (table.close[0], table.volume[0]) == (61811.99, 0.12345678)
    absent = ("trades", "buy_share", "book_imbalance", "order_flow_imbalance")
    assert all(np.isnan(getattr(table, name)).all() for name in absent)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("time", f"{T0}", f"{T0 + 60}"),
        ("Open_Time", f"{T0}000", f"{T0 + 60}000"),
        ("timestamp", f"{T0}.0", f"{T0 + 60}.0"),
        ("ts", f"{T0}000000", f"{T0 + 60}000000"),
        ("unix", f"{T0}000000000", f"{T0 + 60}"),
        ("date", "2023-11-14 22:14:00", "2023-11-14 22:15:00"),
        ("Datetime", "2023-11-14T22:14:00Z", "2023-11-14T22:15:00+00:00"),
        ("start", "2023-11-14T22:14", "2023-11-15T00:15:00+02:00"),
    ],
)
def test_times_of_any_usual_form_are_the_same_minutes(
    name: str, first: str, second: str, tmp_path: Path
) -> None:
    header = f"{name},open,high,low,close"
    table, rejected = read_candle_csv(
        written(tmp_path / "a.csv", header, f"{first},10,12,9,11", f"{second},10,12,9,11"), "ETH-USD"
    )
    assert not rejected
    assert table.minute.tolist() == [M0, M0 + 1]
    assert table.product == "ETH-USD"


def test_columns_are_found_by_name_in_any_order_and_spelling(tmp_path: Path) -> None:
    header = "Symbol,Close,HIGH,low,Open-Price,VOL,num_trades,open_time,ignored"
    path = written(tmp_path / "x.csv", header, f"btc/usd,11,12,9,10,3.25,77,{T0}000,zzz")
    table, _ = read_candle_csv(path)
    assert table.product == "BTC-USD"
    found = {name: getattr(table, name)[0] for name in ("open", "high", "low", "close", "volume", "trades")}
    assert found == {"open": 10, "high": 12, "low": 9, "close": 11, "volume": 3.25, "trades": 77}


def test_every_bad_row_is_counted_under_its_reason(tmp_path: Path) -> None:
    good = [row(T0 + 60 * minute) for minute in range(5)]
    bad = {
        "columns": f"{T0 + 600},1,2",
        "missing": row(T0 + 600, high=""),
        "number": row(T0 + 600, low="9.5x"),
        "time": row("yesterday"),
        "off_minute": row(T0 + 601),
        "high_below_low": row(T0 + 600, low=13, close=12.5, open_=12.5),
        "non_positive": row(T0 + 600, low=0),
        "outside_range": row(T0 + 600, close=12.5),
        "repeated": good[0],
        "contradictory": row(T0, close=10.5),
    }
    lines = [HEADER, good[0], "", *bad.values(), *good[1:], row(T0 - 60)]
    table, rejected = read_candle_csv(written(tmp_path / "BTC-USD.csv", *lines))
    assert rejected == {**dict.fromkeys(sorted(bad), 1), "out_of_order": 1}
    assert table.minute.tolist() == [M0 + minute for minute in range(5)]
    assert table.close[0] == 11.0


def test_minutes_of_a_wrong_year_and_those_not_over_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [row(60), row(1_262_304_000 - 60), row(T0), row(T0 + 60), row(4_102_444_800)]
    table, rejected = read_candle_csv(written(tmp_path / "BTC-USD.csv", HEADER, *rows), now=M0 + 1)
    assert rejected == {"before_2010": 2, "future": 2}
    assert table.minute.tolist() == [M0]


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([T0 + second for second in range(300)], "less than a minute: 299 of 299"),
        ([T0 + 30 * half for half in range(40)], "less than a minute"),
        ([M0 + minute for minute in range(300)], "less than a minute"),
        ([T0 + 61 * minute for minute in range(39)], "38 rows that do not begin with a minute, and 1"),
        ([T0 + 60 * minute + 17 for minute in range(40)], "40 rows that do not begin with a minute, and 0"),
    ],
)
def test_a_file_that_is_none_of_minutes_is_refused_whole(
    times: list[int], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ImportFormatError, match=reason):
        read_candle_csv(written(tmp_path / "BTC-USD.csv", HEADER, *map(row, times)))


@pytest.mark.parametrize("value", ["nan", "NaN", "null", "inf", "1e999", "0x10", "1_000", "１２", "9" * 70])
def test_what_is_no_finite_decimal_is_no_price(value: str, tmp_path: Path) -> None:
    table, rejected = read_candle_csv(written(tmp_path / "BTC-USD.csv", HEADER, row(T0, high=value)))
    assert len(table) == 0
    assert rejected in ({"number": 1}, {"missing": 1})


def test_optional_figures_that_are_empty_are_absent(tmp_path: Path) -> None:
    table, rejected = read_candle_csv(written(tmp_path / "BTC-USD.csv", HEADER, f"{T0},9,12,,11,"))
    assert not rejected
    assert np.isnan(table.open[0])
    assert np.isnan(table.volume[0])


def test_minutes_in_which_a_recorder_slept_are_no_candles(tmp_path: Path) -> None:
    path = written(
        tmp_path / "BTC-USD_2026-07-05.csv",
        RECORDER,
        f"{M0},x,12.5,0.29,-0.5,2026-07-05,50.0,0.03,0.9,12,9",
        f"{M0 + 1},x,12.5,0.29,0.9,2026-07-05,,,,,",
    )
    table, rejected = read_candle_csv(path)
    assert (table.source, rejected) == ("recorder", {"asleep": 1})
    assert table.minute.tolist() == [M0]
    # its close comes from the book, and may lie outside the trades
    assert {name: getattr(table, name)[0] for name in FIGURES if name != "open"} == {
        "high": 12,
        "low": 9,
        "close": 12.5,
        "volume": 0.03,
        "trades": 50,
        "buy_share": 0.9,
        "book_imbalance": 0.29,
        "order_flow_imbalance": -0.5,
    }
    assert np.isnan(table.open[0])


def test_a_file_of_several_products_needs_a_choice(tmp_path: Path) -> None:
    lines = [f"{T0},BTC-USD,9,12,11", f"{T0},ETH-USD,9,12,10", f"{T0 + 60},ETH-USD,9,12,10"]
    path = written(tmp_path / "all.csv", "time,product,low,high,close", *lines)
    with pytest.raises(ImportFormatError, match="holds BTC-USD and ETH-USD; choose one with --product"):
        read_candle_csv(path)
    table, rejected = read_candle_csv(path, "ETH-USD")
    assert table.minute.tolist() == [M0, M0 + 1]
    assert rejected == {"other_product": 1}


def test_a_product_that_is_no_name_is_rejected(tmp_path: Path) -> None:
    lines = [f"{T0},../up,9,12,11", f"{T0},,9,12,11", f"{T0},BTC-USD,9,12,11"]
    path = written(tmp_path / "all.csv", "time,product,low,high,close", *lines)
    table, rejected = read_candle_csv(path)
    assert (table.product, len(table), rejected) == ("BTC-USD", 1, {"missing": 1, "product": 1})


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("a.csv", [HEADER, row(T0)], "names no product; say which with --product"),
        ("BTC-USD.csv", ["time,open,volume", f"{T0},1,2"], "no column for high, low, close"),
        ("BTC-USD.csv", ["high,low,close", "2,1,1.5"], "no column for time"),
        ("BTC-USD.csv", [HEADER], "has no row under a header"),
        ("BTC-USD.csv", [""], "has no row under a header"),
        ("BTC-USD.csv", [row(T0), row(T0 + 60)], "no column for time, high, low, close"),
        ("BTC-USD.txt", [HEADER, row(T0)], "is no CSV by its name"),
        ("BTC-USD.csv.gz", [HEADER, row(T0)], "is not gzip"),
        (
            "BTC-USD.csv",
            [HEADER, *(row(T0 + 300 * n) for n in range(10))],
            "candles of 5 minutes",
        ),
    ],
)
def test_a_file_that_is_none_of_candles_is_refused(
    name: str, lines: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ImportFormatError, match=words):
        read_candle_csv(written(tmp_path / name, *lines))


def test_a_name_that_contradicts_the_choice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "ETH-USD_2026.csv", HEADER, row(T0))
    with pytest.raises(ImportFormatError, match="is of ETH-USD by its name, not of BTC-USD"):
        read_candle_csv(path, "BTC-USD")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join([HEADER, *(row(T0 + 60 * n) for n in range(500))]).encode())
    path = tmp_path / "BTC-USD.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImportFormatError, match="damaged or cut short"):
        read_candle_csv(path)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=("Cs",)), max_size=40),
            st.builds(row, st.integers(0, 2**70), st.text("0123456789.eE+-", max_size=6)),
        ),
        max_size=9,
    )
)
def test_whatever_the_rows_they_are_candles_or_counted(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = written(tmp_path_factory.mktemp("any") / "BTC-USD.csv", HEADER, row(T0), *lines)
    table, rejected = read_candle_csv(path)
    assert len(table) + sum(rejected.values()) == 1 + sum(bool(line.encode().strip()) for line in lines)
    assert (np.diff(table.minute) > 0).all()
    assert np.isfinite(table.high).all()
    assert (table.low <= table.close).all()
    assert (table.close <= table.high).all()


@pytest.mark.shared
def test_the_recorded_minutes_are_those_their_readme_counts(shared: Path) -> None:
    minutes, asleep = [], 0
    for path in sorted((shared / "data" / "minutes").glob("*.csv.gz")):
        table, rejected = read_candle_csv(path)
        assert (table.product, table.source) == ("BTC-USD", "recorder")
        assert set(rejected) <= {"asleep"}
        asleep += rejected.get("asleep", 0)
        minutes.append(table.minute)
    joined = np.concatenate(minutes)
    assert len(joined) == 26_171
    assert int((np.diff(joined) == 1).sum()) == 25_503
    assert asleep == 10_322
