from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from volspike.monitoring.paired_blocks import block_means, loss_differences, scaled

VALUES = arrays(np.float64, st.integers(0, 80), elements=st.floats(-4.0, 4.0))


def test_a_blocks_first_minute_is_left_out_and_what_is_missing_counts_as_nothing() -> None:
    second = np.concatenate((np.arange(3_600, 5_400), np.arange(5_400, 5_520), [7_200]))
    values = np.where(second % 1_800 < 60, 1e6, 1.0)
    found = block_means(second, values, 1)
    assert found.block.tolist() == [2, 3]  # of block 4 there is only a row that does not count
    assert found.value == pytest.approx([1.0, 60 / 1_740])


def test_rows_a_minute_weigh_as_a_minute_of_seconds() -> None:
    second = np.arange(3_600, 7_200, 60)
    found = block_means(second, np.ones(60), 60)
    assert found.value == pytest.approx([1.0, 1.0])
    half = block_means(second[::2], np.ones(30), 60)
    assert half.value == pytest.approx([14 / 29, 14 / 29])


def test_no_rows_no_blocks() -> None:
    found = block_means(np.zeros(0, np.int64), np.zeros(0), 1)
    assert (len(found.block), len(found.value)) == (0, 0)
    assert len(scaled(found.value, 4.0)) == 0


def test_the_loss_of_a_row_is_clipped_at_four_nats() -> None:
    y = np.array([True, True, False])
    found = loss_differences(y, np.array([1e-12, 0.1, 0.5]), np.array([0.5, 0.2, 0.5]))
    assert found == pytest.approx([4.0, math.log(2.0), 0.0])


@given(VALUES)
def test_the_scale_of_a_block_is_known_before_it(values: np.ndarray) -> None:
    whole = scaled(values, 4.0)
    assert np.all(np.abs(whole) <= 1.0)
    assert np.all((whole == 0.0) | (np.sign(whole) == np.sign(values)))
    for end in range(0, len(values), 7):
        later = values.copy()
        later[end:] = 4.0
        assert scaled(later, 4.0)[:end].tolist() == whole[:end].tolist()


def test_only_a_record_is_clipped() -> None:
    values = np.array([0.1] * 9 + [0.2, -0.1, 0.3, 0.15])
    assert scaled(values, 4.0) == pytest.approx([0.025] * 9 + [0.05, -0.5, 1.0, 0.5])
    assert scaled(np.zeros(20), 4.0).tolist() == [0.0] * 20
