from __future__ import annotations

import numpy as np
import pytest

from volspike.models.calibrate import fit_band, fit_calibration, fit_line
from volspike.models.calibration import Calibration, SigmaBand, finish_rows


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return margins that are twice too steep and one too high, with their labels."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-2.0, 1.5, n)
    return 2.0 * true + 1.0, (rng.random(n) < 1.0 / (1.0 + np.exp(-true))).astype(np.int8)


def test_platt_undoes_a_wrong_slope_and_shift() -> None:
    margin, spike = draw(600_000, 0)
    fitted = fit_calibration(margin, spike, 60.0)
    assert fitted.calibrated
    assert fitted.rows == 600_000
    assert fitted.slope == pytest.approx(0.5, abs=0.03)
    assert fitted.intercept == pytest.approx(-0.5, abs=0.06)


@pytest.mark.parametrize(
    ("spike", "words"),
    [([], "no labelled row"), ([0, 0, 0], "no spike in 3"), ([1, 1, 1], "nothing but spikes in 3")],
)
def test_a_slice_of_one_class_leaves_it_uncalibrated_and_says_so(spike: list[int], words: str) -> None:
    fitted = fit_calibration(np.linspace(-1.0, 1.0, len(spike)), np.array(spike, np.int8), 60.0)
    assert (fitted.slope, fitted.intercept, fitted.calibrated) == (1.0, 0.0, False)
    assert words in fitted.reason


def test_a_score_that_points_the_wrong_way_is_not_turned_round() -> None:
    margin, spike = draw(60_000, 1)
    fitted = fit_calibration(-margin, spike, 60.0)
    assert not fitted.calibrated
    assert "higher score" in fitted.reason


def test_separated_classes_give_a_finite_line_and_a_constant_score_the_base_rate() -> None:
    labels = np.array([0] * 50 + [1] * 50, np.int8)
    separated = fit_calibration(np.array([-1.0] * 50 + [1.0] * 50), labels, 60.0)
    assert separated.calibrated
    assert np.isfinite(separated.slope)
    spike = np.array([1] * 10 + [0] * 90, np.int8)
    constant = fit_calibration(np.full(100, 3.0), spike, 60.0)
    p = finish_rows(np.array([3.0]), np.zeros(1), constant, SigmaBand()).p_spike[0]
    assert p == pytest.approx(0.1, abs=0.01)


def test_the_band_covers_ninety_percent_and_the_shift_makes_the_variance_ratio_one() -> None:
    rng = np.random.default_rng(2)
    predicted = rng.normal(1.0, 0.5, 20_000)
    realised = predicted - 0.3 + rng.normal(0.0, 0.4, 20_000)
    band = fit_band(predicted, realised, 60.0, "calibrate")
    scored = finish_rows(np.zeros(20_000), predicted, Calibration(), band)
    inside = (np.exp(realised) >= scored.sigma_low_bps) & (np.exp(realised) <= scored.sigma_high_bps)
    assert inside.mean() == pytest.approx(0.9, abs=0.001)
    assert np.mean(np.exp(2 * realised) / scored.sigma_bps**2) == pytest.approx(1.0, abs=0.02)


def test_a_few_still_minutes_do_not_drag_the_scale_along() -> None:
    predicted = np.array([np.log(1e-3)] * 5 + [0.0] * 95)
    band = fit_band(predicted, np.zeros(100), 60.0, "calibrate", np.log(0.5))
    assert band.shift == pytest.approx(0.0, abs=0.01)
    scored = finish_rows(np.zeros(100), predicted, Calibration(), band)
    assert scored.sigma_bps.min() == pytest.approx(0.5, rel=1e-6)


def test_a_few_rows_far_out_do_not_drag_the_scale_along_and_sigma_stays_inside_its_band() -> None:
    rng = np.random.default_rng(4)
    residual = rng.normal(0.0, 0.3, 6_000)
    honest = fit_band(np.zeros(6_000), residual, 60.0, "calibrate")
    far = residual.copy()
    far[::50] = 7.0  # a predicted increment before an ordinary minute
    dragged = fit_band(np.zeros(6_000), far, 60.0, "calibrate")
    plain = 0.5 * np.log(np.mean(np.exp(2.0 * far)))
    assert plain > 4.9
    assert dragged.shift < honest.shift + 0.6
    for band in (honest, dragged, fit_band(np.zeros(900), np.full(900, -0.7), 60.0, "calibrate")):
        assert band.low <= -0.05 < 0.05 <= band.high


@pytest.mark.parametrize(
    "ends", [{"low": 0.0}, {"high": 0.0}, {"least": float("nan")}, {"least": float("inf")}]
)
def test_a_band_whose_end_is_sigma_or_whose_floor_is_no_number_is_refused(ends: dict) -> None:
    band = fit_band(np.zeros(600), np.random.default_rng(5).normal(size=600), 60.0, "calibrate")
    with pytest.raises(ValueError, match=r"band|least"):
        SigmaBand(**{name: getattr(band, name) for name in band.__struct_fields__} | ends)


@pytest.mark.parametrize(
    "wrong", [{"slope": 0.0}, {"slope": -1.0}, {"slope": float("nan")}, {"intercept": np.inf}]
)
def test_a_calibration_that_turns_the_order_round_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="a calibration of"):
        Calibration(**wrong)


def test_one_calm_quarter_of_an_hour_does_not_rewrite_a_model() -> None:
    rng = np.random.default_rng(3)
    spike = (rng.random(900) < 0.05).astype(np.int8)
    margin = np.where(spike == 1, 3.0, -3.0) + rng.normal(0.0, 0.5, 900)
    fitted = fit_calibration(margin, spike, 60.0)
    assert 0.5 < fitted.slope < 1.5
    thin, thick = (fit_band(np.zeros(rows), np.full(rows, -0.7), 60.0, "calibrate") for rows in (900, 90_000))
    assert thin.shift == pytest.approx(-0.7 * 15 / 35)
    assert thick.shift == pytest.approx(-0.7, abs=0.01)


def test_probabilities_stay_within_their_range_at_any_margin() -> None:
    margin = np.array([-1e6, -800.0, -1.0, 0.0, 1.0, 800.0, 1e6])
    p = finish_rows(margin, np.zeros(7), Calibration(), SigmaBand()).p_spike
    assert p[0] == 0.0
    assert p[-1] == 1.0
    assert (np.diff(p) >= 0.0).all()


def test_a_line_is_found_on_skewed_log_odds_where_whole_steps_of_newton_circle() -> None:
    """A market whose spikes came all at high odds once gave a slope of 0.02 where 1.49 is right."""
    rng = np.random.default_rng(5)
    margin = np.concatenate([rng.normal(-3.4, 0.15, 36_000), rng.uniform(-1.0, 0.8, 900)])
    spike = (rng.uniform(size=len(margin)) < 1.0 / (1.0 + np.exp(-(1.5 * margin + 1.3)))).astype(np.int8)
    z = (margin - margin.mean()) / margin.std()
    rate = spike.mean()
    start = np.array([0.0, np.log(rate / (1.0 - rate))])
    line, _ = fit_line(z, spike, 60.0, start, np.zeros((2, 2)))
    slope = line[0] / margin.std()
    intercept = line[1] - line[0] * margin.mean() / margin.std()
    p = 1.0 / (1.0 + np.exp(-(slope * margin + intercept)))
    # At the maximum of the likelihood the residuals have no mean, and none along the log-odds.
    assert abs(np.mean(p - spike)) < 1e-9
    assert abs(np.mean((p - spike) * margin)) < 1e-9
