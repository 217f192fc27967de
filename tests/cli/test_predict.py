"""``volspike predict``: probabilities of other thresholds, the rows out of bounds, the band as served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from volspike.models.adaptive_band import adapted_parts
from volspike.models.bundle import load_bundle
from volspike.models.standing import champion_path
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import stored_for
from whole_runs import volspike


@pytest.fixture
def root(_trained: Path) -> Path:
    return _trained


def test_it_adds_what_is_asked_for_and_what_the_predictions_are_worth(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.parquet"
    ran = volspike("predict", "--data-dir", root, "--out", out, "--above", "2,7.5,40", "--json")
    assert ran.code == 0, ran.err
    made, report = pl.read_parquet(out), ran.report
    columns = ["p_above_2bps", "p_above_7.5bps", "p_above_40bps"]
    assert list(report["p_above_mean"]) == columns
    at = made.select(columns).to_numpy()
    assert (np.diff(at, axis=1) <= 0.0).all()
    assert at.mean(axis=0).tolist() == pytest.approx(list(report["p_above_mean"].values()))
    assert report["out_of_distribution_frac"] == pytest.approx(made["out_of_distribution"].mean())
    assert made["band_log_stretch"].n_unique() > 100

    bundle = load_bundle(champion_path(root / "models"))
    rows = stored_for(Home(root), bundle.manifest, bundle.manifest.feature_set).dataset
    scored = bundle.predictor.predict_batch(rows)
    inside = made["in_sample"].to_numpy()
    cuts = np.flatnonzero(np.diff(inside)) + 1
    served = adapted_parts(scored, rows, np.split(np.arange(len(rows)), cuts))
    assert made["sigma_high_bps"].to_list() == served.scored.sigma_high_bps.tolist()
    expected = bundle.predictor.p_above_batch(rows, [7.5], served.log_stretch)[0]
    assert made["p_above_7.5bps"].to_list() == expected.tolist()
    assert made["out_of_distribution"].to_list() == (scored.outside > 0.0).tolist()


def test_without_a_threshold_there_is_no_such_column(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.parquet"
    ran = volspike("predict", "--data-dir", root, "--out", out, "--json")
    assert ran.report["p_above_mean"] == {}
    assert not [name for name in pl.read_parquet(out).columns if "above" in name]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "2,2", "2;3", "2,,3"])
@pytest.mark.parametrize("option", ["--above", "--range-above"])
def test_what_is_no_list_of_thresholds_is_wrong_usage(root: Path, text: str, option: str) -> None:
    ran = volspike("predict", "--data-dir", root, option, text)
    assert ran.code == 2
    assert option in ran.err


def test_a_range_is_refused_of_a_model_of_ticks(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.parquet"
    ran = volspike("predict", "--data-dir", root, "--out", out, "--range-above", "10", "--json")
    assert ran.code == 1
    assert "range of a minute" in ran.report["error"]
    assert "--above" in ran.report["remedy"]
    assert not out.exists()
