"""The study of whole markets runs; its rows are those of a job, and its short cuts miss no look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.__main__ import main
from benchmarks.changing_market import ChangingMarket
from benchmarks.market_sources import synthetic_tables
from benchmarks.null_lives import (
    NEVER_S,
    claims_that_hold,
    first_alarm,
    first_promotion,
    upto,
)
from benchmarks.whole_lives import DAY_S, NS, START_S, Days, Life, feature_table, live

from benchmarks import null_lives
from volspike.features.table import FeatureTable
from volspike.monitoring.graded import BLOCK_S, GradedRows
from volspike.monitoring.outcome_watch import TESTS
from volspike.pipeline.trial import try_challenger, watch_champion

DAYS = Days(champion=0.5, challenger=0.6, end=1.5)
CHANGE_S = round(0.55 * DAY_S)


@pytest.fixture(scope="module")
def life() -> Life:
    """A market that changes behind the training of its champion, which is found out."""
    return live(0, CHANGE_S, DAYS)


def blocks(rows: GradedRows) -> list[int]:
    return np.unique(rows.second // BLOCK_S).tolist()


def test_it_runs_and_writes_its_tables(tmp_path: Path) -> None:
    page = tmp_path / "rates.md"
    alarms, promotions, power = main(["null_lives", "--quick", "--markdown", str(page)])["null_lives"]
    assert page.read_text().count("| ---: |") == 3
    assert [row[0] for row in alarms["rows"]][3:] == list(TESTS)
    for row in alarms["rows"][2:]:
        assert int(row[1]) + int(row[4]) == 2
    assert sum(int(row[2]) for row in promotions["rows"]) == 2
    assert power["rows"][0][1] == "1"


def test_the_rows_are_those_that_ticks_one_by_one_lead_to() -> None:
    market = ChangingMarket(3, START_S * NS, 1_800, NEVER_S)
    found, (tables,) = feature_table(market), synthetic_tables(market).values()
    told = FeatureTable.concat(tables)
    for name in ("kind", "event_ns", "covered_since_ns", "bid", "ask", "ticks", "complete", "values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(told, name), err_msg=name)


def test_the_ledger_begins_behind_the_training_and_the_trial_behind_that_of_the_challenger(
    life: Life,
) -> None:
    rows, champion = life.rows, life.champion.manifest
    assert life.challenger is not None
    assert rows.second[0] * NS > champion.training.last_ns
    assert not rows.in_sample.any()
    tried = rows.challenger_version == life.challenger.manifest.version
    assert rows.second[tried][0] == pytest.approx(START_S + 0.6 * DAY_S, abs=2)
    assert (np.isnan(rows.challenger_p) == ~tried).all()
    assert (rows.spike >= 0).all()
    assert set(rows.version) == {champion.version}


def test_the_alarm_found_by_halving_is_the_first_of_all_looks(life: Life) -> None:
    looks = {block: null_lives._watched(life, upto(life.rows, block)) for block in blocks(life.rows)}
    alarmed = [block for block, verdict in looks.items() if verdict.alarm]
    assert alarmed
    tests = tuple(test.name for test in looks[alarmed[0]].tests if test.alarm)
    assert first_alarm(life) == (alarmed[0], tests)
    assert alarmed == [block for block in looks if block >= alarmed[0]]
    ended = looks[alarmed[-1]]
    for block, verdict in looks.items():
        for test, last in zip(verdict.tests, ended.tests, strict=True):
            assert test.log_e_most is None or test.log_e_most <= last.log_e_most + 1e-9, (block, test.name)


def test_a_market_that_stands_still_long_enough_for_no_look_has_no_alarm(life: Life) -> None:
    first = first_alarm(life)[0]
    assert first is not None
    assert first_alarm(replace(life, rows=upto(life.rows, first - 1))) == (None, ())


def test_the_promotion_is_the_first_of_all_looks(life: Life) -> None:
    # The champion swapped with what it was worth an hour ago loses to its challenger in no time.
    assert life.challenger is not None
    worse = replace(life.rows, p=np.clip(np.roll(life.rows.p, 1_800), 0.01, 0.99))
    lived = replace(life, rows=worse)
    champion, challenger = life.champion.manifest, life.challenger.manifest
    looks = {
        block: try_challenger(upto(worse, block), champion, challenger, intervals=False).promote
        for block in blocks(worse)
    }
    assert any(looks.values())
    assert first_promotion(lived) == next(block for block, promoted in looks.items() if promoted)


def test_a_claim_holds_of_a_model_whose_figure_lies_beyond(life: Life) -> None:
    halved = replace(life.rows, p=0.5 * life.rows.p)
    hold = set(claims_that_hold(watch_champion(halved, life.champion.manifest, 30.0)))
    assert {"too_many_spikes", "top_too_many"} <= hold
    doubled = replace(life.rows, p=np.full(len(life.rows), 0.9))
    hold = set(claims_that_hold(watch_champion(doubled, life.champion.manifest, 30.0)))
    assert {"log_loss", "too_few_spikes", "top_too_few"} <= hold
    assert not {"too_many_spikes", "top_too_many"} & hold
