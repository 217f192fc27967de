"""The study of whole markets runs; its rows are those of a job, and its short cuts miss no look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.__main__ import main
from benchmarks.burst_chances import BurstChances, expected_losses, hidden_states
from benchmarks.changing_market import LEAST_BURST_S, ChangingMarket
from benchmarks.expected_costs import GROUPS, BlockCosts, ExpectedCosts, largest_run
from benchmarks.market_sources import synthetic_tables
from benchmarks.null_lives import (
    NEVER_S,
    SETTINGS,
    claims_that_hold,
    expected_figures,
    first_alarm,
    first_promotion,
    upto,
)
from benchmarks.whole_lives import DAY_S, NS, START_S, Days, Life, feature_table, live, wild_seconds

from benchmarks import null_lives
from volspike.features.table import FeatureTable
from volspike.monitoring.graded import BLOCK_S
from volspike.monitoring.outcome_watch import TESTS
from volspike.pipeline.trial import try_challenger

DAYS = Days(champion=0.5, challenger=0.6, end=1.5)
CHANGED_S = START_S + round(0.65 * DAY_S)


@pytest.fixture(scope="module")
def life() -> Life:
    """A market that does not change."""
    return live(0, NEVER_S, DAYS)


@pytest.fixture(scope="module")
def found_out(life: Life) -> Life:
    """Return it with a champion that says a tenth of what it said, from a time on."""
    p = np.where(life.rows.second < CHANGED_S, life.rows.p, 0.1 * life.rows.p)
    return replace(life, rows=replace(life.rows, p=p))


@pytest.fixture(scope="module")
def outdone(life: Life) -> Life:
    """Return it with a champion that says far too much, and nearly always the same."""
    odds = 10.0 * (life.rows.p / (1.0 - life.rows.p)) ** 0.1
    return replace(life, rows=replace(life.rows, p=odds / (1.0 + odds)))


def blocks(life: Life) -> list[int]:
    return np.unique(life.rows.second // BLOCK_S).tolist()


def test_it_runs_and_writes_its_tables(tmp_path: Path) -> None:
    page = tmp_path / "rates.md"
    alarms, promotions, power = main(["null_lives", "--quick", "--markdown", str(page)])["null_lives"]
    assert page.read_text().count("**Whole markets ") == 3
    assert [row[0] for row in alarms["rows"]][3:] == list(TESTS)
    for row in alarms["rows"][3:]:
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


def test_the_alarm_found_by_halving_is_the_first_of_all_looks(found_out: Life) -> None:
    looks = {
        block: null_lives._watched(found_out, upto(found_out.rows, block)) for block in blocks(found_out)
    }
    alarmed = [block for block, verdict in looks.items() if verdict.alarm]
    assert CHANGED_S // BLOCK_S < alarmed[0] < max(looks)
    tests = tuple(test.name for test in looks[alarmed[0]].tests if test.alarm)
    assert first_alarm(found_out) == (alarmed[0], tests)
    assert alarmed == [block for block in looks if block >= alarmed[0]]
    # One look at the end finds all that any look has found.
    for verdict in looks.values():
        for test, last in zip(verdict.tests, looks[max(looks)].tests, strict=True):
            assert test.log_e_most is None or test.log_e_most <= last.log_e_most + 1e-9, test.name
    before = replace(found_out, rows=upto(found_out.rows, alarmed[0] - 1))
    assert first_alarm(before) == (None, ())


def test_the_promotion_is_the_first_of_all_looks(life: Life, outdone: Life) -> None:
    assert life.challenger is not None
    champion, challenger = life.champion.manifest, life.challenger.manifest

    def promotes(block: int) -> bool:
        seen = upto(outdone.rows, block)
        return try_challenger(seen, champion, challenger, SETTINGS, intervals=False).promote

    promoting = [block for block in blocks(outdone) if promotes(block)]
    assert blocks(outdone)[0] < promoting[0] < blocks(outdone)[-1]
    assert first_promotion(outdone) == promoting[0]
    assert first_promotion(replace(outdone, rows=upto(outdone.rows, promoting[0] - 1))) is None


def test_chances_are_those_that_labels_come_with(life: Life) -> None:
    """Taken from one market, they tell how often spikes come in another."""
    chances = BurstChances.learned(2.0, NEVER_S)
    states = hidden_states(wild_seconds(1, NEVER_S, DAYS.end))
    rows = live(1, NEVER_S, DAYS, has_trial=False).rows
    chance = chances.of(states[rows.second - START_S], rows.tau_bps)
    calm, wild = (states[rows.second - START_S] == state for state in (0, LEAST_BURST_S))
    for those in (calm, wild):
        assert np.mean(chance[those]) == pytest.approx(np.mean(rows.spike[those]), abs=0.04)
    assert np.mean(chance[wild]) > np.mean(chance[calm]) + 0.2
    assert np.mean(expected_losses(chance, chance)) < np.mean(expected_losses(chance, rows.p))


def test_a_state_is_the_age_of_a_burst() -> None:
    wild = np.array([1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0], bool)
    assert hidden_states(wild).tolist() == [1, 2, 0, 0, 1, 2, 3, 4, 5, 5, 0]


def test_a_claim_holds_of_a_model_whose_figure_lies_beyond(life: Life) -> None:
    chances = BurstChances.learned(1.0, NEVER_S)
    states = hidden_states(wild_seconds(0, NEVER_S, DAYS.end))

    def hold(p: np.ndarray) -> set[str]:
        return set(claims_that_hold(expected_figures(replace(life.rows, p=p), states, chances)))

    assert {"too_many_spikes", "top_too_many"} <= hold(0.5 * life.rows.p)
    of_all = hold(np.full(len(life.rows), 0.9))
    assert {"log_loss", "too_few_spikes", "top_too_few"} <= of_all
    assert not {"too_many_spikes", "top_too_many"} & of_all
    assert set(claims_that_hold({"alert_cost": 0.9, "log_loss": 0.1})) == {"log_loss"}


def test_costs_are_those_that_the_watch_bets_on(life: Life) -> None:
    champion = life.champion.manifest
    costs = BlockCosts.of(life.rows, champion)
    (figure,) = (
        test.figure for test in null_lives._watched(life, life.rows).tests if test.name == "alert_cost"
    )
    assert np.mean(costs.excess) == pytest.approx(figure)
    assert np.isin(costs.tau_bps, life.rows.tau_bps).all()


def test_costs_are_expected_by_tau() -> None:
    rng = np.random.default_rng(5)
    tau_bps = rng.uniform(4.0, 8.0, 3_000)
    costs = BlockCosts(tau_bps, np.where(tau_bps < 6.0, -1.0, 2.0) + rng.normal(0.0, 1.0, 3_000))
    expected = ExpectedCosts.learned([costs, costs])
    assert len(expected.mean) == GROUPS
    found = expected.at(np.array([1.0, 4.5, 5.5, 6.5, 7.5, 99.0]))
    np.testing.assert_allclose(found, [-1.0, -1.0, -1.0, 2.0, 2.0, 2.0], atol=0.3)


@pytest.mark.parametrize(
    ("expected", "most"),
    [([-1.0, -2.0], 0.0), ([1.0, -3.0, 2.0, -0.5, 2.0, -9.0, 1.0], 3.5), ([0.5], 0.5), ([], 0.0)],
)
def test_the_largest_run_is_found(expected: list[float], most: float) -> None:
    assert largest_run(np.array(expected)) == pytest.approx(most)
