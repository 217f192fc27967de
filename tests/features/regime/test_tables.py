from __future__ import annotations

import math

import numpy as np
import pytest

from volspike.features.regime.columns import HALF_LIVES_S
from volspike.features.regime.tables import (
    DAY_SINES,
    DECAY,
    DECAY_FROM,
    TOTAL_WEIGHTS,
    decay_weights,
    total_weight,
)


@pytest.mark.parametrize("half_life_s", HALF_LIVES_S)
def test_weights_halve_in_a_half_life(half_life_s: int) -> None:
    weights = np.array(decay_weights(half_life_s))
    assert np.array_equal(weights[half_life_s:], weights[:-half_life_s] / 2.0)
    assert weights == pytest.approx(2.0 ** (-np.arange(10 * half_life_s) / half_life_s), rel=1e-12)


def test_the_table_holds_the_weights_of_all_half_lives() -> None:
    parts = np.split(DECAY, DECAY_FROM[1:])
    assert [part.tolist() for part in parts] == [decay_weights(each) for each in HALF_LIVES_S]
    assert list(TOTAL_WEIGHTS) == [total_weight(each) for each in HALF_LIVES_S]
    assert total_weight(10) == pytest.approx(sum(decay_weights(10)), rel=1e-14)


def test_sines_are_those_of_the_library() -> None:
    # Beyond a quarter the library's argument is rounded, so the rest is held to the first by symmetry.
    expected = [math.sin(2.0 * math.pi * minute / 1_440.0) for minute in range(361)]
    assert DAY_SINES[:361].tolist() == pytest.approx(expected, rel=4e-16)
    assert np.array_equal(DAY_SINES[360:721], DAY_SINES[360::-1])
    assert np.array_equal(DAY_SINES[720:], 0.0 - DAY_SINES[:720])
    assert DAY_SINES[360] == 1.0
