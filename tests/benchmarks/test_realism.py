"""The synthetic market beside recordings: facts counted one by one, the ticks of a replay, all tables."""

from __future__ import annotations

import importlib
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from benchmarks.attainable import calibration_sheet, judge, score_sheets
from benchmarks.market_facts import Value, mid_candles, minute_facts, tick_facts
from benchmarks.market_sources import synthetic_tables
from benchmarks.sheet import NOT_ENOUGH, Sheet, cell, over_seeds
from benchmarks.true_chance import Fineness, true_chances

from benchmarks import market_sources, realism
from volspike.features.store import read_features
from volspike.features.table import TICK
from volspike.simulation.synthetic import PRODUCTS, SyntheticMarket
from whole_runs import ORIGIN_NS, PRODUCT, SEED, make_history

NS = 1_000_000_000
HOUR_S = 3_600


@pytest.fixture(scope="module")
def tables():
    return synthetic_tables(SyntheticMarket(SEED, (*PRODUCTS,), ORIGIN_NS, HOUR_S))


def test_the_tables_of_a_synthetic_market_are_those_of_its_replay(tmp_path):
    found = synthetic_tables(SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS, 180))[PRODUCT][0]
    replayed = read_features(make_history(tmp_path / "data", 180 * NS).features)
    replayed = replayed.take(np.flatnonzero(replayed.kind == TICK))
    assert len(found) == len(replayed) > 200
    for name in ("event_ns", "bid", "ask", "ticks", "values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(replayed, name), err_msg=name)


def test_the_facts_of_ticks_are_those_counted_one_by_one(tables):
    table = tables[PRODUCT][0]
    facts = {name: fact.value for name, fact in tick_facts(tables[PRODUCT]).items()}
    ticks = list(zip(table.event_ns.tolist(), table.bid.tolist(), table.ask.tolist(), strict=True))
    pairs = list(pairwise(ticks))
    cent = 10 ** (table.price_decimals - 2)
    assert facts["ticks that share a stamp"] == sum(a[0] == b[0] for a, b in pairs) / len(pairs)
    still = sum(a[1] + a[2] == b[1] + b[2] for a, b in pairs) / len(pairs)
    assert facts["mid unchanged by a tick"] == still
    assert facts["spread of one increment"] == sum(a - b == cent for _, b, a in ticks) / len(ticks)
    assert facts["spread, mean, USD"] == pytest.approx(
        sum(a - b for _, b, a in ticks) / len(ticks) / cent / 100
    )
    first, last = -(-ticks[0][0] // NS), (ticks[-1][0] - 1) // NS
    seconds = {-(-t // NS) for t, _, _ in ticks} & set(range(first + 1, last + 1))
    assert facts["covered hours"] == pytest.approx((last - first) / 3_600)
    assert facts["seconds without a tick"] == pytest.approx(1 - len(seconds) / (last - first))


def test_candles_of_mids_hold_every_tick(tables):
    table, candles = tables[PRODUCT][0], mid_candles(tables[PRODUCT])
    minute, mid = table.event_ns // (60 * NS), (table.bid + table.ask) / (2 * 10.0**table.price_decimals)
    at = np.searchsorted(candles.minute, minute)
    assert (candles.low[at] <= mid).all()
    assert (mid <= candles.high[at]).all()
    assert candles.close[-1] == mid[-1]
    assert minute_facts(candles)["minute range, P50, bps"].value == pytest.approx(
        float(np.median(1e4 * np.log(candles.high / candles.low)))
    )


def test_what_rests_on_too_little_is_marked_or_not_shown():
    assert cell(Value(0.5, 300)) == "0.50"
    assert cell(Value(0.5, 299)) == "0.50!"
    assert cell(Value(0.5, 4)) == cell(Value(math.nan, 10_000)) == NOT_ENOUGH
    assert over_seeds([Value(3.0, 300), Value(1.0, 300), Value(2.0, 300)]) == "2.00 (1.00..3.00)"
    assert over_seeds([Value(3.0, 300), Value(1.0, 299), Value(2.0, 300)]) == "2.00! (1.00..3.00)"
    assert over_seeds([Value(3.0, 300), Value(1.0, 4)]) == NOT_ENOUGH


def test_a_sheet_as_markdown():
    sheet = Sheet("T", ("", "a"), (("x", "1"), ("y", "2")), "N")
    assert sheet.markdown() == "**T**\n\n|  | a |\n| --- | ---: |\n| x | 1 |\n| y | 2 |\n\nN\n"


def test_the_chance_between_knots_is_that_which_the_market_gives():
    market = SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS, HOUR_S)
    second = ORIGIN_NS // NS + np.arange(100, HOUR_S - 100, 230)
    tau = np.resize([3.0, 5.0, 9.0], len(second))
    states = market.hidden_states(PRODUCT, second)
    found = true_chances(states, tau, PRODUCTS[PRODUCT].orders_per_second, Fineness(16, 3, 1_000))
    told = [market.true_spike_probability(PRODUCT, int(s) * NS, t) for s, t in zip(second, tau, strict=True)]
    assert np.abs(found - told).max() < 0.08
    assert np.mean(found) == pytest.approx(np.mean(told), abs=0.015)
    assert np.corrcoef(found, told)[0, 1] > 0.99


def test_without_recordings_the_reason_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(realism, "DATA", tmp_path)
    assert market_sources.recorded_tables(tmp_path) == {}
    assert market_sources.recorded_minutes(tmp_path) is None


@pytest.mark.shared
def test_recordings_are_imported_and_measured(shared, monkeypatch):
    names = ("apr-26 03h",)
    chosen = {name: market_sources.RECORDINGS[name] for name in names}
    monkeypatch.setattr(market_sources, "RECORDINGS", chosen)
    recorded = market_sources.recorded_tables(shared / "data")
    assert {product: tuple(found) for product, found in recorded.items()} == {
        "BTC-USD": names,
        "ETH-USD": names,
    }
    facts = tick_facts(recorded["ETH-USD"][names[0]])
    assert 0.0 < facts["mid unchanged by a tick"].value < 1.0
    assert cell(facts["minute RV, P95, bps"]) == NOT_ENOUGH


def test_all_tables_are_made_of_a_short_market(tmp_path, monkeypatch, capsys):
    runner = importlib.import_module("benchmarks.__main__")
    page, out = tmp_path / "page.md", tmp_path / "figures.json"
    runner.main(["realism", "--quick", "--markdown", str(page), "--json", str(out)])
    sheets = json.loads(out.read_text(encoding="utf-8"))["realism"]
    assert [len(sheet["rows"]) > 5 for sheet in sheets] == [True] * len(sheets)
    assert "| the true chance |" in page.read_text(encoding="utf-8")
    assert "left out" in capsys.readouterr().out


@pytest.mark.slow
def test_the_truth_beats_everybody_where_there_are_enough_rows_to_tell():
    judged = judge(3, 20.0, Fineness(12, 3, 300))
    scores, shares = score_sheets(judged)
    loss = {name: float(cells[-1]) for name, *cells in scores.rows}
    assert min(loss, key=lambda name: loss[name]) == "the true chance"
    assert {"zscore", "logistic", "xgboost", "blend", "rule: persistence"} <= loss.keys()
    assert any(each != NOT_ENOUGH for _, *cells in shares.rows for each in cells)
    assert calibration_sheet(judged).rows[-1][0] == "all"
    assert abs(np.mean(judged.best) - np.mean(judged.rows.spike == 1)) < 0.05
