"""Invariant 5 on whole runs: predicted before, graded once, by the label code that training uses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volspike.features.store import read_features
from volspike.labels.dataset import Dataset
from volspike.models.adaptive_band import adapted
from volspike.models.bundle import load_bundle
from volspike.models.standing import champion_path
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import stored_for
from volspike.records import Alert, Outcome, Prediction
from volspike.scoring.outcomes import target_end_ns
from volspike.simulation.faults import Fault
from whole_runs import (
    PRODUCT,
    START_NS,
    adds_up,
    assert_identical,
    live_run,
    logged,
    market_after_history,
    ticks_at_least,
)

PLAN = (Fault("close", 1012, 150.0), Fault("drop", 0, 400.0), Fault("malformed", 0, 420.0))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, _trained: Path) -> tuple[Path, dict[str, Any]]:
    """Serve ten minutes of market, with two breaks, to a champion with two hours of history."""
    import shutil

    root = Path(shutil.copytree(_trained, tmp_path_factory.mktemp("served") / "data"))
    options: dict[str, Any] = {"plan": PLAN, "alert_open": 0.02, "alert_close": 0.01, "alert_cooldown_s": 5.0}
    report, _ = live_run(root, market_after_history(), ticks_at_least(3_000), **options)
    return root, report


def of(root: Path, topic: str, kind: type) -> list[Any]:
    records = logged(root, topic)
    assert all(isinstance(record, kind) for record in records)
    return records


def offline(root: Path) -> Dataset:
    bundle = load_bundle(champion_path(root / "models"))
    return stored_for(Home(root), bundle.manifest, bundle.manifest.feature_set, PRODUCT).dataset


def test_the_run_predicts_grades_breaks_and_alerts(served) -> None:
    root, report = served
    adds_up(report)
    assert report["predictions"] > 1_500
    assert report["unlabelled"]["break"] > 50
    assert report["gaps"] == 3  # the start of the connection, and two breaks
    assert report["alerts"] > 0
    assert_identical(root)


def test_invariant_05_each_prediction_precedes_its_outcome_and_is_graded_once(served) -> None:
    root, report = served
    predictions = of(root, "ticks.predictions", Prediction)
    outcomes = of(root, "ticks.outcomes", Outcome)
    assert len(predictions) == report["predictions"]
    by_id = {prediction.id: prediction for prediction in predictions}
    assert len(by_id) == len(predictions)
    assert Counter(outcome.prediction_id for outcome in outcomes) == Counter(dict.fromkeys(by_id, 1))
    for outcome in outcomes:
        prediction = by_id[outcome.prediction_id]
        assert outcome.event_ns == prediction.event_ns
        assert outcome.tau_bps == prediction.tau_bps
        is_graded = outcome.unlabelled is None
        assert (outcome.sigma_future_bps is not None) == (outcome.spike is not None) == is_graded
        if is_graded:
            assert outcome.matured_ns > target_end_ns(prediction.event_ns) > prediction.event_ns
            assert outcome.spike == (outcome.sigma_future_bps >= prediction.tau_bps)
            assert not prediction.late
    assert Counter(outcome.unlabelled for outcome in outcomes if outcome.unlabelled) == Counter(
        report["unlabelled"]
    )


def test_invariant_05_live_outcomes_are_the_offline_labels(served) -> None:
    root, _ = served
    dataset = offline(root)
    outcomes = {outcome.event_ns: outcome for outcome in of(root, "ticks.outcomes", Outcome)}
    live = dataset.event_ns >= START_NS
    compared = 0
    for event_ns, sigma_bps, spike, tau_bps in zip(
        dataset.event_ns[live].tolist(),
        dataset.sigma_future_bps[live].tolist(),
        dataset.spike[live].tolist(),
        dataset.tau_bps[live].tolist(),
        strict=True,
    ):
        outcome = outcomes[event_ns]
        assert outcome.tau_bps == tau_bps
        if spike < 0:
            assert outcome.unlabelled is not None
            continue
        assert outcome.sigma_future_bps == sigma_bps
        assert outcome.spike == (spike == 1)
        compared += 1
    assert compared > 200


def test_invariant_05_live_predictions_are_those_of_the_model_offline(served) -> None:
    root, _ = served
    dataset = offline(root)
    scored = load_bundle(champion_path(root / "models")).predictor.predict_batch(dataset)
    predictions = {p.event_ns: p for p in of(root, "ticks.predictions", Prediction)}
    rows = np.flatnonzero(dataset.event_ns >= START_NS)
    assert len(rows) > 300
    for row in rows.tolist():
        prediction = predictions[int(dataset.event_ns[row])]
        assert prediction.p_spike == pytest.approx(scored.p_spike[row], abs=1e-9)
        assert prediction.sigma_bps == pytest.approx(scored.sigma_bps[row], rel=1e-9)
        assert prediction.sigma_now_bps == dataset.rv_bps[row]
        assert (prediction.tau_source == "adaptive") == bool(dataset.tau_adaptive[row])


def test_the_live_band_is_that_of_the_array_over_the_same_rows(served) -> None:
    root, report = served
    dataset = offline(root)
    live = dataset.rows(dataset.event_ns >= START_NS)
    made = adapted(load_bundle(champion_path(root / "models")).predictor.predict_batch(live), live)
    predictions = {p.event_ns: p for p in of(root, "ticks.predictions", Prediction)}
    recorded = [predictions[event_ns] for event_ns in live.event_ns.tolist()]
    assert len({p.band_log_stretch for p in recorded}) > 100
    assert [p.band_log_stretch for p in recorded] == made.log_stretch.tolist()
    assert [p.sigma_low_bps for p in recorded] == pytest.approx(made.scored.sigma_low_bps.tolist(), rel=1e-9)
    assert [p.sigma_high_bps for p in recorded] == pytest.approx(
        made.scored.sigma_high_bps.tolist(), rel=1e-9
    )
    assert [p.out_of_distribution for p in recorded] == (made.scored.outside > 0.0).tolist()
    every = of(root, "ticks.predictions", Prediction)
    assert report["out_of_distribution"] == sum(p.out_of_distribution for p in every)
    assert report["stale"] == sum(p.stale for p in every)
    band = report["bands"][PRODUCT]
    assert band["began_at"] == 0.0
    # Those made up to the second after the outcomes that the last rows had no time to learn from.
    assert band["outcomes"] >= np.isfinite(live.sigma_future_bps).sum() - 60


def test_adaptive_tau_knows_the_history_of_the_archive(served) -> None:
    root, _ = served
    assert {p.tau_source for p in of(root, "ticks.predictions", Prediction)} == {"adaptive"}


def test_alerts_open_and_close_in_turn_and_are_delivered(served) -> None:
    import json

    root, report = served
    alerts = of(root, "ticks.alerts", Alert)
    assert [alert.state for alert in alerts] == ["opened", "closed"] * report["alerts"]
    opened = alerts[::2]
    assert [a.id for a in opened] == [a.id for a in alerts[1::2]]
    assert len({alert.id for alert in alerts}) == report["alerts"]
    delivered = [json.loads(line) for line in (root / "alerts.ndjson").read_text().splitlines()]
    assert [alert["id"] for alert in delivered] == [alert.id for alert in alerts]
    assert all(alert.p_spike >= 0.02 for alert in opened)


def test_nothing_is_predicted_before_the_window_is_whole(served) -> None:
    root, _ = served
    table = read_features(root / "features", PRODUCT)
    predicted = {p.event_ns for p in of(root, "ticks.predictions", Prediction)}
    live = (table.event_ns >= START_NS) & (table.kind == 0)
    ready = live & table.complete & (table.ticks >= 10)
    assert predicted == set(table.event_ns[ready].tolist())
    assert (live & ~ready).sum() > 100
