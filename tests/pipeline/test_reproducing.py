"""The original's protocol on recordings: its own published rows, what is read, and what is left behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from volspike.errors import ConfigError, ImportFormatError
from volspike.evaluation.original.columns import COLUMNS, SNAPSHOT, original_rows
from volspike.evaluation.original.threshold import parse_threshold
from volspike.exchange.decimals import format_time_ns
from volspike.exchange.products import PriceScales
from volspike.pipeline.reproducing import read_recordings, reproduce
from volspike.recording.sniff import ImportOptions

NS = 1_000_000_000
START_NS = 1_893_456_000 * NS


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have temporary directories made where a test can look."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def exchange_recording(path: Path, products: tuple[str, ...], count: int, sessions: int = 1) -> Path:
    """Write raw Exchange tickers, four a second, after an acknowledgement for each session."""
    lines = []
    for session in range(sessions):
        channels = [{"name": "ticker", "product_ids": list(products)}]
        lines.append({"type": "subscriptions", "channels": channels})
        for i in range(count):
            bid = 10_000 + (i % 2) * (1 + i % 11)
            lines.append(
                {
                    "type": "ticker",
                    "sequence": i,
                    "product_id": products[0 if i % 3 else -1],
                    "price": f"{bid / 100:.2f}",
                    "best_bid": f"{bid / 100:.2f}",
                    "best_ask": f"{(bid + 1) / 100:.2f}",
                    "time": format_time_ns(START_NS + session * 3_600 * NS + i * NS // 4),
                    "trade_id": session * count + i + 1,
                    "last_size": "0.1",
                    "side": "buy",
                }
            )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run(path: Path, tau: str = "P90", product: str | None = None) -> dict:
    return reproduce([path], ImportOptions(), PriceScales(), parse_threshold(tau), product)


def test_every_ticker_counts_the_first_of_a_subscription_too(tmp_path: Path) -> None:
    path = exchange_recording(tmp_path / "day.ndjson", ("BTC-USD",), 100, sessions=2)
    _, events = read_recordings([path], ImportOptions(), PriceScales())
    market = events.recorded(("BTC-USD", "exchange"))
    assert events.tickers == {("BTC-USD", "exchange"): 200}
    assert np.flatnonzero(market.kind == SNAPSHOT).tolist() == [0, 100]
    assert len(set(market.covered_since_ns[:100])) == 1  # the snapshot belongs to its session
    assert len(original_rows(market)) == 198


def test_nothing_is_left_behind(tmp_path: Path, temporary: Path) -> None:
    report = run(exchange_recording(tmp_path / "day.ndjson", ("BTC-USD",), 100))
    assert report["rows"] == 99
    assert not list(temporary.iterdir())
    (tmp_path / "bad.ndjson").write_text('{"a": 1}\n')
    with pytest.raises(ImportFormatError):
        run(tmp_path / "bad.ndjson")
    assert not list(temporary.iterdir())


def test_of_several_products_one_is_chosen(tmp_path: Path) -> None:
    path = exchange_recording(tmp_path / "day.ndjson", ("BTC-USD", "ETH-USD"), 300)
    report = run(path)
    assert report["product"] == "BTC-USD"
    assert report["products"] == {"BTC-USD exchange": 200, "ETH-USD exchange": 100}
    assert run(path, product="ETH-USD")["rows"] == 99
    with pytest.raises(ConfigError, match="choose one of BTC-USD, ETH-USD"):
        run(path, product="SOL-USD")


def test_invariant_10_the_same_recording_gives_the_same_report(tmp_path: Path) -> None:
    path = exchange_recording(tmp_path / "day.ndjson", ("BTC-USD",), 2_000)
    assert run(path) == run(path)


@pytest.mark.shared
def test_the_rows_that_the_original_recorded_come_out_again(shared: Path) -> None:
    ticks = shared / "data" / "ticks"
    theirs = pl.read_parquet(ticks / "nov-2025-seed-features.parquet")
    path = ticks / "nov-2025-exchange-feed.ndjson.gz"
    _, events = read_recordings([path], ImportOptions(), PriceScales())
    ours = original_rows(events.recorded(("BTC-USD", "exchange")))
    assert len(ours) == len(theirs) == 5_992
    assert ours.seconds.tolist() == theirs["ts"].to_list()
    assert (ours.last - ours.first + 1).tolist() == theirs["window_size"].to_list()
    expected = theirs.select(COLUMNS).to_numpy()
    apart = np.abs(ours.values - expected).max(axis=0)
    # returns and stds to 2e-15 (they are of the order of 1e-5), spreads to 1e-10, intensity to the bit
    assert (apart <= (2e-15, 2e-15, 1e-10, 0.0, 1e-15)).all(), dict(zip(COLUMNS, apart, strict=True))


@pytest.mark.shared
def test_the_published_figure_comes_out_again_and_rests_on_three_windows(shared: Path) -> None:
    path = shared / "data" / "ticks" / "nov-2025-exchange-feed.ndjson.gz"
    report = run(path, "P60")
    assert {name: round(report["next_row"][name]["pr_auc"], 3) for name in ("zscore", "logistic")} == {
        "zscore": 1.0,
        "logistic": 1.0,
    }
    assert report["next_row"]["xgboost"]["pr_auc"] > 0.99
    assert report["shared_tick_frac"] == pytest.approx(0.99858, abs=1e-4)
    assert report["windows"] == 3
    assert "3 independent windows" in report["words"][1]
    assert {score["pr_auc"] for score in report["future"].values()} == {None}
    assert "not enough data, 3 independent windows" in report["words"][2]


@pytest.mark.shared
def test_at_the_90th_percentile_the_test_part_of_the_original_has_nothing_to_find(shared: Path) -> None:
    report = run(shared / "data" / "ticks" / "nov-2025-exchange-feed.ndjson.gz")
    assert report["next_row"]["xgboost"]["pr_auc"] is None
    assert report["next_row"]["xgboost"]["reason"] == "the rows are of one class: 0 spikes in 900 rows"
    assert report["next_row"]["persistence"]["pr_auc"] == pytest.approx(0.995, abs=0.002)


@pytest.mark.shared
def test_an_hour_of_the_market_under_both_labels(shared: Path) -> None:
    report = run(shared / "data" / "ticks" / "apr-2026-04T2254.ndjson.gz")
    now, future = report["next_row"], report["future"]
    assert now["persistence"]["pr_auc"] == pytest.approx(0.994, abs=0.002)
    assert now["xgboost"]["validation"]["pr_auc"] > 0.98
    assert future["persistence"]["base_rate"] == pytest.approx(0.11, abs=0.01)
    assert future["persistence"]["pr_auc"] < 2 * future["persistence"]["base_rate"]
    for name in ("zscore", "logistic", "xgboost"):
        assert future[name]["pr_auc"] < 2 * future[name]["base_rate"]
        assert future[name]["enough_data"] is False
    assert (report["windows"], report["windows_test"]) == (61, 8)
