"""How often do the 95 % intervals of gains hold the true gain? On markets whose true gain is known.

    python -m benchmarks.interval_coverage [--markets 400]

A market is an AR(1) process of minutes that forgets in an hour, or in three; a spike is likelier
the higher it is. Two predictors see it through noise, one through more. The true gain is that of 3,000,000
minutes; each interval comes of the few days or hours of one market.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from volspike.evaluation.bootstrap import Gain, average_precision_gain, make_blocks, mean_gain
from volspike.evaluation.ranking import average_precision
from volspike.evaluation.scores import log_losses

F8 = npt.NDArray[np.float64]
Market = tuple[npt.NDArray[np.bool_], F8, F8]

SPANS_H = (6, 15, 48, 72, 168, 288)
FORGETS_MIN = (60.0, 180.0)
TRUE_MINUTES = 3_000_000
LEVEL_LOG_ODDS, SLOPE = -3.2, 1.5
NOISE, MORE_NOISE = 0.78, 1.0


def draw_market(rng: np.random.Generator, minutes: int, forgets_min: float) -> Market:
    """Return labels bool[minutes] and the scores of the better and of the worse predictor."""
    weight = np.exp(-1.0 / forgets_min)
    innovation = rng.normal(size=minutes) * np.sqrt(1.0 - weight**2)
    innovation[0] /= np.sqrt(1.0 - weight**2)
    state = lfilter([1.0], [1.0, -weight], innovation)
    y = rng.random(minutes) < _chance(LEVEL_LOG_ODDS + SLOPE * state)
    return y, state + NOISE * rng.normal(size=minutes), state + MORE_NOISE * rng.normal(size=minutes)


def true_gains(forgets_min: float) -> tuple[float, float]:
    """Return the true gain in log-loss and in average precision."""
    y, good, poor = draw_market(np.random.default_rng(99), TRUE_MINUTES, forgets_min)
    losses = (log_losses(y, _chance(score - 3.0)) for score in (poor, good))
    worse, better = (float(np.mean(loss)) for loss in losses)
    ours, theirs = average_precision(y, good), average_precision(y, poor)
    assert ours is not None, "three million minutes hold spikes"
    assert theirs is not None
    return worse - better, ours - theirs


def estimated_gains(seed: int, hours: int, forgets_min: float) -> tuple[Gain, Gain] | None:
    """Return the estimates of both gains on one market; None where it has no spike."""
    y, good, poor = draw_market(np.random.default_rng(seed), hours * 60, forgets_min)
    blocks = make_blocks(np.arange(hours * 60) * 60)
    if blocks is None or not y.any():
        return None
    ours, theirs = (log_losses(y, _chance(score - 3.0)) for score in (good, poor))
    return mean_gain(ours, theirs, blocks), average_precision_gain(y, good, poor, blocks)


def coverage(hours: int, forgets_min: float, markets: int, true: tuple[float, float]) -> tuple[str, F8]:
    """Return what the blocks were, and the share of intervals that hold the true gains, float64[2]."""
    found = [each for seed in range(markets) if (each := estimated_gains(seed, hours, forgets_min))]
    inside = [
        [gain.low <= value <= gain.high for gain, value in zip(gains, true, strict=True)] for gains in found
    ]
    first = found[0][0]
    return f"{first.blocks} of {first.block_s / 3600:g} h", np.mean(inside, axis=0)


def _chance(log_odds: F8) -> F8:
    chance: F8 = 1.0 / (1.0 + np.exp(-log_odds))
    return chance


def main() -> None:
    """Print one line a span and memory."""
    parser = argparse.ArgumentParser(description="How often do intervals of gains hold the true gain?")
    parser.add_argument("--markets", type=int, default=400)
    markets = parser.parse_args().markets
    print("| forgets in | span | blocks | log-loss | PR-AUC |\n|---|---|---|---|---|")
    for forgets_min in FORGETS_MIN:
        true = true_gains(forgets_min)
        for hours in SPANS_H:
            blocks, inside = coverage(hours, forgets_min, markets, true)
            print(
                f"| {forgets_min / 60:g} h | {hours} h | {blocks} | {inside[0]:.2f} | {inside[1]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
