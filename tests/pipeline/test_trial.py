"""Verdicts on the ledger: one row of ten seconds is judged, wherever the rows were thinned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import drift_markets
from kept_models import graded_rows, noisy
from made_bundles import make_bundle
from volspike.config import Settings
from volspike.evaluation.episodes import open_alerts
from volspike.models.manifest import Manifest
from volspike.monitoring.graded import GradedRows
from volspike.pipeline.trial import EVERY_S, tried_rows, try_challenger, watch_champion, watched_sides

SECONDS, TRUE = drift_markets.seconds(40, 1)
SETTINGS = Settings.model_construct()
HALF_S = int(SECONDS.second[len(TRUE) // 2])


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Manifest, Manifest]:
    champion, challenger = (make_bundle(tmp_path, seed, span_ns=(1, 2)).manifest for seed in (1, 2))
    return champion, challenger


@pytest.fixture
def rows(sides: tuple[Manifest, Manifest]) -> GradedRows:
    versions = (side.version for side in sides)
    return graded_rows(SECONDS, noisy(TRUE, 1.0), TRUE, *versions)


def test_one_row_of_ten_seconds_is_judged(rows: GradedRows, sides: tuple[Manifest, Manifest]) -> None:
    tried = tried_rows(rows, *sides)
    assert len(tried) == len(rows) // EVERY_S
    whole, thin = (
        try_challenger(rows, *sides, SETTINGS),
        try_challenger(rows.thinned(EVERY_S), *sides, SETTINGS),
    )
    assert whole == thin
    assert whole == try_challenger(tried, *sides, SETTINGS)
    assert whole.rows == len(tried)
    assert whole.promote
    assert whole.evidence.windows == pytest.approx(40 * 60, rel=0.01)


def test_a_watch_begins_where_it_is_told_to(rows: GradedRows, sides: tuple[Manifest, Manifest]) -> None:
    watched = watch_champion(rows, sides[0], SETTINGS)
    assert watched == watch_champion(rows.thinned(EVERY_S), sides[0], SETTINGS)
    late = watch_champion(rows, sides[0], SETTINGS, HALF_S)
    blocks = [
        {test.name: test.blocks for test in found.tests}["too_many_spikes"] for found in (watched, late)
    ]
    assert blocks == [80, 40]
    assert not watched.alarm


def test_power_is_lost_to_no_thin_market(rows: GradedRows, sides: tuple[Manifest, Manifest]) -> None:
    # A tick in ten seconds weighs as ten of them.
    sparse = rows.where(np.arange(len(rows)) % EVERY_S == 0)
    assert try_challenger(sparse, *sides, SETTINGS).log_e == try_challenger(rows, *sides, SETTINGS).log_e


def test_no_alerts_are_weighed_against_a_reference_that_says_nothing(
    rows: GradedRows, sides: tuple[Manifest, Manifest]
) -> None:
    """One that never alerts would cost less, or more, for nothing."""
    nothing = np.full(len(rows), np.nan)
    found = watch_champion(replace(rows, reference_p=nothing), sides[0], SETTINGS)
    assert {test.name for test in found.tests if test.blocks == 0} == {"log_loss", "alert_cost"}
    told = watch_champion(replace(rows, reference_p=rows.p), sides[0], SETTINGS)
    assert all(test.blocks for test in told.tests)


def test_alerts_are_those_that_the_settings_of_the_job_let_out(
    rows: GradedRows, sides: tuple[Manifest, Manifest]
) -> None:
    told = replace(rows, reference_p=noisy(TRUE, 2.0))
    own = told.thinned(EVERY_S)
    entry = sides[0].alert

    def judged(settings: Settings, opens: float, closes: float) -> None:
        _, model, reference = watched_sides(told, sides[0], settings)
        assert model.alerts == open_alerts(own.second, own.run, own.p, opens, closes) != []
        assert reference.alerts == open_alerts(own.second, own.run, own.reference_p, opens, closes)

    judged(SETTINGS, entry.open_at, entry.close_at)
    judged(Settings.model_construct(alert_open=0.02), 0.02, min(0.02, entry.close_at))
    low = Settings.model_construct(alert_open=0.02, alert_close=0.01)
    judged(low, 0.02, 0.01)
    by_model, by_settings = (watch_champion(told, sides[0], each).tests[-1] for each in (SETTINGS, low))
    assert by_model.name == "alert_cost"
    assert by_model.log_e != by_settings.log_e
    assert try_challenger(told, *sides, low) != try_challenger(told, *sides, SETTINGS)
