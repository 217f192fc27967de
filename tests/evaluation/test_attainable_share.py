"""The share of the attainable, with its interval: all of it, none of it, and the quotient that it is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from volspike.evaluation.bootstrap import average_precision_share, make_blocks, mean_share

HALF_HOUR = 1_800


def test_the_best_has_all_of_the_attainable_and_the_base_none() -> None:
    rng = np.random.default_rng(8)
    blocks = make_blocks(np.arange(0, 30 * HALF_HOUR, 60))
    assert blocks is not None
    p = rng.beta(0.4, 2.0, len(blocks.of))
    y = rng.random(len(p)) < p
    loss, base = rng.random((2, len(p)))
    for share in (average_precision_share(y, p, p, blocks), mean_share(loss, loss, base, blocks)):
        assert (share.value, share.low, share.high) == (1.0, 1.0, 1.0)
    nothing = (average_precision_share(y, np.zeros(len(p)), p, blocks), mean_share(base, loss, base, blocks))
    for share in nothing:
        assert np.allclose((share.value, share.low, share.high), 0.0, atol=1e-12)


def test_a_share_is_the_quotient_of_two_gains() -> None:
    rng = np.random.default_rng(9)
    blocks = make_blocks(np.arange(0, 30 * HALF_HOUR, 60))
    assert blocks is not None
    p = rng.beta(0.4, 2.0, len(blocks.of))
    y = rng.random(len(p)) < p
    dim = p + rng.normal(scale=0.3, size=len(p))
    ours, best, base = average_precision_score(y, dim), average_precision_score(y, p), float(y.mean())
    share = average_precision_share(y, dim, p, blocks)
    assert share.value == pytest.approx((ours - base) / (best - base))
    assert share.low < share.value < share.high < 1.0
