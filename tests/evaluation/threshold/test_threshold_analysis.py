"""What thresholds call a spike and what scores make of it: fitted on fit, with test left alone."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from evaluation_rows import dataset
from threshold_market import builder, candles, wilder_from

from volspike.errors import NotEnoughDataError
from volspike.evaluation.scores import average_precision
from volspike.evaluation.threshold.analysis import ThresholdAnalysis, analyse_thresholds
from volspike.evaluation.threshold.balance import candidate_balance, part_balance
from volspike.evaluation.threshold.candidates import FLOORS_BPS, QUANTILES, candidates
from volspike.evaluation.threshold.sensitivity import score_candidate
from volspike.labels.splits import PARTS, chronological_split
from volspike.labels.tau import TauSpec

DAYS = 8
BY_NAME = {found.name: found for found in candidates(TauSpec())}


@pytest.fixture(scope="module")
def analysis() -> ThresholdAnalysis:
    return analyse_thresholds(builder(candles(DAYS)), TauSpec())


def test_every_quantile_and_floor_is_a_candidate_and_one_is_in_use() -> None:
    names = list(BY_NAME)
    assert len(names) == len(set(names)) == 2 * len(QUANTILES) + 2 + len(FLOORS_BPS)
    assert [found.name for found in BY_NAME.values() if found.is_in_use] == ["adaptive P95"]
    unusual = candidates(TauSpec("fixed", 0.93, 3.0))
    assert [found.name for found in unusual if found.is_in_use] == ["fixed P93"]
    assert "adaptive P93, floor 4" in [found.name for found in unusual]


def test_a_fixed_tau_leaves_its_share_of_the_fit_slice_above_it(analysis: ThresholdAnalysis) -> None:
    for balance in analysis.balances[: len(QUANTILES)]:
        quantile = float(balance.name.rpartition("P")[2]) / 100
        fit = balance.parts["fit"]
        # Rows that equal tau are spikes: no other row has its value.
        assert fit.spikes == fit.rows - (-(-fit.rows * round(quantile * 1e6) // 10**6)) + 1
        assert balance.tau_low_bps == balance.tau_high_bps
        found = analysis.percentiles.future_fit.at(quantile)
        assert balance.tau_median_bps == found.value_bps


def test_counts_are_those_of_the_rows(analysis: ThresholdAnalysis) -> None:
    build = builder(candles(DAYS))
    for name in ("adaptive P90", "constant 4 bps"):
        (balance,) = [found for found in analysis.balances if found.name == name]
        rows = BY_NAME[name].label(analysis.fixed, analysis.split.fit, build)
        for part, index in analysis.split.parts():
            sigma = rows.sigma_future_bps[index]
            known = np.isfinite(sigma)
            spikes = int(np.count_nonzero(sigma[known] >= rows.tau_bps[index][known]))
            found = balance.parts[part]
            assert (found.rows, found.spikes) == (np.count_nonzero(known), spikes)
            assert found.base_rate == spikes / np.count_nonzero(known)
            assert found.onsets <= found.spikes
            assert found.clusters <= max(found.onsets, 1) or found.onsets == 0


def test_a_higher_threshold_never_calls_more_spikes(analysis: ThresholdAnalysis) -> None:
    by_name = {balance.name: balance for balance in analysis.balances}
    for kind in ("fixed", "adaptive"):
        ladder = [by_name[f"{kind} P{100 * quantile:g}"] for quantile in QUANTILES]
        for part in PARTS:
            counts = [balance.parts[part].spikes for balance in ladder]
            assert counts == sorted(counts, reverse=True)


def test_the_share_of_the_floor_is_the_share_of_rows_at_it(analysis: ThresholdAnalysis) -> None:
    for balance in analysis.balances:
        if balance.name.startswith("constant"):
            assert balance.floor_frac == 0.0, "a constant has no floor"
        elif balance.name.startswith("fixed"):
            assert balance.floor_frac == 0.0
    (in_use,) = [balance for balance in analysis.balances if balance.is_in_use]
    assert in_use.floor_frac == np.mean(analysis.adaptive.tau_bps == 4.0)
    assert in_use.fallback_frac == np.mean(~analysis.adaptive.tau_adaptive) == 29 / len(analysis.adaptive)


def test_nothing_after_calibrate_reaches_a_threshold_or_a_score(analysis: ThresholdAnalysis) -> None:
    table = candles(DAYS)
    first = int(analysis.split.test[0])
    other = analyse_thresholds(builder(wilder_from(table, first, 5.0)), TauSpec())
    assert other.balances[0].parts["test"] != analysis.balances[0].parts["test"]
    assert other.percentiles.future_fit == analysis.percentiles.future_fit
    assert other.percentiles.now_fit == analysis.percentiles.now_fit
    assert other.percentiles.future_later != analysis.percentiles.future_later
    assert other.scores == analysis.scores
    for ours, theirs in zip(analysis.balances, other.balances, strict=True):
        assert all(ours.parts[part] == theirs.parts[part] for part in ("fit", "tune", "calibrate"))


def test_nothing_after_fit_reaches_a_fixed_threshold(analysis: ThresholdAnalysis) -> None:
    other = analyse_thresholds(
        builder(wilder_from(candles(DAYS), int(analysis.split.tune[0]), 3.0)), TauSpec()
    )
    for ours, theirs in zip(analysis.balances, other.balances, strict=True):
        if not ours.name.startswith("adaptive"):
            assert ours.tau_high_bps == theirs.tau_high_bps
    assert other.over_time.fixed_tau_bps == analysis.over_time.fixed_tau_bps
    assert other.scores != analysis.scores


def test_persistence_is_scored_by_volatility_now_over_tau(analysis: ThresholdAnalysis) -> None:
    rows, split = analysis.adaptive, analysis.split
    judged = np.concatenate((split.tune, split.calibrate))
    judged = judged[rows.spike[judged] >= 0]
    (score,) = [found for found in analysis.scores if found.name == "adaptive P95"]
    y = rows.spike[judged] == 1
    now = np.maximum(rows.rv_bps, rows.floor_bps) / rows.tau_bps
    assert score.persistence.pr_auc == pytest.approx(average_precision(y, now[judged]), abs=1e-9)
    assert score.persistence.lift == pytest.approx(score.persistence.pr_auc / np.mean(y))
    assert score.over_guessing.value == pytest.approx(score.persistence.pr_auc - np.mean(y))
    assert score.over_persistence.value == pytest.approx(score.log_har.pr_auc - score.persistence.pr_auc)
    assert score.balance.enough_data
    assert score.persistence.lift > 1.5


def test_one_class_and_few_blocks_give_no_score_and_no_interval() -> None:
    rows = builder(candles(0.5))(TauSpec("fixed"))
    split = chronological_split(rows)
    quiet = score_candidate("high", replace(rows, spike=np.minimum(rows.spike, 0)), split)
    assert quiet.persistence.pr_auc is quiet.persistence.lift is quiet.over_persistence is None
    thin = score_candidate("fixed", rows, split)
    assert thin.over_guessing is thin.over_persistence is None
    assert not thin.balance.enough_data


def test_parts_without_a_row_are_counted_as_such() -> None:
    rows = dataset([0, 1] * 30)
    split = chronological_split(rows)
    assert len(split.fit) == 0
    found = candidate_balance(BY_NAME["constant 8 bps"], rows, split)
    assert found.parts["fit"].base_rate is None
    assert found.parts["all"] == part_balance(rows)
    assert found.parts["all"].spikes == 30


def test_too_little_to_set_a_tau_by_is_told() -> None:
    with pytest.raises(NotEnoughDataError):
        analyse_thresholds(builder(candles(0.001)), TauSpec())


def test_the_figures_are_json_and_hold_no_rows(analysis: ThresholdAnalysis) -> None:
    told = json.loads(json.dumps(analysis.as_dict()))
    assert told["rows"] == len(analysis.fixed)
    assert told["in_use"] == asdict(TauSpec())
    assert len(told["candidates"]) == len(told["sensitivity"]) == len(BY_NAME)
    assert len(json.dumps(told)) < 400_000
