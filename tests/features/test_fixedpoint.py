from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.features.admission import is_jump
from volspike.features.fixedpoint import (
    LN2_FIXED,
    PRICE_LIMIT,
    imbalance_fixed,
    log_return_fixed,
    log_returns_fixed,
    relative_spread_fixed,
    rv_bps,
    wide_to_float,
)

mid_sums = st.one_of(st.integers(2, 2 * PRICE_LIMIT - 1), st.integers(2, 10**6), st.integers(10**12, 10**13))
ratios = st.one_of(st.floats(0.5, 2.0), st.floats(0.97, 1.03), st.floats(0.999999, 1.000001))


def exact_log_return(before: int, after: int) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return (Decimal(after) / Decimal(before)).ln() * 2**60


def near(before: int, ratio: float) -> int:
    return min(max(2, int(before * ratio)), 2 * PRICE_LIMIT - 1)


@settings(max_examples=100, deadline=None)
@given(before=mid_sums, ratio=ratios)
def test_a_log_return_is_the_logarithm(before: int, ratio: float) -> None:
    after = near(before, ratio)
    if not is_jump(before, after):
        exact = exact_log_return(before, after)
        assert abs(log_return_fixed(before, after) - exact) <= 1 + abs(exact) * Decimal(2) ** -51


@pytest.mark.parametrize(("before", "after"), [(63, 65), (640_001, 659_999), (127, 129), (1, 2), (3, 2)])
def test_both_series_hold_at_their_borders(before: int, after: int) -> None:
    exact = exact_log_return(before, after)
    assert abs(log_return_fixed(before, after) - exact) <= 1 + abs(exact) * Decimal(2) ** -51


@given(before=mid_sums, after=mid_sums)
def test_a_return_back_is_the_negative_return(before: int, after: int) -> None:
    assert log_return_fixed(before, after) == -log_return_fixed(after, before)
    assert log_return_fixed(before, before) == 0


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(mid_sums, st.one_of(ratios, st.floats(0.1, 10.0))), min_size=1, max_size=40))
def test_arrays_give_the_same_bits(pairs: list[tuple[int, float]]) -> None:
    before = [mid for mid, _ in pairs]
    after = [near(mid, ratio) for mid, ratio in pairs]
    expected = [log_return_fixed(a, b) for a, b in zip(before, after, strict=True)]
    assert log_returns_fixed(np.array(before), np.array(after)).tolist() == expected


def test_a_move_beyond_a_factor_of_4_counts_as_one_of_4() -> None:
    assert log_return_fixed(1000, 4001) == 2 * LN2_FIXED
    assert log_return_fixed(10**12, 1000) == -2 * LN2_FIXED
    assert abs(log_return_fixed(1000, 3000) - exact_log_return(1000, 3000)) < 2**9
    assert 61 * (2 * LN2_FIXED) ** 2 < 2**127


@given(value=st.one_of(st.integers(-(2**190), 2**190), st.integers(-(2**70), 2**70)))
def test_wide_integers_become_the_nearest_floats_but_for_one_rounding_a_word(value: int) -> None:
    found = wide_to_float(value)
    assert abs(Fraction(found) - value) <= abs(Fraction(value)) * Fraction(2, 2**52)
    assert wide_to_float(-value) == -found


def test_wide_integers_are_rounded_word_by_word() -> None:
    value = (2**53 + 1) * 2**64 + 2**63
    high, low = divmod(value, 2**64)
    assert wide_to_float(value) == float(high) * 2.0**64 + float(low)
    assert wide_to_float(2**53 + 1) == float(2**53)


def test_realised_volatility_is_in_basis_points() -> None:
    assert rv_bps(0) == 0.0
    assert rv_bps(sum([(2**60 // 10_000) ** 2] * 4)) == pytest.approx(2.0)


@given(bid=st.integers(1, PRICE_LIMIT - 1), spread=st.integers(0, PRICE_LIMIT))
def test_the_relative_spread_lies_between_0_and_2(bid: int, spread: int) -> None:
    ask = min(bid + spread, PRICE_LIMIT - 1)
    found = relative_spread_fixed(bid, ask)
    assert 0 <= found <= 2 * 2**60
    exact = Fraction(2 * (ask - bid), bid + ask) * 2**60
    assert abs(found - exact) <= 1 + exact * Fraction(1, 2**51)


@given(bid_size=st.integers(-1, 2**62), ask_size=st.integers(-1, 2**62))
def test_the_imbalance_lies_between_minus_1_and_1(bid_size: int, ask_size: int) -> None:
    found = imbalance_fixed(bid_size, ask_size)
    if -1 in (bid_size, ask_size) or bid_size + ask_size == 0:
        assert found is None
    else:
        assert found is not None
        exact = Fraction(bid_size - ask_size, bid_size + ask_size) * 2**40
        assert abs(found - exact) <= 1
        assert imbalance_fixed(ask_size, bid_size) == -found
