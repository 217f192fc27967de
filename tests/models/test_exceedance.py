"""The probability of any threshold: p_spike at tau, falling in x, the band at 5 and 95 %, calibrated."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ModelError
from volspike.models.calibrate import fit_band
from volspike.models.calibration import LEVELS, Calibration, Scored, SigmaBand, finish_rows
from volspike.models.exceedance import RANGE_OF_SIGMA, Exceedance, p_above_columns
from volspike.models.predictor import CalibratedPredictor
from volspike.models.state import StateHeads, StateWeights

XS = np.geomspace(0.01, 1_000.0, 200)


def student(n: int, seed: int, scale: float = 0.35) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_t(5, n)


@pytest.fixture(scope="module")
def exceedance() -> Exceedance:
    band = fit_band(np.zeros(50_000), student(50_000, 1), 60.0, "calibrate")
    return Exceedance(band.quantiles)


cases = {
    "p": st.floats(0.0, 1.0),
    "sigma": st.floats(0.1, 100.0),
    "tau": st.floats(0.1, 100.0),
    "stretch": st.floats(-1.3, 1.3),
}


@given(**cases)
@settings(max_examples=150, deadline=None)
def test_it_is_p_spike_at_tau_and_never_rises_with_the_threshold(exceedance, p, sigma, tau, stretch) -> None:
    scored = Scored(p, sigma, sigma / 2, sigma * 2)
    assert exceedance.of_one(scored, tau, tau, stretch) == pytest.approx(p, abs=1e-9)
    falling = np.array([exceedance.of_one(scored, tau, x, stretch) for x in np.sort(np.append(XS, tau))])
    assert (np.diff(falling) <= 1e-12).all()
    assert ((falling >= 0.0) & (falling <= 1.0)).all()
    assert exceedance.of_one(scored, tau, 1e300, stretch) < 1e-6
    assert exceedance.of_one(scored, tau, 1e-300, stretch) > 1.0 - 1e-6


@pytest.mark.parametrize("stretch", [-0.5, 0.0, 0.8])
def test_the_ends_of_the_band_are_at_5_and_95_percent_where_both_heads_agree(stretch: float) -> None:
    band = fit_band(np.zeros(50_000), student(50_000, 2), 60.0, "calibrate")
    exceedance, sigma = Exceedance(band.quantiles), 3.0
    for level, quantile in zip(LEVELS, band.quantiles, strict=True):
        # The classifier says what the distribution says at tau.
        p, tau = said_by(band, sigma, 5.0, stretch), 5.0
        x = sigma * np.exp(quantile * np.exp(stretch))
        said = exceedance.of_one(Scored(p, sigma, 0.0, 0.0), tau, x, stretch)
        assert said == pytest.approx(1.0 - level, abs=1e-6)
    assert band.low == pytest.approx(band.quantiles[1], abs=1e-4)
    assert band.high == pytest.approx(band.quantiles[-2], abs=1e-4)


def said_by(band: SigmaBand, sigma: float, x: float, stretch: float) -> float:
    """Return the probability of ``x`` or more by the quantiles alone, in numpy."""
    levels = np.array(LEVELS)
    ratio = np.log(x / sigma) / np.exp(stretch)
    assert band.quantiles[0] < ratio < band.quantiles[-1]
    return 1.0 / (1.0 + np.exp(-np.interp(ratio, band.quantiles, np.log((1.0 - levels) / levels))))


def test_it_is_calibrated_at_many_thresholds() -> None:
    """Realised sigma is of a heavy-tailed law around a biased prediction; the classifier is sound."""
    rng = np.random.default_rng(5)
    n = 120_000
    centre = rng.normal(1.5, 0.6, n)
    realised = centre + student(n, 6)
    predicted = centre - 0.2
    tau = np.full(n, np.exp(2.3))
    half = n // 2
    band = fit_band(predicted[:half], realised[:half], 60.0, "calibrate")
    known = np.sort(student(200_000, 7))
    p_spike = 1.0 - np.searchsorted(known, np.log(tau) - centre) / len(known)
    margin = np.log(np.clip(p_spike, 1e-6, 1 - 1e-6) / (1 - np.clip(p_spike, 1e-6, 1 - 1e-6)))
    scored = finish_rows(margin[half:], predicted[half:], Calibration(), band)
    sigma = np.exp(realised[half:])
    thresholds = np.quantile(sigma, [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99]).tolist()
    p = Exceedance(band.quantiles).of_rows(scored, tau[half:], thresholds)
    for x, said in zip(thresholds, p, strict=True):
        truth = sigma >= x
        assert said.mean() == pytest.approx(truth.mean(), abs=0.01)
        for first in np.arange(0.0, 1.0, 0.1):
            cell = (said >= first) & (said < first + 0.1)
            if cell.sum() > 500:
                noise = 4.0 * np.sqrt(0.25 / cell.sum())
                assert truth[cell].mean() == pytest.approx(said[cell].mean(), abs=0.025 + noise)


@pytest.mark.parametrize("name", ["zscore", "logistic", "xgboost", "blend"])
def test_one_row_equals_the_batch_and_trained_models_beat_the_base_rate(
    trained, dataset, split, name
) -> None:
    predictor, test = trained.bundles[name].predictor, dataset.rows(split.test)
    thresholds = np.quantile(test.sigma_future_bps, [0.1, 0.5, 0.9]).tolist()
    stretch = np.linspace(-0.3, 0.3, len(test))
    batch = predictor.p_above_batch(test, thresholds, stretch)
    for i in range(0, len(test), 400):
        one = [
            predictor.p_above(test.features[i].tolist(), test.context(i), x, float(stretch[i]))
            for x in thresholds
        ]
        assert one == batch[:, i].tolist()
    plain = predictor.p_above_batch(test, thresholds)
    truth = test.sigma_future_bps >= np.array(thresholds)[:, None]
    assert np.mean((plain - truth) ** 2) < 0.75 * np.mean(np.var(truth, axis=1))
    at_tau = [predictor.p_above_batch(test.rows([i]), [float(test.tau_bps[i])])[0, 0] for i in (0, 99)]
    p_spike = predictor.predict_batch(test).p_spike[[0, 99]]
    assert at_tau == pytest.approx(p_spike.tolist(), abs=1e-9)


def test_a_range_is_the_volatility_of_a_range_and_other_models_do_not_tell_it(trained, dataset) -> None:
    predictor, rows = trained.bundles["logistic"].predictor, dataset.rows(np.arange(50))
    with pytest.raises(ModelError, match=r"does not tell the range.*--above"):
        p_above_columns(predictor, rows, (), (10.0,))
    predictor_of_ranges = trained.references[trained.reference]
    of_ranges = CalibratedPredictor(
        "candles", "", "core", "range", predictor_of_ranges._heads, Calibration(), band_of(0.4)
    )
    columns = p_above_columns(of_ranges, rows, (6.0, 0.5), (10.0,))
    assert list(columns) == ["p_above_6bps", "p_above_0.5bps", "p_range_above_10bps"]
    expected = of_ranges.p_above_batch(rows, [10.0 / RANGE_OF_SIGMA])[0]
    np.testing.assert_array_equal(columns["p_range_above_10bps"], expected)
    assert pytest.approx(1.6651, abs=1e-4) == RANGE_OF_SIGMA
    assert p_above_columns(predictor, rows, (), ()) == {}


def band_of(scale: float) -> SigmaBand:
    return fit_band(np.zeros(9_000), student(9_000, 3, scale), 60.0, "calibrate")


def test_what_is_no_threshold_and_a_model_without_a_distribution_are_refused(exceedance, dataset) -> None:
    scored = Scored(0.5, 1.0, 0.5, 2.0)
    for x in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="threshold"):
            exceedance.of_one(scored, 1.0, x, 0.0)
    zeros = (0.0,) * 8
    weights = StateWeights("persistence", zeros, zeros, 0.0, 0.0, 0.0, 1.0, 60.0, 0.01)
    bare = CalibratedPredictor("m", "1", "core", "rv", StateHeads(weights), Calibration(), SigmaBand())
    with pytest.raises(ModelError, match="no distribution"):
        bare.p_above((), dataset.context(0), 5.0)


def test_quantiles_that_do_not_rise_are_refused_and_equal_residuals_leave_a_step() -> None:
    band = fit_band(np.zeros(600), np.zeros(600), 60.0, "calibrate")
    assert (np.diff(band.quantiles) > 0.0).all()
    steep = Exceedance(band.quantiles)
    scored = Scored(0.5, 1.0, 1.0, 1.0)
    assert steep.of_one(scored, 1.0, 1.1, 0.0) < 1e-6 < 1.0 - 1e-6 < steep.of_one(scored, 1.0, 0.9, 0.0)
    for wrong in (band.quantiles[:-1], band.quantiles[::-1], (*band.quantiles[:-1], float("nan"))):
        with pytest.raises((ValueError, msgspec.ValidationError)):
            msgspec.convert(msgspec.to_builtins(band) | {"quantiles": wrong}, SigmaBand, strict=False)
    with pytest.raises(ValueError, match="do not rise"):
        replace_quantiles(band, band.quantiles[::-1])


def replace_quantiles(band: SigmaBand, quantiles: tuple[float, ...]) -> SigmaBand:
    return msgspec.structs.replace(band, quantiles=quantiles)
