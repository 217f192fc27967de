"""Rows of minute candles: nothing is found in them, and each leak that is planted is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from candle_tables import random_table
from volspike.evaluation.leaks.examine import examine_own
from volspike.exchange.candles import FIGURES, CandleTable
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split, chronological_split
from volspike.labels.tau import TauSpec

MINUTES = 4_000
TAU = TauSpec("adaptive", 0.9)


@pytest.fixture(scope="module")
def table() -> CandleTable:
    return random_table(11, MINUTES)


@pytest.fixture(scope="module")
def dataset(table: CandleTable) -> Dataset:
    return candle_dataset(table, TAU)


@pytest.fixture(scope="module")
def split(dataset: Dataset) -> Split:
    return chronological_split(dataset)


def failed(table: CandleTable, dataset: Dataset, split: Split) -> set[str]:
    found = examine_own(table, dataset, split)
    return {name for name, finding in found.items() if finding.status == "leak"}


@pytest.mark.parametrize("seed", [12, 13])
@pytest.mark.parametrize("mode", ["adaptive", "fixed"])
def test_invariant_09_no_leak_is_found_in_honest_candles(seed: int, mode: str) -> None:
    table = random_table(seed, MINUTES, source="recorder" if seed % 2 else "coinbase")
    dataset = candle_dataset(table, TauSpec(mode, 0.9))
    found = examine_own(table, dataset, chronological_split(dataset))
    assert {name: f.words for name, f in found.items() if f.status == "leak"} == {}
    judged = {"causality", "past_of_label", "persistence", "duplicates", "breaks", "shuffle", "clock"}
    assert {name for name in judged if found[name].status == "clean"} == judged


def test_a_feature_of_the_next_minute_is_found(table: CandleTable, dataset: Dataset, split: Split) -> None:
    features = dataset.features.copy()
    features[:-1, 0] = features[1:, 0]
    assert "causality" in failed(table, replace(dataset, features=features), split)


@pytest.mark.parametrize("name", ["har_bps", "z", "tau_bps"])
def test_state_of_later_minutes_is_found(
    name: str, table: CandleTable, dataset: Dataset, split: Split
) -> None:
    values = getattr(dataset, name).copy()
    values[:-1] = values[1:]
    assert "causality" in failed(table, replace(dataset, **{name: values}), split)


def test_a_smoothed_label_is_found(table: CandleTable, dataset: Dataset, split: Split) -> None:
    sigma = 0.8 * dataset.sigma_future_bps + 0.2 * dataset.rv_bps
    assert "past_of_label" in failed(table, replace(dataset, sigma_future_bps=sigma), split)


def test_a_label_of_the_present_is_found(table: CandleTable, dataset: Dataset, split: Split) -> None:
    spike = np.where(dataset.spike >= 0, dataset.rv_bps >= dataset.tau_bps, -1).astype(np.int8)
    found = failed(table, replace(dataset, spike=spike, sigma_future_bps=dataset.rv_bps), split)
    assert {"present_feature", "persistence"} <= found


def test_a_few_hours_are_too_short_to_tell_a_clock_from_the_time_of_day() -> None:
    table = random_table(3, 300)
    rows = candle_dataset(table, TAU)
    found = examine_own(table, rows, chronological_split(rows))
    assert (found["clock"].status, failed(table, rows, chronological_split(rows))) == ("can't tell", set())


def test_repeated_minutes_are_found(table: CandleTable, dataset: Dataset, split: Split) -> None:
    again = np.arange(len(table))
    again[10::50] -= 1
    columns = {name: getattr(table, name)[again] for name in FIGURES}
    repeated = replace(table, **columns)
    rows = candle_dataset(repeated, TAU)
    assert failed(repeated, rows, chronological_split(rows)) == {"duplicates"}


def test_a_label_over_a_missing_minute_is_found(table: CandleTable, dataset: Dataset, split: Split) -> None:
    spike = np.where(dataset.spike < 0, 0, dataset.spike).astype(np.int8)
    assert "breaks" in failed(table, replace(dataset, spike=spike), split)


def test_shuffled_parts_are_found(table: CandleTable, dataset: Dataset, split: Split) -> None:
    order = np.random.default_rng(1).permutation(len(dataset)).astype(np.int64)
    parts = [np.sort(part) for part in np.split(order, [2_400, 2_800, 3_200])]
    assert "shuffle" in failed(table, dataset, replace(split, fit=parts[0], tune=parts[1], test=parts[3]))


@pytest.mark.parametrize("name", ["day_sin", "range_rv_60m"])
def test_a_column_that_only_rises_is_a_clock(
    name: str, table: CandleTable, dataset: Dataset, split: Split
) -> None:
    features = dataset.features.copy()
    features[:, dataset.columns.index(name)] = np.arange(len(dataset)) + 1.0
    assert "clock" in failed(table, replace(dataset, features=features), split)
