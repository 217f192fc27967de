from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ConfigError
from volspike.features.fixedpoint import rv_bps
from volspike.labels.history import bins_of_words
from volspike.labels.tau import (
    BINS,
    TauSpec,
    TrailingHistogram,
    bin_of_bps,
    bin_of_sum,
    bin_upper_bps,
    quantile_rank,
    tau_at,
)

sums = st.one_of(
    st.integers(0, 1024),
    st.integers(0, 2**128 - 1),
    st.builds(lambda n, d: max(0, 2**n + d), st.integers(0, 127), st.integers(-1, 1)),
)


@given(sums)
@settings(max_examples=200)
def test_upper_edge_holds_the_sum_within_its_bin(total: int) -> None:
    index = bin_of_sum(total)
    assert 0 <= index < BINS
    assert rv_bps(total) <= bin_upper_bps(index) <= max(rv_bps(total) * 1.004, rv_bps(total + 1))


@given(sums, sums)
@settings(max_examples=100)
def test_bins_keep_the_order(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert bin_of_sum(low) <= bin_of_sum(high)


def test_bins_of_powers_of_two_are_an_octave_apart() -> None:
    assert [bin_of_sum(n) for n in (0, 1, 255, 256, 257, 258)] == [0, 1, 255, 256, 256, 257]
    assert bin_of_sum(2**100) - bin_of_sum(2**99) == 128
    assert bin_of_sum(2**128 - 1) == BINS - 1


@given(st.lists(sums, min_size=1, max_size=20))
@settings(max_examples=100)
def test_array_bins_equal_scalar_bins(totals: list[int]) -> None:
    words = np.array([[t & (2**64 - 1), t >> 64, 0] for t in totals], np.uint64)
    assert bins_of_words(words).tolist() == [bin_of_sum(t) for t in totals]


@given(st.floats(1e-6, 1e5))
@settings(max_examples=100)
def test_bin_of_a_volatility_is_that_of_its_square(bps: float) -> None:
    relative = bps * 1e-4
    exact = Fraction(relative * relative) * 2**120
    assert bin_of_bps(bps) == bin_of_sum(int(exact))


def test_bin_of_extreme_volatilities() -> None:
    assert bin_of_bps(0.0) == 0
    assert bin_of_bps(1e30) == BINS - 1


bins = st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 4_000)), min_size=1, max_size=80)


@given(bins, st.sampled_from((1, 500_000, 950_000, 999_999)))
@settings(max_examples=60, deadline=None)
def test_histogram_equals_a_sorted_day(entries: list[tuple[int, int]], ppm: int) -> None:
    histogram = TrailingHistogram()
    second, inside = 0, []
    for gap, index in entries:
        second += gap
        histogram.add(second, index)
        histogram.evict(second)
        inside = [(s, b) for s, b in [*inside, (second, index)] if s > second - 86_400]
        ranked = sorted(b for _, b in inside)
        assert histogram.count == len(ranked)
        assert histogram.quantile_bin(ppm) == ranked[math.ceil(Fraction(ppm, 10**6) * len(ranked)) - 1]


def z_of(histogram: TrailingHistogram, volatility_bps: float) -> float:
    mean, deviation = histogram.z_scale()
    return (bin_of_bps(volatility_bps) - mean) / deviation


def test_a_histogram_filled_at_once_equals_one_that_was_evicted_all_along() -> None:
    histogram, restored = TrailingHistogram(), TrailingHistogram()
    seconds = [*range(100, 200), *range(500, 620), *range(86_700, 86_800)]
    for second in seconds:
        histogram.add(second, second % 37 + 9_000)
        histogram.evict(second)
        histogram.quantile_bin(950_000)
    for second in seconds:
        restored.add(second, second % 37 + 9_000)
    for now in (86_800, 87_000):
        histogram.evict(now)
        restored.evict(now)
        assert (restored.count, z_of(restored, 3.0), restored.quantile_bin(950_000)) == (
            histogram.count,
            pytest.approx(z_of(histogram, 3.0), nan_ok=True, abs=0, rel=0),
            histogram.quantile_bin(950_000),
        )


def test_z_is_that_of_log_volatility_nearly() -> None:
    rng = np.random.default_rng(3)
    volatility = np.exp(rng.normal(1.0, 0.8, 5_000))
    histogram = TrailingHistogram()
    for second, bps in enumerate(volatility.tolist()):
        histogram.add(second, bin_of_bps(bps))
    logs = np.log(volatility)
    for bps in (0.5, 2.0, 30.0):
        assert z_of(histogram, bps) == pytest.approx(
            (math.log(bps) - logs.mean()) / logs.std(ddof=1), abs=0.05
        )


def test_z_is_undefined_on_little_or_constant_history() -> None:
    histogram = TrailingHistogram()
    for second in range(59):
        histogram.add(second, 9_000 + second)
    assert math.isnan(z_of(histogram, 3.0))
    histogram.add(59, 9_000)
    assert math.isfinite(z_of(histogram, 3.0))
    constant = TrailingHistogram()
    for second in range(100):
        constant.add(second, 9_000)
    assert math.isnan(z_of(constant, 3.0))


def test_rank_is_exact() -> None:
    assert [quantile_rank(n, 950_000) for n in (1, 19, 20, 21, 100)] == [1, 19, 19, 20, 95]


def test_tau_is_fixed_below_half_an_hour_and_never_below_its_floor() -> None:
    spec = TauSpec(floor_bps=4.0)
    high, low = bin_of_bps(9.0), bin_of_bps(1.0)
    assert tau_at(spec, 1_799, high, 6.5) == (6.5, False)
    assert tau_at(spec, 1_800, high, 6.5) == (pytest.approx(9.0, rel=0.004), True)
    assert tau_at(spec, 1_800, low, 6.5) == (4.0, True)
    assert tau_at(TauSpec(mode="fixed"), 90_000, high, 6.5) == (6.5, False)


@pytest.mark.parametrize(
    "bad", [{"mode": "rolling"}, {"quantile": 1.0}, {"quantile": 0.0}, {"floor_bps": 0.0}]
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        TauSpec(**bad)  # type: ignore[arg-type]
