from __future__ import annotations

from dataclasses import replace

import pytest

from volspike.errors import FeatureError
from volspike.features.sets import RV_60S, TICK_SETS, get_feature_set, get_tick_set


def test_core_sized_adds_the_imbalance_to_core() -> None:
    core, sized = get_feature_set("core"), get_feature_set("core-sized")
    assert core.names == (
        "midprice_return_mean",
        "midprice_return_std",
        "bid_ask_spread",
        "trade_intensity",
        "relative_spread",
        "rv_60s",
    )
    assert sized.names == (*core.names, "order_book_imbalance")
    assert core.hash != sized.hash


def test_what_scales_with_the_feed_is_marked() -> None:
    assert get_feature_set("core-sized").feed_dependent == (
        "midprice_return_mean",
        "midprice_return_std",
        "trade_intensity",
        "order_book_imbalance",
    )


def test_flow_adds_to_core_sized_what_depends_on_the_feed_but_for_the_last_spread() -> None:
    sized, flow = get_feature_set("core-sized"), get_feature_set("flow")
    assert flow.columns[: len(sized.columns)] == sized.columns
    added = flow.names[len(sized.columns) :]
    assert len(set(flow.names)) == len(flow.names) == 30
    assert [name for name in added if name not in flow.feed_dependent] == ["spread_last_bps"]


def test_trade_adds_to_core_what_depends_on_the_feed_and_takes_three_numbers_more() -> None:
    core, trade = get_feature_set("core"), get_feature_set("trade")
    assert trade.columns[: len(core.columns)] == core.columns
    assert set(trade.names[len(core.columns) :]) <= set(trade.feed_dependent)
    assert len(set(trade.names)) == len(trade.names) == 15
    assert trade.inputs == (*core.inputs, "price", "size", "volume_24h")
    assert [name for name in TICK_SETS if get_feature_set(name).needs_trades] == ["trade"]


@pytest.mark.parametrize("name", ["flow", "trade"])
def test_every_column_is_described(name: str) -> None:
    for column in get_feature_set(name).columns:
        assert column.unit
        assert column.doc
        assert column.formula
        assert column.transform in ("log", "identity", "asinh")


def test_the_hash_covers_the_definition_and_no_more() -> None:
    core = get_feature_set("core")
    assert len(core.hash) == 64
    for change in (
        {"formula": "x"},
        {"unit": "x"},
        {"feed_dependent": True},
        {"transform": "asinh"},
        {"name": "x"},
    ):
        changed = replace(core, columns=(*core.columns[:-1], replace(RV_60S, **change)))
        assert changed.hash != core.hash
    reworded = replace(core, columns=(*core.columns[:-1], replace(RV_60S, doc="In other words.")))
    assert reworded.hash == core.hash
    assert replace(core, version=2).hash != core.hash
    assert replace(core, columns=core.columns[::-1]).hash != core.hash


def test_the_hash_of_a_published_set_is_fixed() -> None:
    # A file or model holds this hash. Where it must change, raise the version of the set too.
    assert get_feature_set("core").hash.startswith("59d5b1312ef06770")
    assert get_feature_set("core-sized").hash.startswith("d6c8391b72716efa")
    assert get_feature_set("flow").hash.startswith("cd83b675bb9e768c")
    assert get_feature_set("trade").hash.startswith("c932da65d64d6faa")


def test_an_unknown_set_is_refused_with_the_names_of_the_others() -> None:
    with pytest.raises(FeatureError, match="use one of: core, core-sized, flow"):
        get_feature_set("cor")


def test_feature_rows_are_of_sets_of_ticks_alone() -> None:
    assert [get_tick_set(name).name for name in TICK_SETS] == list(TICK_SETS)
    for name, made_of in (("regime", "seconds"), ("candle", "candles")):
        with pytest.raises(FeatureError, match=f"made of {made_of}, feature rows are made of ticks"):
            get_tick_set(name)
    with pytest.raises(FeatureError, match="no such set"):
        get_tick_set("nope")
