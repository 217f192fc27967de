from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_rows import NS, dataset

from volspike.evaluation.episodes import onset_mask
from volspike.evaluation.gains import GAINS, compare
from volspike.evaluation.scores import graded_seconds, score
from volspike.models.calibration import ScoredRows


def hours(step_s: int = 1, seed: int = 1) -> tuple:
    """Return twelve hours with a spike of two minutes now and then, and a good and a poor side."""
    rng = np.random.default_rng(seed)
    n = 43_200 // step_s
    calm, wild = 600 // step_s, 120 // step_s
    spike = np.zeros(n, int)
    for start in range(calm, n - wild, 900 // step_s):
        spike[start : start + wild] = 1
    spike[rng.integers(0, n, n // 50)] = -1
    part = dataset(spike.tolist())
    part = replace(part, step_s=step_s, event_ns=np.arange(1, n + 1, dtype=np.int64) * step_s * NS)
    true = np.where(spike == 1, 1.0, 0.0)

    def side(noise: float) -> ScoredRows:
        p = 1.0 / (1.0 + np.exp(2.0 - 4.0 * true - noise * rng.normal(size=n)))
        sigma = np.where(true > 0, 8.0, 2.0) * np.exp(0.3 * noise * rng.normal(size=n))
        return ScoredRows(p, sigma, sigma / 2, sigma * 2, np.zeros(len(p)))

    return part, side(0.5), side(2.0)


@pytest.mark.parametrize("step_s", [1, 60])
def test_each_gain_is_the_difference_of_the_scores_and_the_better_side_is_certain(step_s: int) -> None:
    part, good, poor = hours(step_s)
    gains = compare(part, good, poor)
    assert tuple(gains) == GAINS
    ours, theirs = (score(part, side.p_spike, side.sigma_bps) for side in (good, poor))
    for name, gain in gains.items():
        sign = 1.0 if name.endswith("pr_auc") else -1.0
        assert gain is not None
        assert gain.value == pytest.approx(sign * (getattr(ours, name) - getattr(theirs, name)), abs=1e-12)
        assert gain.low <= gain.value <= gain.high
        assert gain.low > 0.0
        assert (gain.blocks, gain.block_s) == (25, 1_800)  # the last row begins another half hour
    worse = compare(part, poor, good)
    assert all(gain is not None and gain.high < 0.0 for gain in worse.values())


def test_a_side_against_itself_gains_nothing() -> None:
    part, good, _ = hours()
    gains = compare(part, good, good)
    assert all(g is not None and (g.value, g.low, g.high) == (0.0, 0.0, 0.0) for g in gains.values())


def test_what_cannot_be_compared_is_none() -> None:
    part, good, poor = hours()
    calm = replace(part, spike=np.where(part.spike == 1, 0, part.spike).astype(np.int8))
    gains = compare(calm, good, poor)
    assert gains["log_loss"] is not None
    assert gains["qlike"] is not None
    assert (gains["pr_auc"], gains["onset_pr_auc"]) == (None, None)
    no_onset = replace(part, run=np.arange(len(part), dtype=np.int32))
    assert not onset_mask(graded_seconds(no_onset)).any()
    gains = compare(no_onset, good, poor)
    assert gains["pr_auc"] is not None
    assert gains["onset_pr_auc"] is None
    short = np.arange(3_600)
    thin = compare(part.rows(short), *(ScoredRows(*(c[short] for c in side)) for side in (good, poor)))
    assert thin == dict.fromkeys(GAINS)
