"""Of several sources of candles one is taken, by what was said or the exchange's own, and that is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from candle_tables import PRODUCT, random_table
from volspike.config import Settings
from volspike.errors import FeatureError, NotEnoughDataError
from volspike.features.candle_store import CandleStore
from volspike.pipeline.home import Home
from volspike.pipeline.stored_candles import stored_candles
from volspike.pipeline.stored_data import newest_kind, say_ticks_taken, training_data


def home_with(folder: Path, *sources: str, product: str = PRODUCT) -> Home:
    home = Home(folder)
    for seed, source in enumerate(sources):
        store = CandleStore(home.candles, product, source)
        store.add(replace(random_table(seed, 400), product=product, source=source))
        store.save()
    return home


def test_one_source_is_taken_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    assert stored_candles(home_with(tmp_path, "csv"), None, say=said.append).source == "csv"
    assert said == []


def test_of_several_the_exchanges_own_is_taken_and_told(tmp_path: Path) -> None:
    said: list[str] = []
    home = home_with(tmp_path, "csv", "coinbase", "recorder")
    assert stored_candles(home, PRODUCT, say=said.append).source == "coinbase"
    assert "coinbase" in said[0]
    assert "csv, recorder (--source)" in said[0]


@pytest.mark.parametrize("source", ["csv", "coinbase"])
def test_the_source_that_is_said_is_taken(source: str, tmp_path: Path) -> None:
    home = home_with(tmp_path, "csv", "coinbase")
    settings = Settings(data_dir=tmp_path, candle_source=source)
    assert stored_candles(home, None, source).source == source
    assert f"from {source}," in training_data(home, settings, None, "candles").words
    assert newest_kind(home, None, "candles", source).feed == "candles"


def test_without_the_exchanges_own_the_remedy_names_the_option(tmp_path: Path) -> None:
    home = home_with(tmp_path, "csv", "recorder")
    with pytest.raises(FeatureError, match="from csv, recorder; choose one with --source"):
        stored_candles(home, None)


def test_several_products_are_still_asked_for(tmp_path: Path) -> None:
    home_with(tmp_path, "csv", product="ETH-USD")
    home = home_with(tmp_path, "csv", "coinbase")
    with pytest.raises(FeatureError, match="choose one with --product"):
        stored_candles(home, None)


def test_where_only_candles_are_stored_training_says_how_to_take_them(tmp_path: Path) -> None:
    home = home_with(tmp_path, "csv")
    with pytest.raises(NotEnoughDataError, match="say --feed candles"):
        training_data(home, Settings(data_dir=tmp_path), None, None)


def test_that_ticks_are_taken_is_said_where_candles_are_stored_and_nobody_chose(tmp_path: Path) -> None:
    said: list[str] = []
    home = home_with(tmp_path, "csv")
    say_ticks_taken(home, PRODUCT, "exchange", said.append)
    say_ticks_taken(home, "ETH-USD", None, said.append)
    assert said == []
    say_ticks_taken(home, PRODUCT, None, said.append)
    assert said == [f"{PRODUCT}: ticks are taken; candles are stored too (--feed candles)"]


def test_where_only_candles_are_stored_a_retraining_says_what_a_training_says(tmp_path: Path) -> None:
    home = home_with(tmp_path, "csv")
    with pytest.raises(NotEnoughDataError, match="it holds candles, and no rows of ticks"):
        training_data(home, Settings(data_dir=tmp_path), None, None)
    with pytest.raises(NotEnoughDataError, match="it holds candles, and no rows of ticks"):
        newest_kind(home, None, None)
