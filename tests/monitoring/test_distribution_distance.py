from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volspike.monitoring.distribution_distance import distances


def blocks(n: int, m: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(seed).normal(size=n * m), np.repeat(np.arange(m), n)


def test_two_blocks_of_few_values_by_hand() -> None:
    found = distances(np.array([1.0, 1.0, 2.0, 1.0, 2.0, 2.0]), np.array([0, 0, 0, 1, 1, 1]), 2)
    assert found == pytest.approx(
        [(1 / 3) / 0.25] * 2
    )  # 2/3 of one and 1/3 of the other lie up to 1, half of all


@pytest.mark.parametrize("change", [lambda x: x + 1.0, lambda x: 2.0 * x, lambda x: 0.5 * x, np.abs])
def test_the_block_that_differs_lies_farthest_from_the_rest(change) -> None:
    values, of = blocks(500, 12)
    values[of == 7] = change(values[of == 7])
    found = distances(values, of, 12)
    assert np.argmax(found) == 7
    assert found[7] > 3 * np.median(found)


@given(st.integers(0, 10_000))
def test_neither_unit_nor_order_nor_one_wild_value_matters(seed: int) -> None:
    values, of = blocks(40, 5, seed)
    found = distances(values, of, 5)
    order = np.random.default_rng(seed).permutation(len(values))
    wild = values.copy()
    wild[np.argmax(wild)] = 1e9
    assert distances(values[order], of[order], 5) == pytest.approx(found)
    assert distances(np.exp(values), of, 5) == pytest.approx(found, rel=0.2)
    assert distances(wild, of, 5) == pytest.approx(found)


def test_a_block_without_values_has_no_distance_and_equal_values_have_none() -> None:
    found = distances(np.arange(20.0), np.repeat([0, 2], 10), 3)
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.all(np.isnan(distances(np.ones(30), np.repeat([0, 1, 2], 10), 3)))
