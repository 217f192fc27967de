"""Percentiles with their intervals against plain recomputation."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.evaluation.bootstrap import Blocks, block_draws, few_blocks_factor
from volspike.evaluation.threshold.percentiles import QUANTILES, distribution, quantile_intervals
from volspike.labels.tau import PPM, quantile_rank


def plain_intervals(values: np.ndarray, ppm: list[int], blocks: Blocks) -> np.ndarray:
    drawn = []
    for weights in block_draws(blocks.count):
        rows = np.sort(np.repeat(values, weights[blocks.of].astype(int)))
        drawn.append([rows[quantile_rank(len(rows), each) - 1] for each in ppm])
    value = np.sort(values)[[quantile_rank(len(values), each) - 1 for each in ppm]]
    ends, factor = np.quantile(np.array(drawn), [0.025, 0.975], axis=0), few_blocks_factor(blocks.count)
    positive = np.where(value > 0.0, value, 1.0)
    return np.where(value > 0.0, positive * (ends / positive) ** factor, ends).T


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 200), st.integers(2, 12), st.integers(0, 10**6), st.booleans())
def test_an_interval_is_that_of_the_rows_repeated(rows: int, blocks: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    of = np.sort(np.concatenate((np.arange(blocks), rng.integers(0, blocks, rows))))
    values = rng.integers(0, 9, len(of)).astype(float) if ties else rng.lognormal(size=len(of))
    made, ppm = Blocks(of, blocks, 1_800), [1, 500_000, 900_000, 999_999]
    np.testing.assert_allclose(
        quantile_intervals(values, ppm, made), plain_intervals(values, ppm, made), rtol=1e-12
    )


def test_an_interval_of_more_rows_than_nodes_is_exact_too() -> None:
    rng = np.random.default_rng(3)
    of = np.sort(rng.integers(0, 11, 4_500))
    values, made = rng.lognormal(size=len(of)), Blocks(of, 11, 1_800)
    ppm = [500_000, 950_000, 995_000]
    np.testing.assert_allclose(
        quantile_intervals(values, ppm, made), plain_intervals(values, ppm, made), rtol=1e-12
    )


def test_a_percentile_is_the_least_value_that_its_share_does_not_exceed() -> None:
    values = np.random.default_rng(4).lognormal(size=30_000)
    second, run = np.arange(30_000), np.zeros(30_000, np.int32)
    found = distribution(values, second, run)
    assert found.block_s == 1_800
    for percentile in found.percentiles:
        below = np.count_nonzero(values <= percentile.value_bps)
        assert below == -(-len(values) * round(percentile.quantile * PPM) // PPM)
        assert percentile.low_bps < percentile.value_bps < percentile.high_bps
    assert found.at(0.95) is found.percentiles[QUANTILES.index(0.95)]
    assert found.at(0.42) is None


def test_wild_hours_make_the_interval_wider_than_seconds_alone_would() -> None:
    rng = np.random.default_rng(5)
    second = np.arange(24 * 3600)
    level = np.repeat(np.exp(rng.standard_normal(48)), 1_800)
    found = distribution(
        level * rng.lognormal(0.0, 0.1, len(second)), second, np.zeros(len(second), np.int32)
    )
    percentile = found.at(0.5)
    assert percentile.high_bps / percentile.low_bps > 1.3  # by rows: 1.02
    assert found.enough_data


def test_too_few_blocks_give_no_interval_and_no_row_no_percentile() -> None:
    few = distribution(np.arange(3_600.0), np.arange(3_600), np.zeros(3_600, np.int32))
    assert few.percentiles[0].low_bps is few.percentiles[0].high_bps is None
    assert (few.block_s, few.enough_data, few.windows) == (None, False, 60)
    none = distribution(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int32))
    assert (none.rows, none.percentiles, none.enough_data) == (0, (), False)
