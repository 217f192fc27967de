from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from volspike.monitoring.correlation_time import correlation_rows


@pytest.mark.parametrize("a", [0.0, 0.9, 0.99])
def test_of_a_first_order_process_it_is_that_of_theory(a: float) -> None:
    noise = np.random.default_rng(1).normal(size=300_000)
    values = lfilter([1.0], [1.0, -a], noise)
    assert correlation_rows(values) == pytest.approx((1 + a) / (1 - a), rel=0.15)


def test_it_has_no_unit_and_no_origin() -> None:
    values = lfilter([1.0], [1.0, -0.8], np.random.default_rng(2).normal(size=5_000))
    assert correlation_rows(5.0 + 100.0 * values) == pytest.approx(correlation_rows(values))


def test_what_never_forgets_has_a_time_that_is_no_less_than_a_fifth_of_it() -> None:
    time = correlation_rows(np.arange(1_000.0))
    assert time is not None
    assert time >= 100.0


def test_what_does_not_vary_has_none() -> None:
    assert correlation_rows(np.ones(100)) is None
    assert correlation_rows(np.ones(1)) is None
    assert correlation_rows(np.zeros(0)) is None
    assert correlation_rows(np.array([1.0, -1.0] * 50)) == 1.0
