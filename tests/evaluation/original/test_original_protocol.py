"""The two protocols on markets whose answer is known, and what they say of too little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from original_market import of_mids, recorded, unpredictable_market

from volspike.errors import NotEnoughDataError
from volspike.evaluation.enough import Evidence
from volspike.evaluation.original.columns import STD, Recorded
from volspike.evaluation.original.models import MODELS, Part
from volspike.evaluation.original.report import Reproduction, reproduce_original
from volspike.evaluation.original.threshold import Threshold
from volspike.evaluation.original.words import in_words
from volspike.evaluation.ranking import average_precision

P90 = Threshold(percentile=90.0)


def short_market(seconds: int, wild_from_s: int | None = None, every_s: float = 1.0) -> Recorded:
    """Return a zigzag of one cent, or of fifty from some time on."""
    times = np.arange(0, seconds, every_s)
    step = np.where(times >= (seconds if wild_from_s is None else wild_from_s), 50, 1)
    return of_mids(times, 10_000 + step * (np.arange(len(times)) % 2))


@pytest.fixture(scope="module")
def unpredictable() -> Reproduction:
    return reproduce_original(unpredictable_market(seed=3, count=120_000, every_s=2.0), P90)


def test_the_next_row_label_finds_skill_where_there_is_none(unpredictable: Reproduction) -> None:
    for part in unpredictable.next_row.parts.values():
        assert min(score.pr_auc for score in part.models.values()) > 0.9
    assert unpredictable.shared_tick_frac == pytest.approx(30 / 31, abs=1e-3)
    assert unpredictable.present_frac > 0.97


def test_the_true_label_finds_none(unpredictable: Reproduction) -> None:
    for part in unpredictable.future.parts.values():
        windows, base_rate = part.evidence.windows, part.spikes / part.rows
        assert windows > 500
        assert base_rate == pytest.approx(0.10, abs=0.05)
        for score in part.models.values():
            assert score.base_rate == base_rate
            # three standard deviations of the share of spikes in so many independent windows
            assert score.pr_auc == pytest.approx(base_rate, abs=3 * np.sqrt(base_rate / windows))


def test_a_figure_of_enough_data_carries_no_mark(unpredictable: Reproduction) -> None:
    enough = Evidence(clusters=20, windows=300, blocks=20)
    future = unpredictable.future
    parts = {name: replace(part, evidence=enough) for name, part in future.parts.items()}
    told = in_words(replace(unpredictable, future=replace(future, parts=parts)))
    assert "not enough data" in in_words(unpredictable)[-1]
    assert "not enough data" not in told[-1]


def test_a_short_recording_gives_no_figure_and_says_what_is_missing() -> None:
    report = reproduce_original(short_market(240, wild_from_s=180), P90)
    assert report.next_row.persistence.pr_auc is not None
    for part in report.future.parts.values():
        assert {score.pr_auc for score in part.models.values()} == {None}
        assert {score.enough_data for score in part.models.values()} == {False}
    assert report.future.tau_std is None
    assert report.windows == 2  # from 60 s to 120 s, and on to 180 s
    told = in_words(report)[-1]
    assert "not enough data, 2 independent windows in" in told
    assert "no labelled row is left in the fit part" in told


def test_a_thin_figure_is_printed_with_the_mark() -> None:
    report = reproduce_original(unpredictable_market(seed=1, count=8_000, every_s=1.0), P90)
    assert report.future.persistence.pr_auc is not None
    assert not report.future.test.evidence.enough_data
    assert in_words(report)[-1].count("not enough data (") == 2
    told = report.as_dict()["future"]
    assert told["zscore"]["enough_data"] is told["persistence"]["enough_data"] is False
    assert (told["zscore"]["part"], told["persistence"]["part"]) == ("test", "all")


def test_one_class_gives_no_figure() -> None:
    report = reproduce_original(short_market(3_600), Threshold(std=1e-3))
    for outcome in (report.next_row, report.future):
        for part in outcome.parts.values():
            assert {score.pr_auc for score in part.models.values()} == {None}
            assert {score.base_rate for score in part.models.values()} == {0.0}
            assert "of one class: 0 spikes in" in part.models["persistence"].reason
    assert "has no score here" in in_words(report)[1]


def test_a_fit_part_of_one_class_fits_rules_but_no_classifier() -> None:
    report = reproduce_original(short_market(3_600, wild_from_s=3_400), Threshold(std=1e-3))
    models = report.next_row.test.models
    assert models["persistence"].pr_auc == models["zscore"].pr_auc == pytest.approx(1.0, abs=0.01)
    assert models["xgboost"].pr_auc is models["logistic"].pr_auc is None
    assert models["xgboost"].reason.startswith("the fit part is of one class")


def test_over_the_whole_recording_only_what_is_not_fitted_is_scored(unpredictable: Reproduction) -> None:
    for outcome in (unpredictable.next_row, unpredictable.future):
        assert set(outcome.parts["all"].models) == {"persistence"}
        assert set(outcome.test.models) == set(outcome.parts["validation"].models) == set(MODELS)


def test_the_split_of_the_original_is_by_rows() -> None:
    report = reproduce_original(short_market(1_001), P90)  # the first ticker has no row
    test = report.next_row.test
    assert (report.rows, report.next_row.fit_rows, test.rows) == (1_000, 700, 150)
    assert report.next_row.parts["validation"].rows == 150
    assert test.span_s == pytest.approx(149.0)
    assert test.evidence.windows == 3


def test_invariant_09_tau_of_the_future_is_of_the_fit_part_alone() -> None:
    calm_then_wild = reproduce_original(short_market(7_200, wild_from_s=6_000), P90)
    always_calm = reproduce_original(short_market(7_200), P90)
    assert calm_then_wild.future.tau_std == always_calm.future.tau_std  # 70 % is over before it gets wild
    assert calm_then_wild.next_row.tau_std > 10 * always_calm.next_row.tau_std


def test_invariant_09_purging_keeps_labels_of_the_fit_part_off_the_rest() -> None:
    report = reproduce_original(short_market(7_200), P90)
    ready = 7_200 - 60  # rows, one a second
    assert round(ready * 0.70) - report.future.fit_rows == 60 + 300 - 1


def test_persistence_and_z_score_rank_alike() -> None:
    rng = np.random.default_rng(5)
    fit, test = Part(rng.random((500, 5)), rng.random(500) > 0.9), rng.random((200, 5))
    order = np.argsort(test[:, STD])
    for name in ("persistence", "zscore"):
        assert np.argsort(MODELS[name](fit)(test)).tolist() == order.tolist()


def test_models_learn_what_there_is_to_learn() -> None:
    rng = np.random.default_rng(5)
    x = rng.random((4_000, 5)) * (1e-6, 1e-5, 0.01, 20.0, 1e-6)
    y = x[:, STD] + rng.normal(0, 1e-7, 4_000) > 0.9e-5
    fit, test = Part(x[:3_000], y[:3_000]), x[3_000:]
    for name in ("logistic", "xgboost"):
        score = MODELS[name](fit)(test)
        assert average_precision(y[3_000:], score) > 0.9
        assert MODELS[name](fit)(test).tolist() == score.tolist()


def test_a_single_ticker_is_not_enough() -> None:
    with pytest.raises(NotEnoughDataError, match="no row in 1 tickers"):
        reproduce_original(recorded((0,), (9_999,), (10_001,)), P90)


def test_two_tickers_are_one_row_and_no_more() -> None:
    report = reproduce_original(short_market(2), P90)
    assert (report.rows, report.shared_tick_frac, report.present_frac, report.windows) == (1, None, None, 0)
    assert "only one row" in in_words(report)[0]


def test_the_words_say_on_how_many_independent_windows_the_figure_rests() -> None:
    report = reproduce_original(short_market(300, wild_from_s=200, every_s=0.25), P90)
    asked, worth, _ = in_words(report)
    assert f"{report.shared_tick_frac:.2%} of the ticks" in asked
    assert "the 181 test rows are 45 seconds of market: no whole minutes" in worth
    assert f"holds {report.windows} independent windows" in worth
    assert ("0.9997" in worth) == (report.next_row.persistence.pr_auc >= 0.9)
