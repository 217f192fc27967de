"""The paired block bootstrap against plain recomputation, and its coverage on data of known difference."""

import numpy as np
import pytest
from scipy.signal import lfilter

from volspike.evaluation.bootstrap import (
    DRAWS,
    Gain,
    _WeightedPrecision,
    average_precision_gain,
    block_draws,
    interval,
    make_blocks,
    mean_gain,
)
from volspike.evaluation.ranking import average_precision

HALF_HOUR, FOUR_HOURS, DAY = 1_800, 14_400, 86_400


@pytest.mark.parametrize(
    ("hours", "width"), [(4.5, None), (5, HALF_HOUR), (40, FOUR_HOURS), (216, FOUR_HOURS), (240, DAY)]
)
def test_the_widest_blocks_that_leave_ten_are_taken(hours: float, width: int | None) -> None:
    blocks = make_blocks(np.arange(0, int(hours * 3600), 10) + 20_000 * DAY)
    assert (None if blocks is None else blocks.width_s) == width


def test_short_sessions_are_drawn_whole() -> None:
    # Ten minutes around a half-hour mark, once a day: one block each, though the clock cuts through them.
    starts = np.arange(12) * 3 * DAY + 20_000 * DAY + HALF_HOUR - 300
    second = (starts[:, None] + np.arange(600)).ravel()
    blocks = make_blocks(second)
    assert blocks is not None
    assert (blocks.count, blocks.width_s) == (12, DAY)
    assert blocks.sums(np.ones(len(second))).tolist() == [600.0] * 12


def test_weighted_precision_equals_that_of_the_rows_repeated() -> None:
    rng = np.random.default_rng(3)
    second = np.arange(0, 6 * 3600, 30)
    blocks = make_blocks(second)
    assert blocks is not None
    y = rng.random(len(second)) < 0.2
    score = rng.integers(0, 40, len(second)) / 40  # ties
    weights = block_draws(blocks.count)[:25]
    ours = _WeightedPrecision(y, score, blocks)(weights)
    for draw, value in zip(weights, ours, strict=True):
        rows = np.repeat(np.arange(len(y)), draw[blocks.of].astype(int))
        assert value == pytest.approx(average_precision(y[rows], score[rows]), abs=1e-12)


def test_each_draw_takes_as_many_blocks_as_there_are() -> None:
    assert block_draws(17).shape == (DRAWS, 17)
    assert np.all(block_draws(17).sum(axis=1) == 17)


def test_a_model_against_itself_gains_nothing() -> None:
    rng = np.random.default_rng(4)
    blocks = make_blocks(np.arange(0, 20 * HALF_HOUR, 60))
    assert blocks is not None
    loss = rng.random(len(blocks.of))
    gain = mean_gain(loss, loss, blocks)
    assert (gain.value, gain.low, gain.high) == (0.0, 0.0, 0.0)


def test_the_interval_holds_the_true_gain_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    blocks = make_blocks(np.arange(0, 60 * HALF_HOUR, 60))
    assert blocks is not None
    inside = 0
    for _ in range(200):
        # What a row gains is the same over its whole block, as in calm and wild hours.
        gained = 0.3 + rng.normal(size=blocks.count)[blocks.of]
        gain = mean_gain(np.zeros(len(gained)), gained, blocks)
        inside += gain.low <= 0.3 <= gain.high
    # By rows instead of blocks it would be about one in four.
    assert 175 <= inside <= 200


def known_gain(hours: int, forgets_min: float, draws: int) -> tuple[float, list[Gain]]:
    """Return a true gain in log-loss over ``hours`` of minutes, and estimates of it on so many draws.

    The state is an AR(1) process that forgets in ``forgets_min``; both sides see it through noise, one
    through more.
    """
    rng = np.random.default_rng(8)
    weight = np.exp(-1.0 / forgets_min)

    def gained(minutes: int) -> np.ndarray:
        innovation = np.sqrt(1.0 - weight**2) * rng.normal(size=minutes)
        state = lfilter([1.0], [1.0, -weight], innovation)
        y = rng.random(minutes) < 1.0 / (1.0 + np.exp(3.2 - 1.5 * state))
        good, poor = (
            np.logaddexp(0.0, np.where(y, -1.0, 1.0) * (state + noise * rng.normal(size=minutes) - 3.0))
            for noise in (0.8, 1.0)
        )
        return poor - good

    blocks = make_blocks(np.arange(hours * 60) * 60)
    assert blocks is not None
    true = float(np.mean(gained(1_000_000)))
    rows = np.zeros(hours * 60)
    return true, [mean_gain(rows, gained(hours * 60), blocks) for _ in range(draws)]


@pytest.mark.parametrize(("hours", "blocks"), [(6, 12), (48, 12)])
def test_twelve_blocks_hold_the_true_gain_nearly_as_often_as_they_say(hours: int, blocks: int) -> None:
    true, gains = known_gain(hours, 60.0, 200)
    assert {gain.blocks for gain in gains} == {blocks}
    inside = sum(gain.low <= true <= gain.high for gain in gains)
    # Quantiles of the draws alone hold it about 176 times in 200.
    assert 184 <= inside <= 200


def test_an_interval_is_wider_the_fewer_blocks_it_comes_of() -> None:
    drawn = np.random.default_rng(9).normal(size=DRAWS)
    few, many = (interval(0.0, drawn, blocks) for blocks in (10, 10_000))
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(2.262 / 1.960 * np.sqrt(10 / 9), rel=1e-3)
    assert interval(0.5, np.array([0.5, 0.5]), 10) == (0.5, 0.5)


def test_a_better_ranking_is_certain_and_a_worse_one_is_not() -> None:
    rng = np.random.default_rng(6)
    blocks = make_blocks(np.arange(0, 40 * HALF_HOUR, 60))
    assert blocks is not None
    y = rng.random(len(blocks.of)) < 0.15
    good, poor = y + rng.normal(size=len(y)), rng.normal(size=len(y))
    assert average_precision_gain(y, good, poor, blocks).low > 0.0
    worse = average_precision_gain(y, poor, good, blocks)
    assert worse.high < 0.0
