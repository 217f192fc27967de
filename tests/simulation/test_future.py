"""The simulated next minute: of states by hand, and of what the market then does."""

from __future__ import annotations

import numpy as np
import pytest

from volspike.simulation.future import States, future_volatility_bps
from volspike.simulation.hidden import LEVEL


def states(*log_vol, excitation=0.0):
    n = len(log_vol)
    return States(np.zeros(n, np.int64), np.zeros(n), np.array(log_vol), np.full(n, excitation))


def drawn(chosen, orders_per_second=1.7, paths=400, seed=5):
    return future_volatility_bps(chosen, orders_per_second, paths, np.random.default_rng(seed))


def test_each_state_has_its_draws_in_order_and_a_seed_decides_them():
    found = drawn(states(-1.0, 0.0))
    assert found.shape == (2, 400)
    assert (np.diff(found, axis=1) >= 0).all()
    assert np.array_equal(found, drawn(states(-1.0, 0.0)))
    assert not np.array_equal(found, drawn(states(-1.0, 0.0), seed=6))


def test_a_state_is_simulated_alike_alone_and_among_others():
    assert np.array_equal(drawn(states(-1.0, 0.0, 1.0))[1], drawn(states(0.0))[0])


def test_more_volatility_and_more_excitation_make_a_wilder_minute():
    calm, wild = (np.median(row) for row in drawn(states(LEVEL[0], LEVEL[0] + 2.0)))
    assert wild > 1.5 * calm
    quiet, excited = (drawn(states(LEVEL[0], excitation=e))[0].mean() for e in (0.0, 0.5))
    assert excited > 1.5 * quiet


def test_the_quotes_neither_add_to_the_variance_nor_take_from_it():
    # However often orders come: only the last stretch of a minute is missing, and that before it is there.
    often, seldom = (np.mean(drawn(states(LEVEL[0]), rate, 3_000) ** 2) for rate in (200.0, 1.0))
    assert seldom == pytest.approx(often, rel=0.15)
