"""The adaptive band: its coverage holds in the long run, it knows no future, and arrays equal steps."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_rows import market

from volspike.evaluation.report import evaluate
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.adaptive_band import STEP_A_SECOND, AdaptedRows, AdaptiveBand, adapted, adapted_parts
from volspike.models.calibration import Scored, ScoredRows
from volspike.models.kernels import MATURE_S, WIDEST
from volspike.models.settings import TrainSettings
from volspike.models.train import train

HOUR = 3_600
BEFORE_H, AFTER_H = 10, 30


@pytest.fixture(scope="module")
def changed() -> tuple[Dataset, Split, ScoredRows]:
    """Return a market that grows wild, and what the rule of its calm hours says about all of it."""
    rows = market(BEFORE_H + AFTER_H, seed=8, wilder_after=BEFORE_H, wilder=3.0)
    calm = np.arange(BEFORE_H * HOUR)
    fit, tune, calibrate = np.split(calm, (5 * HOUR, 7 * HOUR))
    split = Split(fit, tune, calibrate, np.arange(BEFORE_H * HOUR, len(rows)), 0)
    bundle = train(rows, split, TrainSettings(models=("zscore",))).bundles["zscore"]
    return rows, split, bundle.predictor.predict_batch(rows)


def is_inside(scored: ScoredRows, rows: Dataset) -> np.ndarray:
    return (scored.sigma_low_bps <= rows.sigma_future_bps) & (rows.sigma_future_bps <= scored.sigma_high_bps)


def test_coverage_holds_through_a_change_of_the_market_where_the_fixed_band_fails(changed) -> None:
    rows, split, scored = changed
    made = adapted(scored, rows)
    fixed, moved = is_inside(scored, rows), is_inside(made.scored, rows)
    assert 0.87 < fixed[split.calibrate].mean() < 0.93
    assert fixed[split.test].mean() < 0.85
    assert 0.87 < moved.mean() < 0.93
    assert 0.87 < moved[split.test].mean() < 0.93
    last = slice(-10 * HOUR, None)
    assert fixed[last].mean() < 0.85
    assert 0.87 < moved[last].mean() < 0.93
    assert made.log_stretch[-1] > 0.1


def test_only_the_width_of_the_band_is_changed(changed) -> None:
    rows, _, scored = changed
    made = adapted(scored, rows).scored
    for name in ("p_spike", "sigma_bps", "outside"):
        assert getattr(made, name) is getattr(scored, name)
    assert (made.sigma_low_bps <= scored.sigma_bps).all()
    assert (made.sigma_high_bps >= scored.sigma_bps).all()


def step_by_step(scored: ScoredRows, rows: Dataset) -> AdaptedRows:
    """Serve the rows one by one; an outcome is taken by the first row of a second 61 later."""
    band, waiting = AdaptiveBand(), []
    low, high, log_stretch = (np.empty(len(rows)) for _ in range(3))
    columns = [column.tolist() for column in scored]
    outcomes = rows.sigma_future_bps.tolist()
    for i, second in enumerate(rows.second.tolist()):
        while waiting and waiting[0][0] + 61 <= second:
            _, *ends, realised = waiting.pop(0)
            if realised == realised:
                band.take(*ends, realised)
        one = Scored(*(column[i] for column in columns))
        (low[i], high[i]), log_stretch[i] = band.ends_bps(one), band.log_stretch
        waiting.append((second, low[i], high[i], outcomes[i]))
    moved = scored._replace(sigma_low_bps=low, sigma_high_bps=high)
    return AdaptedRows(moved, log_stretch)


def with_holes(rows: Dataset, scored: ScoredRows, seed: int) -> tuple[Dataset, ScoredRows]:
    """Return some of the rows, with some outcomes gone."""
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(len(rows)) < 0.7)
    sigma = rows.sigma_future_bps.copy()
    sigma[rng.random(len(rows)) < 0.1] = np.nan
    return replace(rows, sigma_future_bps=sigma).rows(kept), ScoredRows(*(column[kept] for column in scored))


@pytest.mark.parametrize("seed", range(3))
def test_arrays_equal_single_steps_to_the_bit(changed, seed: int) -> None:
    rows, _, scored = changed
    first = np.arange(seed * 5_000, seed * 5_000 + 9_000)
    part, said = with_holes(rows.rows(first), ScoredRows(*(column[first] for column in scored)), seed)
    whole, stepwise = adapted(said, part), step_by_step(said, part)
    assert len(np.unique(whole.log_stretch)) > 100
    np.testing.assert_array_equal(np.array(whole.scored), np.array(stepwise.scored))
    np.testing.assert_array_equal(whole.log_stretch, stepwise.log_stretch)


@pytest.mark.parametrize("cut", [0, 1, 500, 4_000])
def test_no_outcome_enters_before_its_minute_is_over(changed, cut: int) -> None:
    rows, _, scored = changed
    first = np.arange(6_000)
    part, said = rows.rows(first), ScoredRows(*(column[first] for column in scored))
    sigma = part.sigma_future_bps.copy()
    sigma[cut:] = 1e-6
    other = adapted(said, replace(part, sigma_future_bps=sigma)).log_stretch
    one = adapted(said, part).log_stretch
    known = cut + MATURE_S
    np.testing.assert_array_equal(other[:known], one[:known])
    assert (other[known : known + 60] != one[known : known + 60]).any()


def test_each_part_begins_at_the_band_of_the_model(changed) -> None:
    rows, split, scored = changed
    parts = [index for _, index in split.parts()]
    made = adapted_parts(scored, rows, parts)
    for part in parts:
        first = part[:MATURE_S]
        np.testing.assert_array_equal(made.log_stretch[first], 0.0)
        np.testing.assert_array_equal(made.scored.sigma_low_bps[first], scored.sigma_low_bps[first])
        alone = adapted(ScoredRows(*(column[part] for column in scored)), rows.rows(part))
        np.testing.assert_array_equal(made.log_stretch[part], alone.log_stretch)


def test_the_report_judges_the_band_as_served(trained, dataset, split) -> None:
    bundle = trained.bundles["logistic"]
    report = evaluate({"logistic": bundle}, dataset, split, "logistic")
    test = dataset.rows(split.test)
    made = adapted(bundle.predictor.predict_batch(test), test)
    expected = is_inside(made.scored, test).mean()
    assert report.models["logistic"]["test"].band_coverage == pytest.approx(expected)
    assert expected != is_inside(bundle.predictor.predict_batch(test), test).mean()


@given(misses=st.lists(st.booleans(), min_size=1, max_size=900))
@settings(max_examples=60, deadline=None)
def test_the_share_of_misses_is_bound_by_the_way_the_band_has_gone(misses: list[bool]) -> None:
    band = AdaptiveBand()
    for missed in misses:
        band.take(1.0, 2.0, 3.0 if missed else 1.5)
    assert band.outcomes == len(misses)
    assert band.inside == len(misses) - sum(misses)
    gone = STEP_A_SECOND * (sum(misses) - 0.1 * len(misses))
    assert band.log_stretch == pytest.approx(gone, abs=1e-9)


def test_the_band_is_bounded_whatever_comes() -> None:
    wide, narrow = AdaptiveBand(WIDEST - 0.01), AdaptiveBand(-WIDEST + 0.001)
    for _ in range(2_000):
        wide.take(1.0, 2.0, 3.0)
        narrow.take(1.0, 2.0, 1.5)
    assert (wide.log_stretch, narrow.log_stretch) == (WIDEST, -WIDEST)
    low, high = wide.ends_bps(Scored(0.5, 2.0, 1.0, 4.0))
    assert low == pytest.approx(2.0 * 0.5**4)
    assert high == pytest.approx(2.0 * 2.0**4)
    for refused in (np.nan, np.inf, WIDEST + 1e-9):
        with pytest.raises(ValueError, match="log stretch"):
            AdaptiveBand(refused)


def test_a_fresh_band_is_the_model_s_own_and_a_still_minute_has_one() -> None:
    fresh, moved = AdaptiveBand(), AdaptiveBand(0.4)
    assert fresh.ends_bps(Scored(0.5, 3.0, 1.1, 7.7)) == (1.1, 7.7)
    assert moved.ends_bps(Scored(0.5, 0.0, 0.0, 0.0)) == (0.0, 0.0)
    assert json.loads(json.dumps(moved.as_dict())) == {
        "began_at": 0.4,
        "log_stretch": 0.4,
        "outcomes": 0,
        "coverage_frac": None,
    }
