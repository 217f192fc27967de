"""Verdicts on the ledger: one row of ten seconds is judged, wherever the rows were thinned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import drift_markets
from kept_models import graded_rows, noisy
from made_bundles import make_bundle
from volspike.models.manifest import Manifest
from volspike.monitoring.graded import GradedRows
from volspike.pipeline.trial import EVERY_S, tried_rows, try_challenger, watch_champion

SECONDS, TRUE = drift_markets.seconds(40, 1)
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
    whole, thin = try_challenger(rows, *sides), try_challenger(rows.thinned(EVERY_S), *sides)
    assert whole == thin
    assert whole == try_challenger(tried, *sides)
    assert whole.rows == len(tried)
    assert whole.promote
    assert whole.evidence.windows == pytest.approx(40 * 60, rel=0.01)


def test_a_watch_begins_where_it_is_told_to(rows: GradedRows, sides: tuple[Manifest, Manifest]) -> None:
    watched = watch_champion(rows, sides[0], 30.0)
    assert watched == watch_champion(rows.thinned(EVERY_S), sides[0], 30.0)
    late = watch_champion(rows, sides[0], 30.0, HALF_S)
    blocks = [
        {test.name: test.blocks for test in found.tests}["too_many_spikes"] for found in (watched, late)
    ]
    assert blocks == [80, 40]
    assert not watched.alarm


def test_power_is_lost_to_no_thin_market(rows: GradedRows, sides: tuple[Manifest, Manifest]) -> None:
    # A tick in ten seconds weighs as ten of them.
    sparse = rows.where(np.arange(len(rows)) % EVERY_S == 0)
    assert try_challenger(sparse, *sides).log_e == try_challenger(rows, *sides).log_e


def test_no_alerts_are_weighed_against_a_reference_that_says_nothing(
    rows: GradedRows, sides: tuple[Manifest, Manifest]
) -> None:
    """One that never alerts would cost less, or more, for nothing."""
    nothing = np.full(len(rows), np.nan)
    found = watch_champion(replace(rows, reference_p=nothing), sides[0], 30.0)
    assert {test.name for test in found.tests if test.blocks == 0} == {"log_loss", "alert_cost"}
    told = watch_champion(replace(rows, reference_p=rows.p), sides[0], 30.0)
    assert all(test.blocks for test in told.tests)
