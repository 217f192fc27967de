"""A feature that holds anything of what comes after its row is found; one of the past is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import START_S, Columns, clean, frame

from volspike.evaluation.leaks.finding import Finding
from volspike.evaluation.leaks.future_features import future_features
from volspike.evaluation.leaks.rows import AuditRows
from volspike.pipeline.foreign_features import read_foreign
from volspike.pipeline.foreign_roles import Told

Feature = Callable[[np.ndarray, np.ndarray], np.ndarray]


def read(columns: Columns, folder: Path) -> AuditRows:
    frame(columns).write_parquet(folder / "rows.parquet")
    return read_foreign(folder / "rows.parquet", Told())


def with_feature(columns: Columns, values: np.ndarray, folder: Path) -> Finding:
    return future_features(read(columns | {"added": values}, folder), None)


def squares(from_s: float, until_s: float) -> Feature:
    """Return the realised volatility from one time around a row to another."""

    def feature(time_s: np.ndarray, mid: np.ndarray) -> np.ndarray:
        total = np.concatenate(([0.0], np.cumsum(np.diff(np.log(mid), prepend=np.log(mid[0])) ** 2)))
        first, stop = (np.searchsorted(time_s, time_s + bound, side="right") for bound in (from_s, until_s))
        return np.sqrt(np.maximum(total[stop] - total[first], 0.0))

    return feature


def deviation(from_s: float, until_s: float) -> Feature:
    """Return the standard deviation of the returns inside the same."""

    def feature(time_s: np.ndarray, mid: np.ndarray) -> np.ndarray:
        returns = np.diff(np.log(mid), prepend=np.log(mid[0]))
        first, stop = (np.searchsorted(time_s, time_s + bound, side="right") for bound in (from_s, until_s))
        parts = zip(first.tolist(), stop.tolist(), strict=True)
        return np.array([np.std(returns[a:b]) if b - a > 4 else np.nan for a, b in parts])

    return feature


def next_return(time_s: np.ndarray, mid: np.ndarray) -> np.ndarray:
    return np.append(np.diff(np.log(mid)), 0.0)


def move_of_the_next_second(time_s: np.ndarray, mid: np.ndarray) -> np.ndarray:
    place = np.searchsorted(time_s, time_s + 1.0, side="right") - 1
    return np.log(mid[place] / mid)


LEAKS = {
    "deviation, centred, 60 s": deviation(-30, 30),
    "deviation, moved by a second": deviation(-59, 1),
    "volatility, centred, 300 s": squares(-150, 150),
    "volatility, centred, 10 s": squares(-5, 5),
    "volatility, off the centre": squares(-4, 6),
    "volatility, moved by a second": squares(-9, 1),
    "return to the next row": next_return,
    "move of the next second": move_of_the_next_second,
}
HONEST = {
    "volatility of 7 s": squares(-7, 0),
    "volatility of 20 s, late by 3": squares(-23, -3),
    "volatility of 240 s": squares(-240, 0),
    "volatility of 900 s": squares(-900, 0),
    "deviation of 45 s": deviation(-45, 0),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", LEAKS)
def test_a_window_that_ends_after_its_row_is_found(name: str, seed: int, tmp_path: Path) -> None:
    columns = clean(seed)
    values = LEAKS[name](columns["event_time"] - START_S, columns["mid"])
    finding = with_feature(columns, values, tmp_path)
    assert finding.status == "leak", finding.words
    assert finding.words.startswith("added ")


@pytest.mark.parametrize("seed", [1, 2])
def test_windows_of_the_past_accuse_nobody(seed: int, tmp_path: Path) -> None:
    columns = clean(seed)
    time_s, mid = columns["event_time"] - START_S, columns["mid"]
    rows = read(columns | {name: make(time_s, mid) for name, make in HONEST.items()}, tmp_path)
    assert set(HONEST) <= set(rows.names)
    assert future_features(rows, None).status == "can't tell"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_volatility_of_the_future_is_found_under_noise(seed: int, tmp_path: Path) -> None:
    columns, rng = clean(seed), np.random.default_rng(seed)
    ahead = squares(0, 60)(columns["event_time"] - START_S, columns["mid"])
    finding = with_feature(columns, ahead * rng.lognormal(0.0, 0.25, len(ahead)), tmp_path)
    assert finding.status == "leak", finding.words


def test_what_a_good_feature_might_know_is_named_but_not_accused(tmp_path: Path) -> None:
    columns, rng = clean(2), np.random.default_rng(2)
    label = np.nan_to_num(columns["label"])
    finding = with_feature(columns, label + rng.normal(0.0, 0.6, len(label)), tmp_path)
    assert finding.status == "can't tell"
    assert finding.words.startswith("added goes with the label")


def test_a_file_of_minutes_is_read_in_its_own_steps(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    slow = np.cumsum(rng.normal(0.0, 0.3, 4_000))
    slow -= np.linspace(0.0, slow[-1], len(slow))
    mid = 100.0 * np.exp(np.cumsum(1e-4 * np.exp(np.clip(slow, -2, 2)) * rng.normal(size=4_000)))
    size = np.abs(np.diff(np.log(mid), prepend=np.log(mid[0])))
    past = pl.Series(size**2).rolling_mean(10).to_numpy()
    centred = np.append(past[5:], np.full(5, np.nan))
    columns = {"event_time": START_S + 60.0 * np.arange(4_000), "activity": past, "mid": mid}
    columns["label"] = (np.append(size[1:], 0.0) > np.quantile(size, 0.9)).astype(np.float64)
    assert future_features(read(columns, tmp_path), None).status == "can't tell"
    assert with_feature(columns, centred, tmp_path).status == "leak"


@pytest.mark.shared
def test_the_order_book_of_a_recording_is_not_accused(shared: Path) -> None:
    rows = read_foreign(shared / "data/ticks/apr-2026-04T0319-derived.parquet", Told())
    finding = future_features(rows, None)
    assert finding.status == "can't tell"
    assert "order_book_imbalance" in finding.words
