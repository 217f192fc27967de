"""The statistics of a market: against arrays worked by hand, and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks import stylised

RNG = np.random.default_rng(20_260_101)


def test_blocks_begin_after_each_hole_and_what_is_left_over_is_left_out():
    key = np.array([5, 6, 7, 8, 9, 20, 21, 30, 31, 32, 33])
    assert stylised.block_index(key, 2).tolist() == [[0, 1], [2, 3], [5, 6], [7, 8], [9, 10]]
    assert stylised.block_index(key, 4).tolist() == [[0, 1, 2, 3], [7, 8, 9, 10]]
    assert stylised.block_index(key[:0], 2).shape == (0, 2)


@given(st.lists(st.integers(1, 3), max_size=60), st.integers(1, 7))
def test_every_block_is_whole_and_no_row_is_in_two(steps, width):
    key = np.cumsum(np.array(steps, np.int64))
    index = stylised.block_index(key, width)
    assert (np.diff(key[index], axis=1) == 1).all()
    assert len(np.unique(index)) == index.size


def test_kurtosis_is_that_of_scipy_and_undefined_where_nothing_moves():
    values = RNG.standard_t(5, 500)
    assert stylised.excess_kurtosis(values) == pytest.approx(stats.kurtosis(values))
    # 0 0 0 4 has mean 1, squares 1 1 1 9, variance 3, fourth moment 21.
    assert stylised.excess_kurtosis(np.array([0.0, 0.0, 0.0, 4.0])) == pytest.approx(21 / 9 - 3)
    assert math.isnan(stylised.excess_kurtosis(np.ones(9)))
    assert math.isnan(stylised.excess_kurtosis(np.empty(0)))


def test_autocorrelation_is_that_of_scipy_on_the_pairs_of_one_stretch():
    values = RNG.standard_normal(40)
    key = np.concatenate([np.arange(20), np.arange(20) + 1_000])
    first = np.concatenate([values[:17], values[20:37]])
    second = np.concatenate([values[3:20], values[23:]])
    value, pairs = stylised.autocorrelation(values, key, 3)
    assert (value, pairs) == (pytest.approx(stats.pearsonr(first, second).statistic), 34)
    value, pairs = stylised.autocorrelation(values, key, 20)
    assert (math.isnan(value), pairs) == (True, 0)


def test_a_row_that_is_missing_is_in_no_pair():
    value, pairs = stylised.autocorrelation(np.array([1.0, 4.0, 9.0, 2.0]), np.array([0, 1, 3, 4]), 1)
    assert (value, pairs) == (pytest.approx(-1.0), 2)  # (1, 4) and (9, 2)


def test_realised_volatility_and_jump_share_by_hand():
    block = np.array([[3.0, -4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert stylised.realised_bps(block).tolist() == [5.0, 2.0]
    bipower = math.pi / 2 * 4 / 3 * (12 + 3)
    assert stylised.jump_frac(block) == max(0.0, 1 - bipower / 29)
    lonely = np.array([[0.0, 8.0, 0.0, 1.0, 1.0, 0.0]])
    assert stylised.jump_frac(lonely) == pytest.approx(1 - math.pi / 2 * 6 / 5 / 66)
    assert math.isnan(stylised.jump_frac(np.zeros((3, 60))))


def test_a_brownian_motion_has_no_jumps_and_one_with_a_jump_a_minute_has_its_share():
    block = RNG.standard_normal((4_000, 60))
    assert stylised.jump_frac(block) < 0.01
    jumps = np.zeros_like(block)
    jumps[:, 30] = 12.0
    # The jump's neighbours, of mean size sqrt(2 / pi), see something of it.
    bipower = math.pi / 2 * 60 / 59 * (57 * 2 / math.pi + 2 * 12 * math.sqrt(2 / math.pi))
    assert stylised.jump_frac(block + jumps) == pytest.approx(1 - bipower / (144 + 60), abs=0.02)


def test_the_signature_of_bounce_and_of_drift():
    bounce, drift = np.tile([1.0, -1.0], (5, 30)), np.ones((5, 60))
    bounce[:, 0] = 2.0
    assert stylised.coarser(drift, 10).tolist() == [[10.0] * 6] * 5
    assert stylised.signature_ratio(drift, 10) == pytest.approx(math.sqrt(60 / 600))
    assert stylised.signature_ratio(bounce, 10) == pytest.approx(math.sqrt(63 / 1))
    assert math.isnan(stylised.signature_ratio(np.zeros((2, 60)), 10))


def test_a_poisson_process_has_gaps_of_variation_one():
    assert stylised.coefficient_of_variation(RNG.exponential(3.0, 50_000)) == pytest.approx(1.0, abs=0.02)
    assert stylised.coefficient_of_variation(np.array([1.0, 3.0])) == 0.5
    assert math.isnan(stylised.coefficient_of_variation(np.empty(0)))


def test_a_quantile_needs_as_many_values_as_it_has_beyond_it():
    values = np.arange(20.0)
    assert stylised.quantile(values, 0.95) == pytest.approx(18.05)
    assert math.isnan(stylised.quantile(values[:19], 0.95))
    assert math.isnan(stylised.quantile(values, 0.99))
    assert math.isnan(stylised.mean(values[:0]))
